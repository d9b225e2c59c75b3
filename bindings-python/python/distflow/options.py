"""Options of nodes and embedded PMDs."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping, Optional, Union

from .errors import InvalidArgumentError


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
    overflow: str = "drop-newest"
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
    """Largest message sent or accepted, in bytes of its frame."""
    max_queue_bytes: int = 4 << 20
    """Bytes that may wait to be written to one peer; beyond it, ``send`` waits."""


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


# Names of the native module, and what a value is there.
_NATIVE = {
    "node_id": "nodeId",
    "pmd_host": "pmdHost",
    "pmd_port": "pmdPort",
    "auto_start": "autoStart",
    "embed_pmd": "embedPmd",
    "pmd_auto_shutdown": "pmdAutoShutdownMs",
    "mailbox_size": "maxSize",
    "mailbox_bytes": "maxBytes",
    "use_heartbeat": "useHeartbeat",
    "heartbeat_interval": "heartbeatIntervalMs",
    "listen_host": "listenHost",
    "listen_port": "listenPort",
    "advertised_host": "advertisedHost",
    "start_timeout": "startTimeoutMs",
    "request_timeout": "requestTimeoutMs",
    "max_frame_bytes": "maxFrameBytes",
    "max_queue_bytes": "maxQueueBytes",
    "auto_shutdown": "autoShutdownMs",
}
_PORTS = {"pmd_port", "listen_port", "port"}
_PORT_MAX = 65_535
_MAX = 2**53


def _number(name: str, value: Any, kind: type) -> int:
    accepted = (int, float) if kind is float else (int,)
    if isinstance(value, bool) or not isinstance(value, accepted):
        wanted = "a number of seconds" if kind is float else "an int"
        raise TypeError(f"{name} must be {wanted}, not {type(value).__name__}")
    most = _PORT_MAX if name in _PORTS else _MAX
    if not 0 <= value <= most:
        raise InvalidArgumentError(f"{name} must be 0 to {most}, not {value}")
    return min(round(value * 1_000), _MAX) if kind is float else int(value)


def _checked(name: str, value: Any, default: Any) -> Any:
    if name == "meta":
        if value is not None and not isinstance(value, Mapping):
            raise TypeError(f"meta must be a mapping or None, not {type(value).__name__}")
        return value
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
        return value
    if isinstance(default, (int, float)):
        return _number(name, value, type(default))
    if value is None and default is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return value


def native(options: Union[NodeOptions, PmdOptions], **more: Any) -> str:
    """The options as the native module takes them.

    Errors: ``TypeError``, ``InvalidArgumentError``.
    """
    members = {
        _NATIVE.get(field.name, field.name): _checked(
            field.name, getattr(options, field.name), field.default
        )
        for field in dataclasses.fields(options)
    }
    members.update(more)
    given = {name: value for name, value in members.items() if value is not None}
    try:
        return json.dumps(given, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"meta can't be written as JSON: {error}") from error


def launcher() -> list[str]:
    """The command that runs distflow's command line: the small executable of this package, else
    this interpreter."""
    executable = Path(__file__).parent / "bin" / "distflow"
    if executable.is_file():
        return [str(executable)]
    return [sys.executable, "-m", "distflow"]
