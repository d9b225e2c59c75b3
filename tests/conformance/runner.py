"""Carries out the steps of a conformance scenario; README.md describes the lines it speaks.

python runner.py [--asyncio]
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import queue
import re
import sys
from typing import Any, Callable, Optional, Union

import distflow
from distflow import _options, aio

LIMIT = 30.0
ASYNC = "--asyncio" in sys.argv
NodeType = Union[distflow.Node, aio.Node]
loop = asyncio.new_event_loop()


def done(result: Any) -> Any:
    """What a call of either node gives, in the end."""
    return loop.run_until_complete(result) if asyncio.iscoroutine(result) else result


def nothing_came() -> distflow.TimeoutError:
    return distflow.TimeoutError("no handler was called")


class Queue:
    """What handlers were given, until it is asked for."""

    def __init__(self) -> None:
        self._items: queue.Queue[Any] = queue.Queue()

    def put(self, item: Any) -> None:
        self._items.put(item)

    def next(self, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next one that is wanted; others are dropped."""
        while True:
            item = self._take()
            if wanted(item):
                return item

    def _take(self) -> Any:
        if not ASYNC:
            try:
                return self._items.get(timeout=LIMIT)
            except queue.Empty:
                raise nothing_came() from None
        return loop.run_until_complete(self._taken())

    async def _taken(self) -> Any:
        # Handlers run while the loop does.
        deadline = loop.time() + LIMIT
        while self._items.empty():
            if loop.time() > deadline:
                raise nothing_came()
            await asyncio.sleep(0.001)
        return self._items.get_nowait()

    def event(self, kind: Optional[str]) -> Any:
        return self.next(lambda item: kind is None or item["event"] == kind)


class Object:
    """What a scenario calls by one name."""

    node: NodeType
    pmd: distflow.Pmd
    client: distflow.PmdClient
    doc: distflow.JsonCrdt
    told: list[Any]

    def __init__(self) -> None:
        self.handled = Queue()
        self.events = Queue()
        self.seen = Queue()


def known(peer: distflow.Peer) -> dict[str, Any]:
    """A node as all languages tell of it."""
    row = {"nodeId": peer.node_id, "host": peer.host, "port": peer.port}
    if peer.alias is not None:
        row["alias"] = peer.alias
    if peer.meta is not None:
        row["meta"] = peer.meta
    return row


def message(got: distflow.Message) -> dict[str, Any]:
    return {
        "payload": got.payload,
        "from": got.sender,
        "to": got.recipient,
        "timestamp": got.timestamp,
        "alias": got.alias,
    }


NAMES = {
    kind: name.replace("_", ":")
    for names in (distflow.NODE_EVENTS, distflow.PMD_EVENTS)
    for name, kind in names.items()
}


def event(told: Any) -> dict[str, Any]:
    fields = {
        name: known(value) if isinstance(value, distflow.Peer) else value
        for name, value in vars(told).items()
        if name != "error"
    }
    if hasattr(told, "error"):
        fields["code"] = told.error.code
    return {"event": NAMES[type(told)], **fields}


def describe(self: Object) -> dict[str, Any]:
    node = self.node
    assert not node.closed
    return {
        "nodeId": node.node_id,
        "alias": node.alias,
        "port": node.port,
        "isRegistered": node.is_registered,
    }


def keywords(table: dict[str, tuple[str, str]], given: dict[str, Any]) -> dict[str, Any]:
    """Options under their Python names."""
    names = {native: (name, kind) for name, (native, kind) in table.items()}
    return {
        names[native][0]: value / 1_000 if names[native][1] == "seconds" else value
        for native, value in given.items()
    }


def node_open(self: Object, exclusive: bool = False, **options: Any) -> Any:
    named = keywords(_options.NODE, {"autoStart": False, **options})
    if ASYNC:
        starting = aio.start(**named) if exclusive else aio.Node(**named).start()
        self.node = done(starting)
    else:
        self.node = distflow.start(**named) if exclusive else distflow.Node(**named)
    if ASYNC:
        for name in distflow.NODE_EVENTS:
            self.node.on(name, lambda told: self.seen.put(event(told)))
    return describe(self)


