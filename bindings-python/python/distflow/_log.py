"""The library's own log, as records of the logger ``distflow``."""

from __future__ import annotations

import sys
from _thread import allocate_lock

from . import _distflow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# ERROR to DEBUG of `logging`, and one more for what is finer.
_LEVELS = {1: 40, 2: 30, 3: 20, 4: 10, 5: 5}
_WARNING = 30

_lock = allocate_lock()
_routed = 0


def _level() -> int:
    """The level of the logger; what it has by default in a program that does not use `logging`."""
    if "logging" not in sys.modules:
        return _WARNING
    # Not taken from there: another thread may be about to import it, and this waits for it.
    import logging

    level: int = logging.getLogger("distflow").getEffectiveLevel()
    return level


def _native_level(level: int) -> int:
    """The most detailed native level that a level of ``logging`` lets through; 0 for none."""
    enabled = [native for native, python in _LEVELS.items() if python >= level]
    return max(enabled, default=0)


def _emit(level: int, target: str, message: str, fields: dict[str, Any]) -> None:
    import logging

    logger = logging.getLogger(
        "distflow." + target.replace("::", ".").replace("distflow_core.", "")
    )
    python = _LEVELS[level]
    if logger.isEnabledFor(python):
        more = "".join(f" {name}={value}" for name, value in fields.items())
        logger.log(python, "%s%s", message, more, extra={"distflow": fields})


def connect() -> None:
    """Brings what is collected in line with the level that the logger ``distflow`` has now.

    Called whenever a node or PMD starts; call it yourself after changing the level. What the level
    does not let through is not even made.
    """
    global _routed
    level = _native_level(_level())
    with _lock:
        if level != _routed:
            _distflow.route_log(level, _emit)
            _routed = level


def _after_fork() -> None:
    # The thread that delivers records is the parent's.
    global _routed, _lock
    _routed, _lock = 0, allocate_lock()
