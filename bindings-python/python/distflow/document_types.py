"""What shared documents tell, and what can be looked into."""

from __future__ import annotations

import os
from dataclasses import dataclass
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
    TypedDict,
    Union,
    overload,
)

from ._distflow import Op

Path = Union[Sequence[Union[str, int]], str, int]
"""Where something is in a document: a tuple or list of keys and indices, or one of them alone;
``()`` is the whole document. A str means the same in every language: a JSON pointer such as
``"/todo/milk"``, or one key, which must not look like more than that: ``"todo.milk"`` is refused,
``("todo.milk",)`` is a key."""

VectorClock = Dict[str, int]
"""How many operations of each source were taken in. The member ``~`` is no source: until when, in
Unix milliseconds, everything was taken in of lives that have ended and are not counted any more."""

Received = Literal["applied", "duplicate", "pending"]
"""What became of an operation: taken in; known; or it waits for others before it."""


class DocumentOptions(TypedDict, total=False):
    """Options of a :class:`distflow.JsonCrdt`, by keyword. All have defaults, and so does
    ``None``."""

    max_log_size: Optional[int]
    """Operations kept for peers; at twice as many the oldest go. Default 1,000."""
    max_pending_size: Optional[int]
    """Operations that may wait for others before them. Default 10,000."""
    max_lww_size: Optional[int]
    """Writes remembered above which the event ``limit`` says so. Default 100,000."""
    pending_timeout_ms: Optional[int]
    """How long an operation may wait for others. Default 60,000."""
    tombstone_grace_period_ms: Optional[int]
    """Age at which a delete that all members have seen may be forgotten. Default 3,600,000."""
    max_drift_ms: Optional[int]
    """How far ahead a stamp may be without the event ``conflict``. Default 300,000."""
    enable_auto_gc: Optional[bool]
    """Trims and forgets by itself. Default true."""
    members: Optional[Sequence[str]]
    """The names of all replicas. Only then deletes are forgotten. Default: not known."""
    directory: Optional[Union[str, os.PathLike[str]]]
    """Where it is kept. Default: in memory only."""
    salvage: Optional[bool]
    """Opens the directory also when files in it are damaged, with all that is whole. Where
    something was lost, the document writes under a new source, and what others have comes back with
    the next exchange; copies of the files stay there as ``damaged-…``. Default false: damage is an
    error."""
    source: Optional[str]
    """The source to write as at first, for a program that makes sure by itself that nobody else
    ever writes as the same, in no later life either. Default: one of this life's own."""


class HLC(TypedDict):
    """When something was written, and by whom."""

    t: int
    """Unix milliseconds."""
    c: int
    """A counter for what was written in the same millisecond."""
    r: str
    """The replica."""


class _Snapshot(TypedDict):
    doc: Any
    vc: VectorClock
    hlc: HLC
    lww: List[Tuple[str, HLC]]
    tombstones: List[Tuple[str, HLC]]
    replicaId: str


class Snapshot(_Snapshot, total=False):
    """A whole document as JSON, as the originals have it."""

    distflow: str
    """All that the other members leave out, in base64; the originals pass over it."""


class CausalGraphNode(TypedDict):
    """An operation and what it depends on."""

    opId: str
    kind: str
    path: str
    """As one text: ``.key`` and ``#index``."""
    hlc: HLC
    deps: List[str]
    """Each as the first 8 characters of a replica and a number."""


class _Inspection(TypedDict):
    replicaId: str
    doc: Any
    vc: VectorClock
    hlc: HLC
    logSize: int
    logSample: List[Dict[str, Any]]
    pendingSize: int
    pendingSample: List[Dict[str, Any]]
    lwwPaths: List[str]
    tombstonePaths: List[str]
    metrics: Dict[str, float]


class Inspection(_Inspection, total=False):
    """The state of a document, with the names of the other languages."""

    causalGraph: List[CausalGraphNode]


class SnapshotDiff(TypedDict):
    """What two snapshots differ in, with the names of the other languages."""

    docChanges: List[Dict[str, Any]]
    """``path``, ``type`` (``added``, ``removed`` or ``modified``), ``before``, ``after``."""
    vcChanges: List[Dict[str, Any]]
    """``replica``, ``before``, ``after``."""
    hlcDiff: Dict[str, HLC]
    """``before``, ``after``."""
    lwwChanges: Dict[str, List[str]]
    """``added``, ``removed``, ``modified``: paths as one text."""
    tombstoneChanges: Dict[str, List[str]]
    """``added``, ``removed``: paths as one text."""


