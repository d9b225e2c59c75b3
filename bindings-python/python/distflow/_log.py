"""The library's own log, as records of the logger ``distflow``."""

from __future__ import annotations

import logging
import threading
from typing import Any

from . import _distflow

_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: 5}

_logger = logging.getLogger("distflow")
_lock = threading.Lock()
_routed = 0


def _native_level(level: int) -> int:
    """The most detailed native level that a level of ``logging`` lets through; 0 for none."""
    enabled = [native for native, python in _LEVELS.items() if python >= level]
    return max(enabled, default=0)


def _emit(level: int, target: str, message: str, fields: dict[str, Any]) -> None:
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
    level = _native_level(_logger.getEffectiveLevel())
    with _lock:
        if level != _routed:
            _distflow.route_log(level, _emit)
            _routed = level


def _after_fork() -> None:
    # The thread that delivers records is the parent's.
    global _routed, _lock
    _routed, _lock = 0, threading.Lock()
