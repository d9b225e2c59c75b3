"""The names of the TypeScript packages, for programs that are ported from there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional

from . import aio
from ._distflow import Message
from .errors import InvalidArgumentError
from .types import NodeEventName, Payload, Peer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import NodeKeywords


@dataclass(frozen=True)
class MessageMetadata:
    """Who sent a message, to whom, when (Unix milliseconds), and the sender's alias."""

    sender: str
    recipient: str
    timestamp: int
    alias: Optional[str] = None


_EVENTS: Dict[str, NodeEventName] = {
    "peer:join": "peer_join",
    "peer:leave": "peer_leave",
    "pmd:lost": "pmd_lost",
    "pmd:restored": "pmd_restored",
    "mailbox:overflow": "mailbox_overflow",
    "send:failed": "send_failed",
}


class NodeRuntime:
    """The one node of a process, with the members of the class of that name in TypeScript, in
    Python's spelling. New programs use :func:`distflow.start` or :func:`distflow.aio.start`.

    .. code-block:: python

        node = await NodeRuntime.start(alias="billing")
        node.on_message(lambda message, meta: print(meta.sender, message))
        await node.send("orders", {"hello": 1})
        await node.shutdown()
    """

    def __init__(self, node: aio.Node) -> None:
        self._node = node

    @classmethod
    async def start(cls, **options: Unpack[NodeKeywords]) -> NodeRuntime:
        """Starts the node of this process, or returns it. Options: :class:`NodeOptions`."""
        return cls(await aio.start(**options))

    async def send(self, target: str, message: Payload) -> None:
        """Sends a message to an alias or node id."""
        await self._node.send(target, message)

    def on_message(self, handler: Callable[[Any, MessageMetadata], Any]) -> None:
        """Calls a function with every message and its metadata."""

        def call(message: Message) -> Any:
            meta = MessageMetadata(
                message.sender, message.recipient, message.timestamp, message.alias
            )
            return handler(message.payload, meta)

        self._node.on_message(call)

    def on(self, event: str, handler: Callable[[Any], Any]) -> None:
        """Calls a function with every event of a kind: ``peer:join`` and ``peer:leave`` with a
        :class:`distflow.Peer`, others with the objects of :meth:`distflow.aio.Node.on`."""
        name = _EVENTS.get(event)
        if name is None:
            raise InvalidArgumentError(f"there is no event {event!r}: {', '.join(_EVENTS)}")
        if event.startswith("peer:"):
            self._node.on(name, lambda told: handler(told.peer))
        else:
            self._node.on(name, handler)

    async def discover(self) -> list[Peer]:
        """Everyone registered except this node."""
        return await self._node.discover()

    def get_node_id(self) -> str:
        """This node's id."""
        return self._node.node_id

    def get_alias(self) -> Optional[str]:
        """This node's alias."""
        return self._node.alias

    async def shutdown(self) -> None:
        """Ends the node. Safe to call twice."""
        await self._node.close()
