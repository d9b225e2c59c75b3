"""What blocking and asyncio nodes have in common."""

from __future__ import annotations

import _thread

from . import _distflow, _launcher, _log, _options
from .errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType
    from typing import Any, Optional

    from .options import NodeOptions
    from .types import Payload, Peer, Stats


_types: Optional[ModuleType] = None


def _import_types() -> Any:
    """The module ``types``, imported when first needed: starting a node shall not wait for it.

    On a thread of its own: what a signal handler raises in the middle of an import comes out as
    something else, and a wait that it ends would fail with that.
    """
    global _types
    if _types is None:
        ended = _thread.allocate_lock()
        ended.acquire()

        def load() -> None:
            try:
                __import__(f"{__package__}.types")
            finally:
                ended.release()

        try:
            _thread.start_new_thread(load, ())
        except RuntimeError:
            # No room for a thread, or the interpreter ends.
            ended.release()
        ended.acquire()
        from . import types

        _types = types
    return _types


def peer(row: Mapping[str, Any]) -> Peer:
    """A peer from the native module's row."""
    made: Peer = _import_types().peer(row)
    return made


def event(row: Sequence[Any]) -> Any:
    """An event from the native module's row."""
    return _import_types().event(row)


def event_name(name: str, of: str) -> str:
    """The native module's name of an event, of those in ``NODE_EVENTS`` or ``PMD_EVENTS``.

    Error: ``InvalidArgumentError`` for one that does not exist.
    """
    events: Mapping[str, object] = getattr(_import_types(), of)
    if name not in events:
        raise InvalidArgumentError(f"there is no event {name!r}: {', '.join(events)}")
    return name.replace("_", ":")


# Of the code of a coroutine function; `inspect`, which also knows it, takes long to import.
_CO_COROUTINE = 0x80


def checked_handler(handler: Any, awaits: bool = False) -> None:
    """Error: ``TypeError`` for what can't be called, and for a coroutine function where nobody
    would await it."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {type(handler).__name__}")
    code = getattr(handler, "__code__", None)
    if not awaits and code is not None and code.co_flags & _CO_COROUTINE:
        raise TypeError("a handler that is a coroutine function needs a node of distflow.aio")


def checked_timeout(timeout: Any) -> None:
    """Errors: those of the native module for a time to wait."""
    if timeout is None:
        return
    if not isinstance(timeout, (int, float)):
        given = type(timeout).__name__
        raise TypeError(f"timeout must be None or a number of seconds, not {given}")
    if not timeout >= 0:
        raise InvalidArgumentError(f"timeout must be None or at least 0 seconds, not {timeout}")


def one_of(given_back: list[Any], take: Callable[..., None], *arguments: object) -> Optional[Any]:
    """What the native module takes out of a queue, which it adds to a list; ``None`` for nothing.

    A signal handler may raise when it is in the list and nobody has it yet. Then it is given back.
    """
    taken: list[Any] = given_back[-1:]
    del given_back[-1:]
    try:
        if not taken:
            take(taken, *arguments)
        return taken[0] if taken else None
    except BaseException:
        given_back.extend(taken)
        raise


class NoCopy:
    """What stands for something outside of Python."""

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} can't be copied or pickled")


def listen(owner: Any, name: str, handler: Callable[[Any], object]) -> Callable[[], None]:
    """Has the native half of a node or PMD call a function with each event of a kind. What is
    returned ends that, and keeps nobody alive."""
    checked_handler(handler)
    return ending(owner, "end_on_event", owner._native.on_event(name, handler, event))


def ending(owner: Any, end: str, handler: int) -> Callable[[], None]:
    """A function that ends a handler by its number, and keeps nobody alive."""
    from _weakref import ref

    reference = ref(owner)

    def call() -> None:
        owner = reference()
        if owner is not None:
            getattr(owner._native, end)(handler)

    return call


def concurrency(given: Optional[NodeOptions], named: Mapping[str, object]) -> int:
    """How many messages may be handled at a time.

    Errors: ``TypeError``, ``InvalidArgumentError``.
    """
    # What is not an object of the class is told with the other options.
    value = getattr(given, _options.CONCURRENCY, 1)
    if given is None:
        value = named.get(_options.CONCURRENCY, 1)
    number: int = _options.checked(_options.CONCURRENCY, "int", value)
    if number < 1:
        raise InvalidArgumentError(f"concurrency must be at least 1, not {number}")
    return number


def native_options(
    given: Optional[NodeOptions], named: Mapping[str, object], exclusive: bool
) -> str:
    """A node's options as the native module takes them."""
    named = {name: value for name, value in named.items() if name != _options.CONCURRENCY}
    more: dict[str, object] = {"exclusive": exclusive}
    launcher = _launcher.launcher()
    if launcher:
        more["launcher"] = launcher
    text = _options.native("NodeOptions", _options.NODE, given, named, **more)
    try:
        _distflow.check_options(text)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(_options.python_names(str(error))) from None
    _log.connect()
    return text


class NodeBase(NoCopy):
    """What a node tells without waiting."""

    _native: _distflow.NativeNode

    @property
    def node_id(self) -> str:
        """This node's id."""
        return self._native.node_id

    @property
    def alias(self) -> Optional[str]:
        """This node's alias, if it has one."""
        return self._native.alias

    @property
    def port(self) -> int:
        """The port this node listens on for messages."""
        return self._native.port

    @property
    def is_registered(self) -> bool:
        """Whether it is registered with a PMD at this moment."""
        return self._native.is_registered()

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._native.has_ended()

    def try_send(self, target: str, payload: Payload) -> None:
        """Queues a message without waiting. A later failure is the event ``send_failed``.

        Errors: ``BusyError`` when the queue is full, ``ResolveFailedError`` when the target is not
        known at this moment, and those of ``send``.
        """
        self._native.try_send(target, payload)

    def peers(self) -> list[Peer]:
        """Everyone else known at this moment, in order of node id; the PMD is not asked."""
        return [peer(row) for row in self._native.peers()]

    def stats(self) -> Stats:
        """The counters."""
        from .types import Stats

        return Stats(**self._native.stats())
