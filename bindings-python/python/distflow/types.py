"""What nodes tell about each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Literal,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Union,
    overload,
)

from . import errors
from .errors import DistflowError

End = Callable[[], None]
"""Ends what it was returned for. Safe to call twice, and from anywhere."""

Payload = Union[Dict[str, Any], List[Any], Tuple[Any, ...], str, int, float, bool, None]
"""What a message can hold: what JSON can."""


@dataclass(frozen=True)
class Peer:
    """A node as the PMD describes it."""

    node_id: str
    alias: Optional[str]
    host: str
    port: int
    last_heartbeat: Optional[int] = None
    """Unix milliseconds of its registration or last heartbeat, by the PMD's clock."""
    meta: Optional[Mapping[str, Any]] = field(default=None, hash=False)
    """What the node says of itself, if anything."""


@dataclass(frozen=True)
class Stats:
    """Counters of a node, all since its start."""

    sent: int
    """Messages accepted by ``send`` and ``try_send``."""
    delivered: int
    """Messages given to the program."""
    dropped: int
    """Messages that found the mailbox full."""
    lost_outbound: int
    """Accepted messages that were given up because their peer could not be reached."""
    lost_inbound: int
    """Messages of others that were lost with a connection."""
    misdirected: int
    """Messages for another node that arrived here."""
    waiting: int
    """Messages that wait to be taken."""
    bad_frames: int
    """Frames that were refused."""


@dataclass(frozen=True)
class PeerJoin:
    """``peer_join``: a node joined. Those that were there before are in ``peers()``."""

    peer: Peer


@dataclass(frozen=True)
class PeerLeave:
    """``peer_leave``: a node left or died; this one too, when it is closed."""

    peer: Peer
    reason: str
    """``unregistered``, ``closed`` (its connection), ``timeout``, ``replaced`` or ``unknown``."""


@dataclass(frozen=True)
class PmdLost:
    """``pmd_lost``: the connection to the PMD is lost. Messages to known peers still go."""

    error: DistflowError


@dataclass(frozen=True)
class PmdRestored:
    """``pmd_restored``: registered again; joins and leaves of the meantime have been told."""


@dataclass(frozen=True)
class RegistrationRefused:
    """``registration_refused``: the PMD refused to register this node again; it is tried again."""

    error: DistflowError


@dataclass(frozen=True)
class MailboxOverflow:
    """``mailbox_overflow``: messages found the mailbox full. At most once a second."""

    dropped: int
    """How many since the start."""


@dataclass(frozen=True)
class SendFailed:
    """``send_failed``: accepted messages that can't be delivered any more."""

    to: str
    messages: int
    error: DistflowError


@dataclass(frozen=True)
class PmdStopped:
    """``stopped``: an embedded PMD serves no longer."""

    reason: str
    """``closed`` by its owner, or because a client asked or nobody was left."""


Event = Union[
    PeerJoin, PeerLeave, PmdLost, PmdRestored, RegistrationRefused, MailboxOverflow, SendFailed
]
"""What happens around a node."""

PmdEvent = Union[PeerJoin, PeerLeave, PmdStopped]
"""What happens in an embedded PMD."""

NodeEventName = Literal[
    "peer_join",
    "peer_leave",
    "pmd_lost",
    "pmd_restored",
    "registration_refused",
    "mailbox_overflow",
    "send_failed",
]
"""The names of the events of a node."""

PmdEventName = Literal["peer_join", "peer_leave", "stopped"]
"""The names of the events of an embedded PMD."""

NODE_EVENTS: Mapping[NodeEventName, type[Any]] = {
    "peer_join": PeerJoin,
    "peer_leave": PeerLeave,
    "pmd_lost": PmdLost,
    "pmd_restored": PmdRestored,
    "registration_refused": RegistrationRefused,
    "mailbox_overflow": MailboxOverflow,
    "send_failed": SendFailed,
}
"""The events of a node by the names that ``on`` takes."""

PMD_EVENTS: Mapping[PmdEventName, type[Any]] = {
    "peer_join": PeerJoin,
    "peer_leave": PeerLeave,
    "stopped": PmdStopped,
}
"""The events of an embedded PMD by the names that ``on`` takes."""


class OnNodeEvent(Protocol):
    """The type of ``on`` of a node, for type checkers."""

    @overload
    def __call__(
        self, event: Literal["peer_join"], handler: Callable[[PeerJoin], object]
    ) -> End: ...

    @overload
    def __call__(
        self, event: Literal["peer_leave"], handler: Callable[[PeerLeave], object]
    ) -> End: ...

    @overload
    def __call__(self, event: Literal["pmd_lost"], handler: Callable[[PmdLost], object]) -> End: ...

    @overload
    def __call__(
        self, event: Literal["pmd_restored"], handler: Callable[[PmdRestored], object]
    ) -> End: ...

    @overload
    def __call__(
        self,
        event: Literal["registration_refused"],
        handler: Callable[[RegistrationRefused], object],
    ) -> End: ...

    @overload
    def __call__(
        self, event: Literal["mailbox_overflow"], handler: Callable[[MailboxOverflow], object]
    ) -> End: ...

    @overload
    def __call__(
        self, event: Literal["send_failed"], handler: Callable[[SendFailed], object]
    ) -> End: ...

    @overload
    def __call__(self, event: NodeEventName, handler: Callable[[Any], object]) -> End: ...


class OnPmdEvent(Protocol):
    """The type of ``on`` of an embedded PMD, for type checkers."""

    @overload
    def __call__(
        self, event: Literal["peer_join"], handler: Callable[[PeerJoin], object]
    ) -> End: ...

    @overload
    def __call__(
        self, event: Literal["peer_leave"], handler: Callable[[PeerLeave], object]
    ) -> End: ...

    @overload
    def __call__(
        self, event: Literal["stopped"], handler: Callable[[PmdStopped], object]
    ) -> End: ...

    @overload
    def __call__(self, event: PmdEventName, handler: Callable[[Any], object]) -> End: ...


def peer(row: Mapping[str, Any]) -> Peer:
    """A peer from the native module's row."""
    return Peer(
        row["nodeId"],
        row.get("alias"),
        row["host"],
        row["port"],
        row.get("lastHeartbeat"),
        row.get("meta"),
    )


def _error(row: Mapping[str, Any]) -> DistflowError:
    return errors._make(row["code"], row["message"], row["causes"])


_EVENTS: Mapping[str, Callable[..., Any]] = {
    "peer:join": lambda row: PeerJoin(peer(row)),
    "peer:leave": lambda row, reason: PeerLeave(peer(row), reason),
    "pmd:lost": lambda error: PmdLost(_error(error)),
    "pmd:restored": PmdRestored,
    "registration:refused": lambda error: RegistrationRefused(_error(error)),
    "mailbox:overflow": MailboxOverflow,
    "send:failed": lambda to, messages, error: SendFailed(to, messages, _error(error)),
    "stopped": PmdStopped,
}


def event(row: Sequence[Any]) -> Any:
    """An event from the native module's row: its name, then its arguments."""
    return _EVENTS[row[0]](*row[1:])
