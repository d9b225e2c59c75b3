"""Sessions for threads."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from types import TracebackType
from typing import Any, Callable, Iterator, List, Optional, Tuple, overload

from .. import _distflow
from .._base import NoCopy, checked_timeout, one_of
from ..errors import ClosedError, DistflowError
from . import types
from .types import BrokerKeywords, CreateKeywords, Listing, Row, SessionEvent, SessionView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

_LOG = logging.getLogger("distflow")

_SESSIONS: weakref.WeakSet[Session] = weakref.WeakSet()

Handler = Callable[[SessionEvent], object]


class SessionManager:
    """Sessions on one broker. Nothing is connected before a session or the list is asked for.

    ``url`` is ``mqtt://host[:port]``, or with ``mqtts``, ``ws`` or ``wss``; with user and password
    as ``mqtt://user:password@host``. Further options are the members
    of :class:`distflow.sessions.types.BrokerKeywords`.

    Errors: ``InvalidArgumentError``, ``TypeError``.
    """

    def __init__(self, url: str = "mqtt://localhost", **options: Unpack[BrokerKeywords]) -> None:
        types.checked_text(url, "url")
        self._broker = types.native_options(options, BrokerKeywords, url=url)
        _distflow.check_broker_options(self._broker)

    def create(
        self,
        session_id: Optional[str] = None,
        instance: Optional[str] = None,
        **options: Unpack[CreateKeywords],
    ) -> Session:
        """Creates a session, of this id or a new one; returns when its document was read back.

        ``instance`` is this instance's id, by default a new one. Options are the members of
        :class:`distflow.sessions.types.CreateKeywords`.

        Errors: ``InvalidArgumentError``; ``RefusedError`` by the broker, or when somebody else has
        a session of this id; ``TimeoutError`` when the broker is not reached.
        """
        if session_id is not None:
            types.checked_text(session_id, "session_id")
        if instance is not None:
            types.checked_text(instance, "instance")
        given = types.native_options(options, CreateKeywords)
        return Session(_distflow.NativeSession.create(self._broker, session_id, instance, given))

    def join(self, session_id: str, instance: Optional[str] = None) -> Session:
        """Joins a session; returns when the creator's document names this instance.

        Errors: ``InvalidArgumentError``; ``RefusedError`` by the broker, or by the session, with
        the reason; ``TimeoutError`` when the broker is not reached.
        """
        types.checked_text(session_id, "session_id")
        if instance is not None:
            types.checked_text(instance, "instance")
        return Session(_distflow.NativeSession.join(self._broker, session_id, instance))

    def observe(self, session_id: str) -> Session:
        """Looks at a session without being in it.

        Errors: as :meth:`join`.
        """
        types.checked_text(session_id, "session_id")
        return Session(_distflow.NativeSession.observe(self._broker, session_id))

    def list(self) -> SessionList:
        """The list of sessions, which keeps itself up to date; close it when it is not needed.

        Errors: ``RefusedError`` by the broker; ``TimeoutError`` when it is not reached.
        """
        return SessionList(_distflow.NativeSessionList.open(self._broker))


class Session(NoCopy):
    """A session that this program has created, joined or looks at. As a context manager it is left
    at the end.

    Events are taken by iteration, by :meth:`next_event`, or by callbacks (:meth:`on`), which run on
    a thread of this session's own; whoever has callbacks does not iterate.

    Usable from any thread. After :meth:`leave` what is known of it can still be read; what would do
    something raises ``ClosedError``.
    """

    def __init__(self, native: _distflow.NativeSession) -> None:
        self._native = native
        self._given_back: List[SessionEvent] = []
        # Protects the handlers, and that there is one thread for them.
        self._lock = threading.Lock()
        self._handlers: List[Tuple[Optional[str], Handler]] = []
        self._thread: Optional[threading.Thread] = None
        self._is_left = False
        _SESSIONS.add(self)

    @property
    def id(self) -> str:
        """The session's id."""
        return self._native.id

    @property
    def instance(self) -> str:
        """This instance's id in it."""
        return self._native.instance

    @property
    def view(self) -> SessionView:
        """The session as it is known here, at one moment."""
        return types.view(self._native.view())

    @property
    def members(self) -> Tuple[str, ...]:
        """Who is in it: the creator first, then in the order in which they joined."""
        return self.view.members

    @property
    def state(self) -> Optional[str]:
        """``open``, ``starting``, ``in_progress`` or ``closed``."""
        return self.view.state

    @property
    def seed(self) -> Optional[int]:
        """The seed of the session's random numbers, 1 to 1,000,000."""
        return self.view.seed

    @property
    def is_in(self) -> bool:
        """Whether this instance is in it."""
        return not self._is_left and self.view.is_in

    @overload
    def on(self, event: str, handler: Handler) -> Callable[[], None]: ...

    @overload
    def on(
        self, event: Handler, handler: Optional[str] = None, type: Optional[str] = None
    ) -> Callable[[], None]: ...

    def on(self, event: Any = None, handler: Any = None, type: Optional[str] = None) -> Any:
        """Calls a function with each event of a type: ``on("started", f)``; without a type, with
        every event: ``on(f)``. Returns a function that ends that. An exception in it is logged,
        and the next event comes nevertheless.

        The former order, ``on(f, "started")`` or ``on(f, type="started")``, means the same.

        Errors: ``TypeError`` for what can't be called; ``InvalidArgumentError`` for a type that
        does not exist.
        """
        if callable(event) or (event is not None and not isinstance(event, str)):
            event, handler = handler, event
        if type is not None:
            event = type
        if not callable(handler):
            raise TypeError(f"a handler must be callable, not {handler.__class__.__name__}")
        if event is not None:
            types.checked_event(event)
        entry = (event, handler)
        with self._lock:
            self._handlers.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_dispatch,
                    args=(weakref.ref(self), self._native),
                    name="distflow-session",
                    daemon=True,
                )
                self._thread.start()

        def end() -> None:
            with self._lock:
                if entry in self._handlers:
                    self._handlers.remove(entry)

        return end

    def next_event(self, timeout: Optional[float] = None) -> Optional[SessionEvent]:
        """The next event; ``None`` after the last, or when the time in seconds is over."""
        checked_timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            event: Optional[SessionEvent] = one_of(
                self._given_back, self._native.next_event, types.event
            )
            if event is not None:
                return event
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            if self._native.wait_events(left):
                return None

    def __iter__(self) -> Iterator[SessionEvent]:
        while True:
            try:
                event = self.next_event()
            except ClosedError:
                return
            if event is None:
                return
            yield event

    def wait_for(self, type: str, timeout: float = 30.0) -> SessionEvent:
        """Waits for an event of a type; those before it are dropped.

        Errors: ``distflow.TimeoutError``; ``ClosedError`` when there will be none;
        ``InvalidArgumentError`` for a type that does not exist.
        """
        from ..errors import TimeoutError  # noqa: PLC0415

        types.checked_event(type)
        checked_timeout(timeout)
        deadline = time.monotonic() + timeout
        while True:
            event = self.next_event(max(deadline - time.monotonic(), 0))
            if event is not None:
                if event.type == type:
                    return event
            elif time.monotonic() >= deadline:
                raise TimeoutError(f"there was no event {type!r} within {timeout} s")
            else:
                raise ClosedError(f"the session is over, and there was no event {type!r}")

    def _open(self) -> _distflow.NativeSession:
        if self._is_left:
            raise ClosedError("the session was left")
        return self._native

    def start(self, countdown_s: int = 0) -> None:
        """Starts the game, at once or after a countdown of so many seconds.

        Errors: ``RefusedError`` for another than the creator, or when members are missing;
        ``ConnectionFailedError`` without a connection to the broker.
        """
        types.checked_countdown(countdown_s)
        self._open().start(countdown_s)

    def close(self) -> None:
        """Ends the session for everybody; its topics are emptied 5 s later, if this program still
        has the session.

        Error: ``RefusedError`` for another than the creator.
        """
        self._open().close()

    def hand_over(self, to: Optional[str] = None) -> None:
        """Asks a member, the named one or the one that joined first, to continue the session.

        Error: ``RefusedError``.
        """
        if to is not None:
            types.checked_text(to, "to")
        self._open().hand_over(to)

    def reserve(self, player: str) -> None:
        """Asks for a player; an event ``reserved`` tells whose it is.

        Errors: ``InvalidArgumentError`` for the name; ``RefusedError`` when it is taken.
        """
        self._open().reserve(types.checked_text(player, "player"))

    def release(self, player: str) -> None:
        """Gives a player back."""
        self._open().release(types.checked_text(player, "player"))

    def register(self, player: str) -> None:
        """Says that this instance plays a player.

        Errors: as :meth:`reserve`.
        """
        self._open().register(types.checked_text(player, "player"))

    def publish(self, name: str, payload: bytes) -> None:
        """Sends a message of the game on ``{id}/game_{name}``, at most 64 KiB. Without a connection
        up to 1,000 messages wait for one. Nothing of what comes is called as a method, unless
        :class:`~distflow.sessions.methods.RemoteMethods` is told what.

        Errors: ``InvalidArgumentError``, ``TooLargeError``, ``BusyError``.
        """
        if not isinstance(payload, (bytes, bytearray, memoryview)):
            raise TypeError(f"payload must be bytes, not {payload.__class__.__name__}")
        self._open().publish(types.checked_text(name, "name"), bytes(payload))

    def leave(self) -> None:
        """Leaves the session, and returns when the broker knows. A creator hands it over, if it was
        created so and somebody else is there, or closes it; its topics are emptied 5 s later, by
        this program if it still runs, or by members. Safe to call twice."""
        if not self._is_left:
            self._is_left = True
            self._native.leave()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.leave()

    def __del__(self) -> None:
        # The thread of the handlers has the native half as well.
        self._native.abandon()

    def __repr__(self) -> str:
        return f"<distflow.sessions.Session {self.id!r} as {self.instance!r}>"

    def _call(self, event: SessionEvent) -> None:
        with self._lock:
            handlers = list(self._handlers)
        for wanted, handler in handlers:
            if wanted is None or wanted == event.type:
                try:
                    handler(event)
                except Exception:
                    _LOG.exception("a handler of session %s failed", self.id)