def node_recv(self: Object, timeoutMs: Optional[int] = None) -> Any:
    return message(done(self.node.recv(LIMIT if timeoutMs is None else timeoutMs / 1_000)))


def node_send(self: Object, to: str, payload: Any, timeoutMs: Optional[int] = None) -> None:
    done(self.node.send(to, payload, None if timeoutMs is None else timeoutMs / 1_000))


async def _taken(node: aio.Node, count: int) -> list[Any]:
    taken = []
    async for got in node:
        taken.append(message(got))
        if len(taken) == count:
            break
    return taken


def node_recv_many(self: Object, count: int) -> Any:
    node = self.node
    if isinstance(node, aio.Node):
        return done(_taken(node, count))
    return [message(got) for _, got in zip(range(count), node)]


def node_event(self: Object, kind: Optional[str] = None) -> Any:
    if isinstance(self.node, aio.Node):
        return self.seen.event(kind)
    while True:
        told = event(self.node.next_event(LIMIT))
        if kind in (None, told["event"]):
            return told


def handle(self: Object) -> None:
    self.node.on_message(lambda got: self.handled.put(message(got)))


def handle_events(self: Object) -> None:
    for name in distflow.NODE_EVENTS:
        self.node.on(name, lambda told: self.events.put(event(told)))


def pmd_open(self: Object, **options: Any) -> Any:
    self.pmd = distflow.Pmd(**keywords(_options.PMD, {"port": 0, **options}))
    for name in distflow.PMD_EVENTS:
        self.pmd.on(name, lambda told: self.events.put(event(told)))
    return {"port": self.pmd.port}


def client_open(self: Object, port: int, host: str = "localhost") -> None:
    self.client = distflow.PmdClient(host, port, timeout=LIMIT)


def client_event(self: Object, kind: Optional[str] = None) -> Any:
    while True:
        told = event(self.client.next_event(LIMIT))
        if kind in (None, told["event"]):
            told.pop("reason", None)
            return told


def client_register(self: Object, nodeId: str, host: str, port: int, **more: Any) -> None:
    self.client.register(nodeId, more.get("alias"), host, port, more.get("meta"))


def peers_of(peers: list[distflow.Peer]) -> list[dict[str, Any]]:
    return [known(peer) for peer in peers]


def members(op: distflow.Op) -> Any:
    return json.loads(op.text)


def doc_open(self: Object, replica: str, initial: Any = None, options: Any = None) -> None:
    named = {
        re.sub("[A-Z]", lambda it: "_" + it[0].lower(), k): v for k, v in (options or {}).items()
    }
    self.doc = distflow.JsonCrdt(replica, initial, **named)
    self.told = []
    for name in ("change", "sync", "conflict", "gc", "limit"):
        self.doc.on(name, lambda event, name=name: self.told.append([name, known_event(event)]))


def known_event(event: Any) -> dict[str, Any]:
    names = {
        "ParentTombstone": "parent-tombstone",
        "TombstoneWins": "tombstone-wins",
        "ClockDrift": "clock-drift",
        "SourceReused": "source-reused",
    }
    kind = names.get(type(event).__name__, getattr(event, "type", None))
    path = getattr(event, "path", None)
    return {"type": kind, "path": None if path is None else list(path)}


def doc_events(self: Object) -> Any:
    told, self.told = self.told, []
    return told


def doc_read(self: Object) -> Any:
    doc = self.doc
    return {
        "value": doc.value,
        "canonical": doc.canonical(),
        "hash": doc.hash(),
        "clock": doc.clock,
    }


def doc_since(self: Object, clock: Any) -> Any:
    ops = [members(op) for op in self.doc.diff_since(clock)]
    return {"ops": ops, "complete": self.doc.is_complete_since(clock)}


