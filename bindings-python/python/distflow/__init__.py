"""Erlang-style nodes for Python.

A process registers a name, finds others by theirs, sends them messages, and sees them come and go
within milliseconds. A small registry daemon, the PMD, is found or started by the first node;
messages go directly from process to process. Nodes in Rust, C, C++ and Node.js are peers like any
other. Processes can share a JSON document, too: :class:`JsonCrdt`.

:class:`Node` blocks; :class:`distflow.aio.Node` is for asyncio.
"""

from __future__ import annotations

# isort: off
from . import _interpreter as _interpreter
# isort: on

import atexit as _atexit
import os as _os

from . import _distflow, _log
from ._distflow import Message, Op, __version__
from ._log import connect as connect_logging
from .errors import (
    AddressInUseError,
    AliasInUseError,
    AlreadyRunningError,
    BusyError,
    ClosedError,
    ConnectionFailedError,
    DistflowError,
    ForkedError,
    InsecureError,
    InternalError,
    InvalidArgumentError,
    InvalidFrameError,
    InvalidJsonError,
    InvalidMessageError,
    IoError,
    NodeIdInUseError,
    NodeNotFoundError,
    NotPmdError,
    NotStartedError,
    PmdLaunchFailedError,
    PmdUnavailableError,
    ReentrantCallError,
    RefusedError,
    ResolveFailedError,
    SourceConflictError,
    TimeoutError,
    TooLargeError,
)
from .node import Node, start
from .pmd import Pmd, PmdClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import aio
    from .document import JsonCrdt
    from .document_types import (
        DOCUMENT_EVENTS,
        BatchReceived,
        ClockDrift,
        DocumentChange,
        DocumentConflict,
        DocumentGc,
        DocumentLimit,
        DocumentMetrics,
        DocumentRestore,
        DocumentStats,
        DocumentSync,
        DocumentWatch,
        EventsLost,
        OperationIgnored,
        ParentTombstone,
        SourceRetired,
        SourceReused,
        TombstoneWins,
    )
    from .options import NodeOptions, PmdOptions
    from .runtime import MessageMetadata, NodeRuntime
    from .types import (
        NODE_EVENTS,
        PMD_EVENTS,
        Event,
        MailboxOverflow,
        Payload,
        Peer,
        PeerJoin,
        PeerLeave,
        PmdEvent,
        PmdLost,
        PmdRestored,
        PmdStopped,
        RegistrationRefused,
        SendFailed,
        Stats,
    )

__all__ = [
    "DOCUMENT_EVENTS",
    "NODE_EVENTS",
    "PMD_EVENTS",
    "AddressInUseError",
    "AliasInUseError",
    "AlreadyRunningError",
    "BatchReceived",
    "BusyError",
    "ClockDrift",
    "ClosedError",
    "ConnectionFailedError",
    "DistflowError",
    "DocumentChange",
    "DocumentConflict",
    "DocumentGc",
    "DocumentLimit",
    "DocumentMetrics",
    "DocumentRestore",
    "DocumentStats",
    "DocumentSync",
    "DocumentWatch",
    "Event",
    "EventsLost",
    "ForkedError",
    "InsecureError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidFrameError",
    "InvalidJsonError",
    "InvalidMessageError",
    "IoError",
    "JsonCrdt",
    "MailboxOverflow",
    "Message",
    "MessageMetadata",
    "Node",
    "NodeIdInUseError",
    "NodeNotFoundError",
    "NodeOptions",
    "NodeRuntime",
    "NotPmdError",
    "NotStartedError",
    "Op",
    "OperationIgnored",
    "ParentTombstone",
    "Payload",
    "Peer",
    "PeerJoin",
    "PeerLeave",
    "Pmd",
    "PmdClient",
    "PmdEvent",
    "PmdLaunchFailedError",
    "PmdLost",
    "PmdOptions",
    "PmdRestored",
    "PmdStopped",
    "PmdUnavailableError",
    "ReentrantCallError",
    "RefusedError",
    "RegistrationRefused",
    "ResolveFailedError",
    "SendFailed",
    "SourceConflictError",
    "SourceRetired",
    "SourceReused",
    "Stats",
    "TimeoutError",
    "TombstoneWins",
    "TooLargeError",
    "__version__",
    "aio",
    "connect_logging",
    "start",
]

# A node needs none of these to start; asyncio, dataclasses and typing cost many times its start.
_LAZY = {
    name: module
    for module, names in {
        "document": ("JsonCrdt",),
        "document_types": (
            "DOCUMENT_EVENTS",
            "BatchReceived",
            "ClockDrift",
            "DocumentChange",
            "DocumentConflict",
            "DocumentGc",
            "DocumentLimit",
            "DocumentMetrics",
            "DocumentRestore",
            "DocumentStats",
            "DocumentSync",
            "DocumentWatch",
            "EventsLost",
            "OperationIgnored",
            "ParentTombstone",
            "SourceRetired",
            "SourceReused",
            "TombstoneWins",
        ),
        "options": ("NodeOptions", "PmdOptions"),
        "runtime": ("MessageMetadata", "NodeRuntime"),
        "types": (
            "NODE_EVENTS",
            "PMD_EVENTS",
            "Event",
            "MailboxOverflow",
            "Payload",
            "Peer",
            "PeerJoin",
            "PeerLeave",
            "PmdEvent",
            "PmdLost",
            "PmdRestored",
            "PmdStopped",
            "RegistrationRefused",
            "SendFailed",
            "Stats",
        ),
    }.items()
    for name in names
}


def __getattr__(name: str) -> object:
    import importlib

    if name in ("aio", "document", "document_types", "errors", "options", "runtime", "types"):
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY:
        value: object = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# Threads of the library end before the interpreter does: none of them enters it afterwards.
_atexit.register(_distflow.end_all)
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_log._after_fork)