def _dispatch(reference: weakref.ref[Session], native: _distflow.NativeSession) -> None:
    while True:
        try:
            # Meanwhile nothing here keeps the session.
            is_over = native.wait_events(None)
            session = reference()
            if session is None:
                return
            event: Optional[SessionEvent] = one_of([], native.next_event, types.event)
        except DistflowError:
            return
        if event is not None:
            session._call(event)
        elif is_over:
            return
        del session


class SessionList(NoCopy):
    """The sessions on a broker, as they change. As a context manager it is closed at the end."""

    def __init__(self, native: _distflow.NativeSessionList) -> None:
        self._native = native
        self._version = 0

    @property
    def sessions(self) -> List[Listing]:
        """Those that are alive, the newest first."""
        version, listings, _ = self._native.sessions(None)
        self._version = version
        return types.listings(listings)

    def rows(self, own: Optional[str] = None) -> List[Row]:
        """What a user interface draws: those that can be joined or are full, and the one of the id
        ``own``, which has the check mark. Without any, show
        ``No sessions available``."""
        if own is not None:
            types.checked_text(own, "own")
        version, _, rows = self._native.sessions(own)
        self._version = version
        return [Row(**row) for row in rows]

    def wait_changed(self, timeout: Optional[float] = None) -> bool:
        """Waits until the list is another than the one that was last read; whether it is."""
        checked_timeout(timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            if self._native.wait_changed(self._version, left):
                return True
            if left is None:
                raise ClosedError("the list is closed")

    @property
    def completeness(self) -> str:
        """How much of what is on the broker the list has: ``unknown`` while what the broker has
        kept is under way; ``announcements`` while it waits for sessions to announce themselves,
        within 6 s, because the broker brings nothing that it has kept; ``complete``; or
        ``cut_off`` when a session was missing from what was brought, or there are more than the
        list has room for."""
        return self._native.completeness()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection; without, the list may be old."""
        return self._native.is_connected()

    def close(self) -> None:
        """Ends the connection."""
        self._native.close()

    def __enter__(self) -> SessionList:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()


def _end() -> None:
    """The interpreter ends: members leave, creators close, as far as that goes quickly."""
    for session in list(_SESSIONS):
        try:
            if session._is_left:
                continue
            if session.view.role == "creator" and not session.view.hand_over:
                session.close()
            session._native.abandon()
        except DistflowError:
            continue
    if _SESSIONS:
        # What was said is on its way; the broker does the rest.
        time.sleep(0.1)


atexit.register(_end)
