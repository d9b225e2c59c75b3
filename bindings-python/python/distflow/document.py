"""Documents that replicas share."""

from __future__ import annotations

from _warnings import warn
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Union, cast

from . import _distflow, _log, document_types
from ._base import NoCopy
from ._distflow import Op
from ._document_arguments import (
    as_bytes,
    checked_clock,
    count,
    json_text,
    names,
    native_options,
    snapshot_bytes,
)
from ._listeners import Listeners
from .document_types import (
    BatchReceived,
    CausalGraphNode,
    DocumentMetrics,
    DocumentStats,
    DocumentWatch,
    Inspection,
    OnDocumentEvent,
    Path,
    Received,
    Snapshot,
    SnapshotDiff,
    VectorClock,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .document_types import DocumentOptions

# As long as any log, or longer.
_LOG_MAX = 2**53

# What fits many times into a message.
_PIECE = 1 << 20

_MISSING = object()

_Bytes = Union[bytes, bytearray, memoryview]
_Snapshot = Union[_Bytes, str, Mapping[str, Any]]


class JsonCrdt(NoCopy):
    """A JSON document that is shared by replicas: everybody writes at once, and all that have seen
    the same operations are the same, in whatever order they came.

    It sends nothing: operations come out of :meth:`set`, :meth:`delete` and :meth:`diff_since`, and
    go into :meth:`receive`.

    >>> alice, bob = JsonCrdt("alice"), JsonCrdt("bob")
    >>> op = alice.set(["users", "ada", "age"], 36)
    >>> bob.receive(op.text)
    'applied'
    >>> bob["users", "ada", "age"]
    36

    ``replica`` is the name that is shown, 1 to 240 bytes, and may be the same in every life:
    operations are counted under :attr:`source`. ``initial`` is the value at first, the same for
    all, by default an empty object. A path is a tuple or list of keys and indices, or one of them
    alone, or a JSON pointer: ``doc["users"]``, ``doc["list", 0]``, ``doc["/list/0"]``, ``doc[()]``
    for all of it. A key that could be taken for a path, such as ``"todo.milk"``, is written
    ``doc["todo.milk",]``. What is read is a copy. Values are what payloads are, at most 60 deep
    with their path; integers keep their value; half of a surrogate pair becomes U+FFFD.

    Options are the members of :class:`distflow.document_types.DocumentOptions`, by keyword. With a
    ``directory``, it is as it was when it was last open: when a write returns, the end of this
    process does not lose it; after :meth:`flush`, neither does the end of the machine.

    Usable from any thread, and from an event loop: calls are short. Those that wait for a disk are
    opening a directory, :meth:`flush`, :meth:`checkpoint` and :meth:`close` of what is kept: there,
    ``await asyncio.to_thread(doc.flush)``.

    Errors: ``InvalidArgumentError``, ``TypeError``, ``InvalidJsonError``; for a directory also
    ``AlreadyRunningError`` (it is open elsewhere), ``IoError``, ``InvalidMessageError`` (its files
    are damaged). Of every call: ``ClosedError`` after :meth:`close`, ``ForkedError`` in a child of
    ``os.fork``.
    """

    def __init__(self, replica: str, initial: Any = None, **named: Unpack[DocumentOptions]) -> None:
        options = native_options(named)
        _log.connect()
        self._replica = replica
        self._is_kept = named.get("directory") is not None
        self._native = _distflow.NativeDocument(
            replica, {} if initial is None else initial, options, self._is_kept
        )
        self._listeners = Listeners(self._native)

    @property
    def replica_id(self) -> str:
        """The name of this replica."""
        return self._replica

    @property
    def source(self) -> str:
        """The source it writes as: ``src`` of its operations, and its key in clocks. It is made
        from the name at the first write, and belongs to this life, or to the directory; before, it
        is the name."""
        return self._native.source()

    @property
    def value(self) -> Any:
        """The whole document, as a copy."""
        return self._native.value()

    @property
    def clock(self) -> VectorClock:
        """How many operations of each replica were taken in, as a copy."""
        return self._native.clock()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._native.is_closed()

    def canonical(self) -> str:
        """The text that is the same on every replica that has seen the same, in every language."""
        return self._native.canonical()

    def hash(self) -> str:
        """The SHA-256 of :meth:`canonical`, in lower-case hexadecimal digits."""
        return self._native.hash()

    def set(self, path: Path, value: Any) -> Op:
        """Sets the value at a path. Missing objects on the way are made. The operation is for the
        other replicas.

        Errors: ``InvalidArgumentError`` for a path that leads through something else than it says,
        and for what is beyond the limits; ``TypeError`` and ``InvalidJsonError`` for what JSON
        can't hold; ``TooLargeError``; ``IoError`` when it can't be kept. Then nothing has changed.
        """
        op = self._native.set(path, value)
        self._tell()
        return op

    def delete(self, path: Path) -> Op:
        """Takes away what is at a path; without it, nothing else changes. Errors: as
        :meth:`set`."""
        op = self._native.delete(path)
        self._tell()
        return op

    def get(self, path: Path, default: Any = None) -> Any:
        """What is at a path, as a copy; ``default`` if nothing is."""
        return self._native.get(path, default)

    def __getitem__(self, path: Path) -> Any:
        found = self._native.get(path, _MISSING)
        if found is _MISSING:
            raise KeyError(path)
        return found

    def __setitem__(self, path: Path, value: Any) -> None:
        self.set(path, value)

    def __delitem__(self, path: Path) -> None:
        if not self._native.has(path):
            raise KeyError(path)
        self.delete(path)

    def __contains__(self, path: Path) -> bool:
        return self._native.has(path)

    def __len__(self) -> int:
        return len(self._members())

    def __iter__(self) -> Iterator[Union[str, int]]:
        """The keys, or indices, of this moment."""
        members = self._members()
        return iter(members) if isinstance(members, dict) else iter(range(len(members)))

    def _members(self) -> Union[Dict[str, Any], List[Any]]:
        value = self.value
        if not isinstance(value, (dict, list)):
            raise TypeError(f"the document is of type {type(value).__name__}: it has no members")
        return value

    def receive(self, op: Union[Op, str, Mapping[str, Any]]) -> Received:
        """Takes in an operation of another replica, or keeps it until those before it have come: an
        operation, its text, or a dict of its members.

        ``applied``: it was taken in now; ``duplicate``: it is known, or waits already;
        ``pending``: it waits.

        Errors: ``InvalidJsonError``, ``InvalidMessageError``, ``TypeError`` for what is no
        operation; ``BusyError`` when too many wait: give it again with the next exchange;
        ``TooLargeError`` for one of too many replicas; ``SourceConflictError`` when another
        operation of its source has its number: two histories are written as one; ``IoError`` when
        it can't be kept. Then nothing has changed.
        """
        try:
            return self._native.receive(op)
        finally:
            self._tell()

    def receive_batch(self, batch: _Bytes) -> BatchReceived:
        """Takes in the bytes of :meth:`encode_since`.

        Errors: ``InvalidMessageError`` for damaged ones, and as :meth:`receive`; what came before
        in the batch was taken in.
        """
        data = as_bytes("a batch", batch)
        try:
            return BatchReceived(*self._native.receive_batch(data))
        finally:
            self._tell()

    def diff_since(self, clock: Mapping[str, int]) -> List[Op]:
        """The operations that somebody with this clock lacks, as far as the log has them; see
        :meth:`is_complete_since`. Error: ``InvalidArgumentError``."""
        return self._native.since(checked_clock(clock))

    def encode_since(self, clock: Mapping[str, int]) -> bytes:
        """The same in bytes, a fraction of the text, for :meth:`receive_batch`."""
        return self._native.encode_since(checked_clock(clock))

    def is_complete_since(self, clock: Mapping[str, int]) -> bool:
        """Whether the log has all that somebody with this clock lacks; otherwise it needs a
        snapshot to :meth:`merge`."""
        return self._native.covers(checked_clock(clock))

    def snapshot(self) -> bytes:
        """The whole document in bytes, for :meth:`restore` and :meth:`merge`."""
        return self._native.snapshot()

    def snapshot_json(self) -> Snapshot:
        """The same as JSON, as the originals have it; several times the size."""
        return cast("Snapshot", self._native.snapshot_json())

    def snapshot_pieces(self, size: int = _PIECE) -> List[str]:
        """The whole document in pieces of text, each of at most so many bytes (at least 1,024), for
        :meth:`merge_piece`: for a peer that one message can't bring all of it.

        Errors: ``InvalidArgumentError``; ``TooLargeError`` for more than 1 GiB.
        """
        return self._native.snapshot_pieces(count("size", size))

    def merge_piece(self, piece: str) -> bool:
        """Takes in a piece of :meth:`snapshot_pieces`, in any order, once or more. True: it was the
        last one that was missing, and the snapshot was merged. Pieces of at most four snapshots are
        kept at a time.

        Errors: ``TypeError``; ``InvalidMessageError`` for what is no piece; and as :meth:`merge`.
        """
        if not isinstance(piece, str):
            raise TypeError(f"a piece must be a str, not {type(piece).__name__}")
        try:
            return self._native.merge_piece(piece)
        finally:
            self._tell()

    def restore(self, snapshot: _Snapshot) -> None:
        """Replaces the document by a snapshot's, in bytes, or JSON as text or dict; what it had is
        gone. From then on it writes as another :attr:`source`.

        Errors: ``InvalidJsonError``, ``InvalidMessageError``, ``TooLargeError``; ``IoError`` when
        it can't be kept. Then nothing has changed.
        """
        try:
            self._native.restore(snapshot_bytes(snapshot), False)
        finally:
            self._tell()

    def merge(self, snapshot: _Snapshot) -> None:
        """Takes in what a snapshot has and this document has not, for a peer whom the log no longer
        helps.

        Errors: as :meth:`restore`; ``InvalidArgumentError`` for a snapshot of an original that
        lacks operations of this document.
        """
        try:
            self._native.restore(snapshot_bytes(snapshot), True)
        finally:
            self._tell()

    def flush(self) -> None:
        """When it returns, the end of the machine does not lose what was written before. Waits for
        the disk; others can write meanwhile. Error: ``IoError``."""
        self._native.flush(False)

    def checkpoint(self) -> None:
        """Replaces the journal by a snapshot, and waits for the disk. This also happens by itself,
        and then nobody waits. Error: ``IoError``."""
        self._native.flush(True)

    def close(self) -> None:
        """Ends it: its directory can be opened again, and later calls raise ``ClosedError``. Safe
        to call twice."""
        native = getattr(self, "_native", None)
        if native is not None:
            native.close()

    def watch(
        self, pattern: Path, callback: Callable[[DocumentWatch], object]
    ) -> Callable[[], None]:
        """Calls back after writes that may change what a pattern means: segments between dots,
        ``*`` for any one of them, ``**`` for any number, as in ``users.*.name``; or a tuple or list
        in which they mean the same. The function that it gives ends it.

        Callbacks run in the thread whose call it was, when it has taken effect and before it
        returns. What they raise goes to ``sys.unraisablehook``, and stops neither the others nor
        the call.

        Errors: ``TypeError``, ``InvalidArgumentError``.
        """
        return self._listeners.watch(pattern, callback)

    if TYPE_CHECKING:
        on: OnDocumentEvent
    else:

        def on(self, event: str, callback: Callable[[Any], object]) -> Callable[[], None]:
            """Calls back with every event of a kind from now on, as :meth:`watch` does. The
            function that it gives ends it.

            ``event`` is a key of :data:`distflow.DOCUMENT_EVENTS`, such as ``change``; the callback
            gets an object of the class there.

            Errors: ``TypeError``, ``InvalidArgumentError``.
            """
            return self._listeners.on(event, callback)

    def _tell(self) -> None:
        if self._listeners.listening:
            self._listeners.tell()

    def set_members(self, members: Optional[Sequence[str]]) -> None:
        """The names of all replicas: only then deletes can be forgotten, and lives that have ended
        counted no longer. ``None``: not known."""
        self._native.set_members(None if members is None else names(members))

    def gc_log(self, keep: Optional[int] = None) -> None:
        """Keeps only the latest operations for peers. Default ``max_log_size``."""
        self._native.trim_log(None if keep is None else count("keep", keep))
        self._tell()

    def gc_tombstones(self) -> None:
        """Forgets deletes that every member has seen and that are old enough."""
        self._native.drop_tombstones()
        self._tell()

    def clean_pending(self) -> None:
        """Gives up what has waited too long."""
        self._native.expire_pending()
        self._tell()

    def drain_pending(self) -> None:
        """Tries again what waits."""
        self._native.drain_pending()
        self._tell()

    def get_stats(self) -> DocumentStats:
        """Sizes of what it holds."""
        return document_types.stats(self._native.metrics())

    def get_metrics(self) -> DocumentMetrics:
        """What was counted."""
        return document_types.metrics(self._native.metrics())

    def metrics_prometheus(self) -> str:
        """The same in the text format of Prometheus, with the replica as label."""
        return self._native.metrics_prometheus()

    def inspect(
        self,
        log_sample_size: int = 10,
        pending_sample_size: int = 10,
        include_causal_graph: bool = False,
    ) -> Inspection:
        """The state, for people: with so many of the latest operations, and of those that have
        waited longest."""
        options = {
            "logSampleSize": count("log_sample_size", log_sample_size),
            "pendingSampleSize": count("pending_sample_size", pending_sample_size),
            "includeCausalGraph": bool(include_causal_graph),
        }
        return cast("Inspection", self._native.inspect(_distflow.dumps(options)))

    def causal_graph(self) -> List[CausalGraphNode]:
        """The operations of the log, and what each depends on."""
        return cast("List[CausalGraphNode]", self._native.causal_graph())

    def replay(
        self,
        from_index: int = 0,
        to_index: Optional[int] = None,
        on_op: Optional[Callable[[Op, int], object]] = None,
    ) -> Any:
        """The document that operations of the log make of an empty object: from one place up to,
        but without, another; by default all. ``on_op`` is called with each and its place; what it
        raises ends the call."""
        begin = count("from_index", from_index)
        end = _LOG_MAX if to_index is None else count("to_index", to_index)
        ops, made = self._native.replay(begin, end)
        if on_op is not None:
            for at, op in enumerate(ops, begin):
                on_op(op, at)
        return made

    @staticmethod
    def encode_op(op: Union[Op, Mapping[str, Any]]) -> str:
        """The text of an operation that travels. Errors: as :class:`Op`."""
        return op.text if isinstance(op, Op) else Op(json_text("an operation", op)).text

    @staticmethod
    def decode_op(text: Union[str, Mapping[str, Any]]) -> Op:
        """An operation from its text, or a mapping of its members. Errors: as :class:`Op`."""
        return Op(json_text("an operation", text))

    @staticmethod
    def diff_snapshots(
        before: Union[str, Mapping[str, Any]], after: Union[str, Mapping[str, Any]]
    ) -> SnapshotDiff:
        """What two snapshots in JSON differ in: of their documents, every path that changed.

        Errors: ``InvalidJsonError``, ``InvalidMessageError`` for what is no snapshot.
        """
        texts = (json_text("before", before), json_text("after", after))
        return cast("SnapshotDiff", _distflow.document_difference(*texts))

    def __enter__(self) -> JsonCrdt:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self, _warn: Callable[..., None] = warn) -> None:
        # One that is in memory only has nothing to close.
        if getattr(self, "_native", None) is not None and self._is_kept and not self.closed:
            _warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<distflow.JsonCrdt {self._replica!r}{', closed' if self.closed else ''}>"
