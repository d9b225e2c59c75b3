"""What was a signal of Qt."""

from __future__ import annotations

import logging
from typing import Any, Callable, List, Optional

_LOG = logging.getLogger("distflow")


class Signal:
    """What was a signal of Qt: callbacks that are called with what is emitted."""

    def __init__(self) -> None:
        self._callbacks: List[Callable[..., object]] = []

    def connect(self, callback: Callable[..., object]) -> None:
        """Calls a function from now on."""
        self._callbacks.append(callback)

    def disconnect(self, callback: Optional[Callable[..., object]] = None) -> None:
        """Calls it no longer; without one, none."""
        self._callbacks = [
            one for one in self._callbacks if callback is not None and one != callback
        ]

    def emit(self, *values: Any) -> None:
        """Calls all of them. An exception in one is logged, and the others are called."""
        for callback in list(self._callbacks):
            try:
                callback(*values)
            except Exception:
                _LOG.exception("a callback failed")
