"""Sessions for asyncio: the same, and nothing blocks the loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, AsyncIterator, Callable, List, Optional, Tuple, TypeVar

from .. import _distflow
from .._base import NoCopy
from ..errors import ClosedError
from . import blocking, types
from .types import BrokerKeywords, CreateKeywords, Listing, Row, SessionEvent, SessionView

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

_T = TypeVar("_T")

_SLICE_S = 0.5


async def _call(function: Callable[..., _T], *arguments: Any) -> _T:
    return await asyncio.get_running_loop().run_in_executor(None, function, *arguments)


class SessionManager:
    """Like :class:`distflow.sessions.SessionManager`, for asyncio."""

    def __init__(self, url: str = "mqtt://localhost", **options: Unpack[BrokerKeywords]) -> None:
        self._manager = blocking.SessionManager(url, **options)

    async def create(
        self,
        session_id: Optional[str] = None,
        instance: Optional[str] = None,
        **options: Unpack[CreateKeywords],
    ) -> Session:
        """Creates a session: :meth:`distflow.sessions.SessionManager.create`."""
        given = types.native_options(options, CreateKeywords)
        native = await _call(
            _distflow.NativeSession.create, self._manager._broker, session_id, instance, given
        )
        return Session(blocking.Session(native))

    async def join(self, session_id: str, instance: Optional[str] = None) -> Session:
        """Joins a session: :meth:`distflow.sessions.SessionManager.join`."""
        types.checked_text(session_id, "session_id")
        native = await _call(
            _distflow.NativeSession.join, self._manager._broker, session_id, instance
        )
        return Session(blocking.Session(native))

    async def observe(self, session_id: str) -> Session:
        """Looks at a session without being in it."""
        return Session(await _call(self._manager.observe, session_id))

    async def list(self) -> SessionList:
        """The list of sessions, which keeps itself up to date."""
        return SessionList(await _call(self._manager.list))


class Session(NoCopy):
    """Like :class:`distflow.sessions.Session`, for asyncio: ``async with``, ``async for``."""

    def __init__(self, session: blocking.Session) -> None:
        self._session = session

    @property
    def id(self) -> str:
        """The session's id."""
        return self._session.id

    @property
    def instance(self) -> str:
        """This instance's id in it."""
        return self._session.instance

    @property
    def view(self) -> SessionView:
        """The session as it is known here, at one moment."""
        return self._session.view

    @property
    def members(self) -> Tuple[str, ...]:
        """Who is in it: the creator first, then in the order in which they joined."""
        return self._session.members

    @property
    def state(self) -> Optional[str]:
        """``open``, ``starting``, ``in_progress`` or ``closed``."""
        return self._session.state

    @property
    def seed(self) -> Optional[int]:
        """The seed of the session's random numbers, 1 to 1,000,000."""
        return self._session.seed

    async def next_event(self) -> Optional[SessionEvent]:
        """The next event; ``None`` after the last. Nothing is lost when it is cancelled."""
        while True:
            # What is there is taken here and not on another thread, so that a cancelled wait
            # takes nothing with it.
            event = self._session.next_event(0)
            if event is not None:
                return event
            if await _call(self._session._native.wait_events, _SLICE_S):
                return self._session.next_event(0)

    async def __aiter__(self) -> AsyncIterator[SessionEvent]:
        while True:
            try:
                event = await self.next_event()
            except ClosedError:
                return
            if event is None:
                return
            yield event

    async def wait_for(self, type: str) -> SessionEvent:
        """Waits for an event of a type; those before it are dropped.

        Errors: ``ClosedError`` when there will be none; ``InvalidArgumentError`` for a type that
        does not exist.
        """
        types.checked_event(type)
        while True:
            event = await self.next_event()
            if event is None:
                raise ClosedError(f"the session is over, and there was no event {type!r}")
            if event.type == type:
                return event

    async def start(self, countdown_s: int = 0) -> None:
        """Starts the game, at once or after a countdown of so many seconds."""
        await _call(self._session.start, countdown_s)

    async def close(self) -> None:
        """Ends the session for everybody."""
        await _call(self._session.close)

    async def hand_over(self, to: Optional[str] = None) -> None:
        """Asks a member, the named one or the one that joined first, to continue the session."""
        await _call(self._session.hand_over, to)

    async def reserve(self, player: str) -> None:
        """Asks for a player; an event ``reserved`` tells whose it is."""
        await _call(self._session.reserve, player)

    async def release(self, player: str) -> None:
        """Gives a player back."""
        await _call(self._session.release, player)

    async def register(self, player: str) -> None:
        """Says that this instance plays a player."""
        await _call(self._session.register, player)

    async def publish(self, name: str, payload: bytes) -> None:
        """Sends a message of the game."""
        await _call(self._session.publish, name, payload)

    async def leave(self) -> None:
        """Leaves the session, and returns when the broker knows. Safe to call twice."""
        await _call(self._session.leave)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.leave()


class SessionList(NoCopy):
    """Like :class:`distflow.sessions.SessionList`, for asyncio."""

    def __init__(self, sessions: blocking.SessionList) -> None:
        self._list = sessions

    @property
    def sessions(self) -> List[Listing]:
        """Those that are alive, the newest first."""
        return self._list.sessions

    def rows(self, own: Optional[str] = None) -> List[Row]:
        """What a user interface draws: :meth:`distflow.sessions.SessionList.rows`."""
        return self._list.rows(own)

    @property
    def completeness(self) -> str:
        """How complete it is: :attr:`distflow.sessions.SessionList.completeness`."""
        return self._list.completeness

    async def changed(self) -> None:
        """Waits until the list is another than the one that was last read."""
        while not await _call(self._list.wait_changed, _SLICE_S):
            pass

    def close(self) -> None:
        """Ends the connection."""
        self._list.close()

    async def __aenter__(self) -> SessionList:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()
