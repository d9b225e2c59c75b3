"""The node that blocks."""

from __future__ import annotations

from _thread import allocate_lock
from _warnings import warn

from . import _distflow
from ._base import (
    NodeBase,
    checked_handler,
    event,
    event_name,
    native_options,
    peer,
    row_handler,
)
from .errors import ClosedError, TimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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

    Usable from any thread. Every wait lets other threads run, and Ctrl-C ends it.

    Errors: ``InvalidArgumentError``, ``TypeError``, ``InsecureError``, ``AliasInUseError``,
    ``NodeIdInUseError``, ``PmdUnavailableError``, ``NotPmdError``, ``PmdLaunchFailedError``,
    ``ConnectionFailedError`` (a host that has no address), ``AddressInUseError``, ``TimeoutError``.
    """

    def __init__(
        self, options: Optional[NodeOptions] = None, **named: Unpack[NodeKeywords]
    ) -> None:
        self._open(native_options(options, named, exclusive=False))

    def _open(self, options: str) -> None:
        native = _distflow.NativeNode()
        native.start(options)
        self._native = native

    def send(self, target: str, payload: Payload, timeout: Optional[float] = None) -> None:
        """Sends a message to an alias or node id. Returns when it is in the queue of an established
        connection; that is no acknowledgement. Messages to one node keep their order.

        It waits for the target's address, the connection, or room in the queue, for ``timeout``
        seconds at most; after a ``TimeoutError`` the message may still be sent.

        Errors: ``ResolveFailedError``, ``ConnectionFailedError``, ``TooLargeError``, ``BusyError``,
        ``NotStartedError``, ``ForkedError``; ``TypeError`` and ``InvalidJsonError`` (a
        ``ValueError``) for what JSON can't hold.
        """
        self._native.send(target, payload, timeout)

    def recv(self, timeout: Optional[float] = None) -> Message:
        """The next message. Several receivers, and handlers, compete for messages.

        Errors: ``TimeoutError`` after ``timeout`` seconds, ``ClosedError`` when the node has ended.
        """
        message = self._native.recv(timeout)
        if message is None:
            raise TimeoutError("nothing came in time")
        return message

    def __iter__(self) -> Iterator[Message]:
        """The messages from now on, until the node is closed."""
        return self._native

    def on_message(self, handler: Callable[[Message], object]) -> None:
        """Calls a function with every message, on the node's own thread; what waits comes first.

        What it raises goes to ``sys.unraisablehook``, and the next message still comes. A handler
        that refers to the node keeps it alive: close it.
        """
        checked_handler(handler)
        self._native.on_message(handler)

    if TYPE_CHECKING:
        on: OnNodeEvent
    else:

        def on(self, event: str, handler: Callable[[Any], object]) -> None:
            """Calls a function with every event of a kind from now on, on the node's own thread.

            ``event`` is a key of :data:`distflow.NODE_EVENTS`, such as ``peer_leave``; the function
            gets an object of the class there. What it raises goes to ``sys.unraisablehook``.
            """
            self._native.on_event(row_handler(event_name(event, "NODE_EVENTS"), handler))

    def next_event(self, timeout: Optional[float] = None) -> Event:
        """The next event since the start, of any kind. Callers compete; handlers get all anyway. At
        most 16,384 wait; then the oldest are dropped.

        Errors: ``TimeoutError`` after ``timeout`` seconds, ``ClosedError`` when the node has ended.
        """
        row = self._native.next_event(timeout)
        if row is None:
            if self.closed:
                raise ClosedError("the node has ended")
            raise TimeoutError("nothing came in time")
        told: Event = event(row)
        return told

    def discover(self, prefix: Optional[str] = None, timeout: Optional[float] = None) -> list[Peer]:
        """Asks the PMD for everyone else, or only those whose alias begins with ``prefix``.

        Errors: ``NotStartedError``, ``PmdUnavailableError``, ``TimeoutError``.
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
            given = native_options(options, named, exclusive=True)
            node = Node.__new__(Node)
            node._open(given)
            _node = node
        return _node
