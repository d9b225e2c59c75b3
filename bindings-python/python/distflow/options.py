"""Options of nodes and embedded PMDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Mapping, Optional, TypedDict

Overflow = Literal["drop-newest", "drop-oldest", "block"]
"""What a full mailbox does."""


@dataclass(frozen=True)
class NodeOptions:
    """Options of a node; the keyword arguments of :class:`distflow.Node`. All have defaults."""

    alias: Optional[str] = None
    """The name others find it by, 1 to 255 bytes. Default none."""
    node_id: Optional[str] = None
    """A fixed id. Default: 16 random hex digits, new with each start."""
    pmd_host: str = "localhost"
    """Host of the PMD."""
    pmd_port: int = 4369
    """Port of the PMD."""
    auto_start: bool = True
    """Launch a PMD when none answers and ``pmd_host`` is this machine."""
    embed_pmd: bool = False
    """Serve as the PMD from this process when there is none and none can be launched."""
    pmd_auto_shutdown: float = 30.0
    """Seconds without any node after which a launched PMD ends."""
    mailbox_size: int = 1000
    """Messages that may wait."""
    mailbox_bytes: int = 16 << 20
    """Bytes of messages that may wait."""
    overflow: Overflow = "drop-newest"
    """What a full mailbox does: ``drop-newest`` (once there is a handler, senders wait instead),
    ``drop-oldest``, or ``block``: senders wait."""
    meta: Optional[Mapping[str, Any]] = None
    """Shown to others by ``discover`` and ``peers``, at most 4096 bytes of JSON."""
    use_heartbeat: bool = False
    """Send heartbeats, so that a frozen process is noticed."""
    heartbeat_interval: float = 1.0
    """Seconds between heartbeats, 0.05 to 5."""
    listen_host: str = "localhost"
    """Host to listen on for messages. Others than loopback need ``insecure``."""
    listen_port: int = 0
    """Port to listen on for messages; 0 is a free one."""
    insecure: bool = False
    """Allow a ``listen_host`` beyond loopback although there is no authentication."""
    advertised_host: Optional[str] = None
    """Host that peers are told to dial. Default: ``localhost``, or the address towards the PMD."""
    start_timeout: float = 5.0
    """Seconds for the whole start."""
    request_timeout: float = 5.0
    """Seconds for one request to the PMD."""
    max_frame_bytes: int = 16 << 20
    """Largest message sent or accepted, in bytes of its frame, 1024 to 2**32 - 1. A peer that
    accepts only smaller ones ends the connection at a larger one: ``send_failed`` tells."""
    max_queue_bytes: int = 4 << 20
    """Bytes that may wait to be written to one peer; beyond it, ``send`` waits."""
    concurrency: int = 1
    """Messages whose coroutines, those of handlers, may run at a time on a node of
    ``distflow.aio``; the next message waits in the mailbox. A handler that awaits the answer to
    a message of its own needs more than 1."""


@dataclass(frozen=True)
class PmdOptions:
    """Options of an embedded PMD; the keyword arguments of :class:`distflow.Pmd`."""

    port: int = 4369
    """Port to listen on; 0 picks a free one."""
    host: str = "localhost"
    """Host to listen on. Others than loopback need ``insecure``."""
    insecure: bool = False
    """Allow a host beyond loopback although there is no authentication."""
    auto_shutdown: float = 0.0
    """Seconds without any node after which it stops; 0 is never."""


class NodeKeywords(TypedDict, total=False):
    """The members of :class:`NodeOptions`, as type checkers need them for keyword arguments."""

    alias: Optional[str]
    node_id: Optional[str]
    pmd_host: str
    pmd_port: int
    auto_start: bool
    embed_pmd: bool
    pmd_auto_shutdown: float
    mailbox_size: int
    mailbox_bytes: int
    overflow: Overflow
    meta: Optional[Mapping[str, Any]]
    use_heartbeat: bool
    heartbeat_interval: float
    listen_host: str
    listen_port: int
    insecure: bool
    advertised_host: Optional[str]
    start_timeout: float
    request_timeout: float
    max_frame_bytes: int
    max_queue_bytes: int
    concurrency: int


class PmdKeywords(TypedDict, total=False):
    """The members of :class:`PmdOptions`, as type checkers need them for keyword arguments."""

    port: int
    host: str
    insecure: bool
    auto_shutdown: float