CALLS: dict[str, Callable[..., Any]] = {
    "node.open": node_open,
    "node.info": describe,
    "node.send": node_send,
    "node.trySend": lambda self, to, payload: self.node.try_send(to, payload),
    "node.recv": node_recv,
    "node.recvMany": node_recv_many,
    "node.handle": handle,
    "node.handled": lambda self: self.handled.next(),
    "node.event": node_event,
    "node.handleEvents": handle_events,
    "node.handledEvent": lambda self, kind=None: self.events.event(kind),
    "node.peers": lambda self: peers_of(self.node.peers()),
    "node.discover": lambda self, prefix=None: peers_of(done(self.node.discover(prefix))),
    "node.stats": lambda self: {
        {
            "lost_outbound": "lostOutbound",
            "lost_inbound": "lostInbound",
            "bad_frames": "badFrames",
        }.get(name, name): value
        for name, value in vars(self.node.stats()).items()
    },
    "node.close": lambda self: done(self.node.close()),
    "pmd.open": pmd_open,
    "pmd.isRunning": lambda self: self.pmd.is_running,
    "pmd.nodes": lambda self: peers_of(self.pmd.nodes()),
    "pmd.event": lambda self, kind=None: self.events.event(kind),
    "pmd.close": lambda self: self.pmd.close(),
    "client.open": client_open,
    "client.register": client_register,
    "client.unregister": lambda self, nodeId: self.client.unregister(nodeId),
    "client.heartbeat": lambda self, nodeId: self.client.heartbeat(nodeId),
    "client.resolve": lambda self, name: known(self.client.resolve(name)),
    "client.list": lambda self, prefix=None: peers_of(self.client.list(prefix)),
    "client.watch": lambda self: peers_of(self.client.watch()) and None,
    "client.event": client_event,
    "client.close": lambda self: self.client.close(),
    "doc.open": doc_open,
    "doc.set": lambda self, path, value: {"op": members(self.doc.set(path, value))},
    "doc.delete": lambda self, path: {"op": members(self.doc.delete(path))},
    "doc.get": lambda self, path: self.doc.get(path),
    "doc.read": doc_read,
    "doc.receive": lambda self, op: self.doc.receive(op) == "applied",
    "doc.receiveAll": lambda self, ops: [self.doc.receive(op) for op in ops] and None,
    "doc.since": doc_since,
    "doc.snapshot": lambda self: {"snapshot": self.doc.snapshot_json()},
    "doc.restore": lambda self, snapshot: self.doc.restore(snapshot),
    "doc.merge": lambda self, snapshot: self.doc.merge(snapshot),
    "doc.pieces": lambda self, bytes: {"pieces": self.doc.snapshot_pieces(bytes)},
    "doc.mergePieces": lambda self, pieces: any([self.doc.merge_piece(piece) for piece in pieces]),
    "doc.events": doc_events,
    "doc.close": lambda self: self.doc.close(),
}


def main() -> None:
    # Trouble is part of the scenarios.
    logging.getLogger("distflow").setLevel(logging.CRITICAL + 1)
    objects: dict[str, Object] = {}
    print("ready", *CALLS, sep="\t", flush=True)
    for line in sys.stdin:
        call, name, *fields = line.rstrip("\n").split("\t")
        given = {}
        for field in fields:
            key, _, text = field.partition("=")
            given[key] = math.nan if text == "NaN" else json.loads(text)
        try:
            result = CALLS[call](objects.setdefault(name, Object()), **given)
            print("ok", json.dumps(result), sep="\t", flush=True)
        except distflow.DistflowError as error:
            print("fail", error.code, error, sep="\t", flush=True)
    for item in reversed(list(objects.values())):
        for part in ("client", "node", "pmd"):
            if hasattr(item, part):
                done(getattr(item, part).close())
    loop.close()


if __name__ == "__main__":
    main()
