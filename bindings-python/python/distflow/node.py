"""The node that blocks."""

from __future__ import annotations

from _thread import allocate_lock
from _warnings import warn

from . import _distflow
from ._base import (
    NodeBase,
    checked_handler,
    concurrency,
    ending,
    event,
    event_name,
    listen,
    native_options,
    one_of,
    peer,
)
from ._green import green_wait, patched_select
from .errors import ClosedError, InvalidArgumentError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Any, Optional

    from typing_extensions import Unpack

    from ._distflow import Message
    from .options import NodeKeywords, NodeOptions
    from .types import (
        Event,
        OnNodeEvent,
        Payload,
        Peer,
    )


class Node(NodeBase):
    """A node: registers with the PMD, finds others by name, exchanges messages with them, and sees
    them come and go. Making one starts it; it blocks until the PMD knows it.

    >>> with Node(alias="greeter") as node:
    ...     node.send("greeter", {"hello": "world"})
    ...     node.recv(timeout=10).payload
    {'hello': 'world'}

    Options are the members of :class:`NodeOptions`, by keyword, or one such object.

    Usable from any thread. Every wait lets other threads run, and costs nothing while it lasts. On
    the main thread a signal ends it at once for its handler; when that raises, nothing has been
    taken.

    Errors: ``InvalidArgumentError``, ``TypeError``, ``InsecureError``, ``AliasInUseError``,
    ``NodeIdInUseError``, ``PmdUnavailableError``, ``NotPmdError``, ``PmdLaunchFailedError``,
    ``ConnectionFailedError`` (a host that has no address), ``AddressInUseError``, ``TimeoutError``.
    """

    def __init__(
        self, options: Optional[NodeOptions] = None, **named: Unpack[NodeKeywords]
    ) -> None:
        self._open(_blocking_options(options, named, exclusive=False))

    def _open(self, options: str) -> None:
        native = _distflow.NativeNode()
        native.start(options)
        self._given_back: list[Event] = []
        self._native = native

    def send(self, target: str, payload: Payload, timeout: Optional[float] = None) -> None:
        """Sends a message to an alias or node id. Returns when it is in the queue of an established
        connection; that is no acknowledgement. Messages to one node keep their order.

        It waits for the target's address, the connection, or room in the queue, for ``timeout``
        seconds at most; after a ``TimeoutError`` the message may still be sent.

        Errors: ``ResolveFailedError``, ``ConnectionFailedError``, ``TooLargeError``, ``BusyError``,
        ``ClosedError``, ``ForkedError``; ``TypeError`` and ``InvalidJsonError`` (a
        ``ValueError``) for what JSON can't hold.
        """
        self._native.send(target, payload, timeout)

    def recv(self, timeout: Optional[float] = None) -> Message:
        """The next message. Several receivers, and handlers, compete for messages.

        Errors: ``TimeoutError`` after ``timeout`` seconds, ``ClosedError`` when the node has ended.
        """
        taken: list[Message] = []
        try:
            select = patched_select()
            if select is None:
                self._native.recv(taken, timeout)
            else:
                take = self._native.recv
                green_wait(select, self._native.messages_fd, lambda: take(taken, 0), taken, timeout)
            if taken:
                return taken[0]
        except BaseException:
            if taken:
                # A signal handler has raised just when it was there.
                self._native.put_back(taken[0])
            raise
        raise TimeoutError("nothing came in time")

    def __iter__(self) -> Iterator[Message]:
        """The messages from now on, until the node is closed."""
        return self._native if patched_select() is None else self._green_messages()

    def _green_messages(self) -> Iterator[Message]:
        while True:
            try:
                message = self.recv()
            except ClosedError:
                return
            yield message

    def on_message(self, handler: Callable[[Message], object]) -> Callable[[], None]:
        """Calls a function with every message, on the node's own thread; what waits comes first.
        Returns a function that ends that.

        Several handlers each get every message, in the order in which they were added. Beside
        them ``recv`` and iteration still work, and compete with them: a message goes either to the
        handlers or to one receiver. When the last handler is ended, messages wait for receivers
        again.

        What it raises goes to ``sys.unraisablehook``, and the next message still comes. A handler
        that refers to the node keeps it alive: close it.
        """
        checked_handler(handler)
        return ending(self, "end_on_message", self._native.on_message(handler))

    if TYPE_CHECKING:
        on: OnNodeEvent
    else:

        def on(self, event: str, handler: Callable[[Any], object]) -> Callable[[], None]:
            """Calls a function with every event of a kind from now on, on the node's own thread.
            Returns a function that ends that.

            ``event`` is a key of :data:`distflow.NODE_EVENTS`, such as ``peer_leave``; the function
            gets an object of the class there, the same one as other handlers. What it raises goes
            to ``sys.unraisablehook``.
            """
            return listen(self, event_name(event, "NODE_EVENTS"), handler)

    def next_event(self, timeout: Optional[float] = None) -> Event:
        """The next event since the start, of any kind. Callers compete; handlers get all anyway. At
        most 16,384 wait; then the oldest are dropped. Those that wait when the node is closed can
        still be had, unless nobody has asked for one before.

        Errors: ``TimeoutError`` after ``timeout`` seconds, ``ClosedError`` when the node has ended.
        """
        take: Callable[..., None] = self._native.next_event
        select = patched_select()
        if select is not None:
            take = self._green_event(select)
        told: Optional[Event] = one_of(self._given_back, take, event, timeout)
        if told is None:
            if self.closed:
                raise ClosedError("the node has ended")
            raise TimeoutError("nothing came in time")
        return told

    def _green_event(self, select: Callable[..., Any]) -> Callable[..., None]:
        native = self._native

        def take(taken: list[Any], make: Callable[..., Any], timeout: Optional[float]) -> None:
            def next_event() -> None:
                native.next_event(taken, make, 0)

            green_wait(select, native.events_fd, next_event, taken, timeout, native.has_ended)

        return take

    def discover(self, prefix: Optional[str] = None, timeout: Optional[float] = None) -> list[Peer]:
        """Asks the PMD for everyone else, or only those whose alias begins with ``prefix``.

        Errors: ``ClosedError``, ``PmdUnavailableError``, ``TimeoutError``.
        """
        return [peer(row) for row in self._native.discover(prefix, timeout)]

    def close(self) -> None:
        """Flushes what was sent, unregisters and closes every connection; about 3 s at most when a
        peer does not respond. Afterwards no handler is called. Safe to call twice, and from a
        handler."""
        native = getattr(self, "_native", None)
        if native is not None:
            native.close()

    def __enter__(self) -> Node:
        if self.closed:
            raise ClosedError("the node was closed")
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self, _warn: Callable[..., None] = warn) -> None:
        native = getattr(self, "_native", None)
        if native is not None and not native.has_ended():
            _warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        if self.closed:
            return "<distflow.Node, closed>"
        return f"<distflow.Node {self.node_id} alias={self.alias!r}>"


def _blocking_options(
    given: Optional[NodeOptions], named: Mapping[str, object], exclusive: bool
) -> str:
    if concurrency(given, named) > 1:
        text = "concurrency is for nodes of distflow.aio: handlers of others run on one thread"
        raise InvalidArgumentError(text)
    return native_options(given, named, exclusive)


_lock = allocate_lock()
_node: Optional[Node] = None


def start(options: Optional[NodeOptions] = None, **named: Unpack[NodeKeywords]) -> Node:
    """The node of this process. The first call starts it; later ones return the same object and
    ignore their options. After its ``close``, a call starts a new one.

    Errors: ``AlreadyRunningError`` when another module or language in this process has it, and
    those of :class:`Node`.
    """
    global _node
    with _lock:
        if _node is None or _node.closed:
            given = _blocking_options(options, named, exclusive=True)
            node = Node.__new__(Node)
            node._open(given)
            _node = node
        return _node