@dataclass(frozen=True)
class BatchReceived:
    """What became of the operations of a batch."""

    applied: int
    duplicates: int
    pending: int
    refused: int = 0
    """Those of a source that somebody else writes as, too; the event ``conflict`` tells of each."""


@dataclass(frozen=True)
class DocumentStats:
    """Sizes of what a document holds."""

    log_size: int
    """Operations kept for peers."""
    pending_size: int
    """Operations that wait for others."""
    lww_size: int
    """Writes remembered."""
    tombstones_size: int
    """Deletes among them."""
    vc_size: int
    """Replicas in the clock."""


@dataclass(frozen=True)
class DocumentMetrics(DocumentStats):
    """What a document has counted since it was made or opened, and what it holds."""

    total_ops: int
    local_ops: int
    remote_ops: int
    """Operations of others that did not have to wait."""
    ops_per_second: float
    """Of the last 60 seconds."""
    avg_latency_ms: float
    """Of the last 1,000 operations of others: from their stamps to being taken in."""
    total_conflicts: int
    """The two that follow together."""
    tombstone_conflicts: int
    path_conflicts: int
    gc_runs: int
    gc_log_ops: int
    gc_tombstones: int
    gc_pending_ops: int


@dataclass(frozen=True)
class DocumentChange:
    """``change``: a local write."""

    type: Literal["set", "del"]
    path: Tuple[Union[str, int], ...]
    value: Any
    """Of a set; ``None`` for a delete."""
    op: Op


@dataclass(frozen=True)
class DocumentSync:
    """``sync``: an operation of another replica was taken in."""

    op: Op


@dataclass(frozen=True)
class DocumentWatch:
    """What a callback of :meth:`distflow.JsonCrdt.watch` is told."""

    path: Tuple[Union[str, int], ...]
    """The path that was written: of what is watched, below it, or above it."""
    op: Optional[Op]
    """The operation; ``None``, with the path of the whole document, where it is not known what has
    changed: a snapshot was merged or restored, or events are gone. Then look again."""
    local: bool
    """Whether it was written here."""


@dataclass(frozen=True)
class ParentTombstone:
    """``conflict``: a local set below something that was deleted, or on it."""

    path: Tuple[Union[str, int], ...]
    parent_path: Tuple[Union[str, int], ...]
    """What was deleted."""


@dataclass(frozen=True)
class TombstoneWins:
    """``conflict``: a set of another replica that a later delete of the same path hides."""

    path: Tuple[Union[str, int], ...]
    op_hlc: HLC
    tombstone_hlc: HLC


@dataclass(frozen=True)
class ClockDrift:
    """``conflict``: an operation stamped further ahead of this host's clock than
    ``max_drift_ms``."""

    path: Tuple[Union[str, int], ...]
    op_hlc: HLC
    ahead_ms: int


@dataclass(frozen=True)
class OperationIgnored:
    """``conflict``: an operation that counts and does nothing: of another version, or beyond the
    limits."""

    reason: str
    op: Op


@dataclass(frozen=True)
class SourceReused:
    """``conflict``: two histories are written as one source: an operation that has another's
    number, or one of the own source that was not made here. Whoever's source it is goes on as
    another one."""

    source: str
    number: int
    op: Optional[Op]
    """``None``, if it was found in a snapshot."""


@dataclass(frozen=True)
class SourceRetired:
    """``conflict``: a source goes on that was counted as ended: others do not take in what it
    writes. If it is this replica's own, it goes on as another one."""

    source: str
    unseen: int
    """How many of its operations are not known where it was counted as ended."""


DocumentConflict = Union[
    ParentTombstone,
    TombstoneWins,
    ClockDrift,
    OperationIgnored,
    SourceReused,
    SourceRetired,
]
"""What ``conflict`` tells."""


@dataclass(frozen=True)
class DocumentGc:
    """``gc``: something was forgotten; of ``lives``, sources whose lives have ended are counted no
    longer."""

    type: Literal["log", "pending", "tombstones", "lives"]
    removed: int
    current_size: int
    """How many are left."""


@dataclass(frozen=True)
class DocumentLimit:
    """``limit``: more writes are remembered than ``max_lww_size``. Nothing is dropped."""

    type: Literal["registers"]
    size: int
    limit: int


@dataclass(frozen=True)
class DocumentRestore:
    """``restore``: a snapshot was taken in."""

    merge: bool
    """Whether what was there stayed."""


