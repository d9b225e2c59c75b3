"""Who is told of what happens to a document."""

from __future__ import annotations

import contextlib
from collections import deque
from threading import RLock
from typing import Any, Callable, Deque, Dict, Tuple

from . import _distflow, document_types
from ._base import _CO_COROUTINE
from .document_types import DOCUMENT_EVENTS
from .errors import ClosedError, InvalidArgumentError

End = Callable[[], None]


class _Listener:
    """A callback, until it is ended. The same one may be given twice."""

    __slots__ = ("callback", "has_ended")

    def __init__(self, callback: Any) -> None:
        if not callable(callback):
            raise TypeError(f"a callback must be callable, not {type(callback).__name__}")
        code = getattr(callback, "__code__", None)
        if code is not None and code.co_flags & _CO_COROUTINE:
            raise TypeError("a callback can't be a coroutine function: nobody would await it")
        self.callback = callback
        self.has_ended = False


class Listeners:
    """The callbacks of a document. Events cost something, so they are kept only while there are
    any."""

    def __init__(self, native: _distflow.NativeDocument) -> None:
        self._native = native
        # Protects the tables, that the native module knows whether they are empty, and the order of
        # what is told. No callback runs under it; a finalizer or a signal handler can.
        self._lock = RLock()
        self._events: Dict[str, Tuple[_Listener, ...]] = {}
        self._watches: Dict[int, _Listener] = {}
        # Who is to be told of what. A callback that writes, or another thread, goes on where this
        # is: everybody is told in the order in which it happened.
        self._telling: Deque[Tuple[_Listener, Any]] = deque()
        # What has happened and is not there yet.
        self._rows: Deque[Tuple[str, Any, Any]] = deque()
        self.listening = False

    def on(self, name: str, callback: Callable[[Any], object]) -> End:
        """Adds a callback for the events of a kind.

        Errors: ``TypeError``, ``InvalidArgumentError``, ``ClosedError``.
        """
        listener = _Listener(callback)
        if name not in DOCUMENT_EVENTS:
            names = ", ".join(DOCUMENT_EVENTS)
            raise InvalidArgumentError(f"there is no event {name!r}: {names}")
        with self._lock:
            # Also when it does so already: it may be closed.
            self._native.listen(True)
            self.listening = True
            self._events[name] = (*self._events.get(name, ()), listener)

        def end() -> None:
            with self._lock:
                listener.has_ended = True
                left = [other for other in self._events[name] if not other.has_ended]
                self._events[name] = tuple(left)
                self._unlisten()

        return end

    def watch(self, pattern: Any, callback: Callable[[Any], object]) -> End:
        """Adds a callback for writes that touch a pattern.

        Errors: ``TypeError``, ``InvalidArgumentError``, ``ClosedError``.
        """
        listener = _Listener(callback)
        if not isinstance(pattern, (str, tuple, list)):
            given = type(pattern).__name__
            raise TypeError(f"a pattern must be a str, tuple or list, not {given}")
        with self._lock:
            number = self._native.watch(pattern)
            self._native.listen(True)
            self.listening = True
            self._watches[number] = listener

        def end() -> None:
            with self._lock:
                listener.has_ended = True
                if self._watches.pop(number, None) and not self._native.is_closed():
                    self._native.unwatch(number)
                self._unlisten()

        return end

    def _unlisten(self) -> None:
        if self._watches or any(self._events.values()) or self._native.is_closed():
            return
        self._native.listen(False)
        self.listening = False

    def tell(self) -> None:
        """Tells of what has happened. What a callback raises goes to ``sys.unraisablehook``; what
        ends the program, such as Ctrl-C, goes on to the caller, and the rest is told with the next
        call."""
        with self._lock:
            self._take()
        while _distflow.call_next(self._telling):
            pass

    def _take(self) -> None:
        # Closed by a callback, or by another thread; what happened before is told all the same.
        with contextlib.suppress(ClosedError):
            self._native.events(self._rows)
        while self._rows:
            row = self._rows[0]
            event = document_types.event(row)
            listeners = self._events.get(row[0], ())
            if row[0] == "watch":
                watch = self._watches.get(row[2][0])
                listeners = (watch,) if watch else ()
            tellings = [(listener, event) for listener in listeners]
            # A signal handler that raises comes after a call: the row is gone only with its event.
            del self._rows[0]
            self._telling.extend(tellings)
