"""What blocking and asyncio nodes have in common."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Optional

from . import _distflow, _log, options, types
from .errors import InvalidArgumentError
from .options import NodeOptions
from .types import NODE_EVENTS, Payload, Peer, Stats


def event_name(name: str, events: Mapping[str, Any] = NODE_EVENTS) -> str:
    """The native module's name of an event.

    Error: ``InvalidArgumentError`` for one that does not exist.
    """
    if name not in events:
        raise InvalidArgumentError(f"there is no event {name!r}: {', '.join(events)}")
    return name.replace("_", ":")


def checked_handler(handler: Any) -> None:
    """Error: ``TypeError`` for what can't be called."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {type(handler).__name__}")


def row_handler(name: str, handler: Callable[[Any], object]) -> Callable[[list[Any]], None]:
    """What the native module calls with each event's row, for a handler of one kind."""
    checked_handler(handler)

    def call(row: list[Any]) -> None:
        if row[0] == name:
            handler(types.event(row))

    return call


def native_options(given: Optional[NodeOptions], named: dict[str, Any], exclusive: bool) -> str:
    """Options, given as an object or by name but not both, as the native module takes them."""
    if given is not None and named:
        raise TypeError("give options either as a NodeOptions or by keyword")
    if given is None:
        given = NodeOptions(**named)
    elif not isinstance(given, NodeOptions):
        raise TypeError(f"options must be a NodeOptions, not {type(given).__name__}")
    _log.connect()
    return options.native(given, launcher=options.launcher(), exclusive=exclusive)


class NodeBase:
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
        return [types.peer(row) for row in self._native.peers()]

    def stats(self) -> Stats:
        """The counters."""
        return Stats(**self._native.stats())