@dataclass(frozen=True)
class EventsLost:
    """``lost``: one call did more than 65,536 things; so many events of it are gone, the oldest."""

    count: int


DocumentEventName = Literal["change", "sync", "conflict", "gc", "limit", "restore", "lost"]
"""The names of the events of a document."""

DOCUMENT_EVENTS: Mapping[DocumentEventName, Any] = {
    "change": DocumentChange,
    "sync": DocumentSync,
    "conflict": DocumentConflict,
    "gc": DocumentGc,
    "limit": DocumentLimit,
    "restore": DocumentRestore,
    "lost": EventsLost,
}
"""The events of a document by the names that ``on`` takes."""


class OnDocumentEvent(Protocol):
    """The type of ``on`` of a document, for type checkers."""

    @overload
    def __call__(
        self, event: Literal["change"], callback: Callable[[DocumentChange], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: Literal["sync"], callback: Callable[[DocumentSync], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: Literal["conflict"], callback: Callable[[DocumentConflict], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: Literal["gc"], callback: Callable[[DocumentGc], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: Literal["limit"], callback: Callable[[DocumentLimit], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: Literal["restore"], callback: Callable[[DocumentRestore], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: Literal["lost"], callback: Callable[[EventsLost], object]
    ) -> Callable[[], None]: ...

    @overload
    def __call__(
        self, event: DocumentEventName, callback: Callable[[Any], object]
    ) -> Callable[[], None]: ...


_CONFLICTS: Mapping[str, Callable[[Optional[Op], Mapping[str, Any]], DocumentConflict]] = {
    "parent-tombstone": lambda _, row: ParentTombstone(
        tuple(row["path"]), tuple(row["parentPath"])
    ),
    "tombstone-wins": lambda _, row: TombstoneWins(
        tuple(row["path"]), row["opHlc"], row["tombstoneHlc"]
    ),
    "clock-drift": lambda _, row: ClockDrift(tuple(row["path"]), row["opHlc"], row["aheadMs"]),
    "source-reused": lambda op, row: SourceReused(row["source"], row["number"], op),
    "source-retired": lambda _, row: SourceRetired(row["source"], row["unseen"]),
    "ignored": lambda op, row: OperationIgnored(row["reason"], op),  # type: ignore[arg-type]
}

_EVENTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "change": lambda op, _: DocumentChange(
        "set" if op.kind == "set" else "del", op.path, op.value, op
    ),
    "sync": lambda op, _: DocumentSync(op),
    "watch": lambda op, row: DocumentWatch(op.path if op else (), op, row[1]),
    "conflict": lambda op, row: _CONFLICTS[row["type"]](op, row),
    "gc": lambda _, row: DocumentGc(row["type"], row["removed"], row["currentSize"]),
    "limit": lambda _, row: DocumentLimit(row["type"], row["size"], row["limit"]),
    "restore": lambda _, row: DocumentRestore(row["merge"]),
    "lost": lambda _, row: EventsLost(row["count"]),
}


def event(row: Tuple[str, Optional[Op], Any]) -> Any:
    """An event from the native module's row: its name, its operation, and its other members."""
    name, op, rest = row
    return _EVENTS[name](op, rest)


_SIZES = {
    "log_size": "logSize",
    "pending_size": "pendingSize",
    "lww_size": "lwwSize",
    "tombstones_size": "tombstonesSize",
    "vc_size": "vcSize",
}
_COUNTS = {
    "total_ops": "totalOps",
    "local_ops": "localOps",
    "remote_ops": "remoteOps",
    "ops_per_second": "opsPerSecond",
    "avg_latency_ms": "avgLatencyMs",
    "total_conflicts": "totalConflicts",
    "tombstone_conflicts": "tombstoneConflicts",
    "path_conflicts": "pathConflicts",
    "gc_runs": "gcRuns",
    "gc_log_ops": "gcLogOps",
    "gc_tombstones": "gcTombstones",
    "gc_pending_ops": "gcPendingOps",
}


def stats(row: Mapping[str, Any]) -> DocumentStats:
    """Sizes from the native module's row."""
    return DocumentStats(**{name: row[native] for name, native in _SIZES.items()})


def metrics(row: Mapping[str, Any]) -> DocumentMetrics:
    """What was counted, from the native module's row."""
    names = {**_SIZES, **_COUNTS}
    values = {name: row[native] for name, native in names.items()}
    for name in ("ops_per_second", "avg_latency_ms"):
        values[name] = float(values[name])
    return DocumentMetrics(**values)
