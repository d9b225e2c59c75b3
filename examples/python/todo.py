#!/usr/bin/env python3
"""A to-do list that processes share: everybody adds and ticks off, and all end with the same list.

python todo.py NAME [PMD-PORT]

Each line of the input is a command: add TEXT, done NUMBER, list, quit.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import Any

import distflow
from distflow import DocumentWatch, JsonCrdt, Message, Op, PeerJoin

PREFIX = "todo-"
# Operations in one message, by the length of their text: far less than a message may have.
TEXT_MAX = 1 << 20
GONE = (distflow.ResolveFailedError, distflow.ConnectionFailedError)


def say(line: str) -> None:
    """Prints a line as one piece: two threads do."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class TodoList:
    """The list of this process, and how it is kept like those of the others."""

    def __init__(self, name: str, node: distflow.Node) -> None:
        self.node = node
        self.name = name
        self.doc = JsonCrdt(name)
        self.added = 0
        self.doc.watch("todo.*", self.tell)
        node.on_message(self.message)
        node.on("peer_join", self.joined)
        for peer in node.discover(PREFIX):
            self.ask(peer.node_id)

    def items(self) -> list[tuple[str, dict[str, Any]]]:
        """The items and their ids, the oldest first."""
        found: dict[str, dict[str, Any]] = self.doc.get("todo", {})
        return sorted(found.items(), key=lambda item: (item[1].get("at", 0), item[0]))

    def add(self, text: str) -> None:
        """Adds an item."""
        self.added += 1
        at = time.time_ns() // 1_000_000
        item = {"text": text, "done": False, "at": at}
        self.share(self.doc.set(["todo", f"{self.name}-{at}-{self.added}"], item))

    def done(self, number: str) -> None:
        """Ticks off an item, by its place in the list."""
        items = self.items()
        if not number.isdecimal() or not 1 <= int(number) <= len(items):
            say(f"there is no item {number}")
            return
        self.share(self.doc.set(["todo", items[int(number) - 1][0], "done"], True))

    def print(self) -> None:
        """Prints the list."""
        for number, (_, item) in enumerate(self.items(), 1):
            say(f"{number}. {shown(item)}")
        say(f"{len(self.items())} items")

    def share(self, op: Op) -> None:
        """Sends an operation to everybody."""
        for peer in self.node.discover(PREFIX):
            self.send(peer.node_id, {"type": "CRDT_OP", "op": op.text})

    def send(self, to: str, payload: dict[str, Any]) -> None:
        """Sends a message. Whoever has gone asks for what is missed when coming back."""
        with contextlib.suppress(*GONE):
            self.node.send(to, payload)

    def give(self, to: str, ops: list[Op]) -> None:
        """Gives somebody operations, in as many messages as it takes."""
        texts: list[str] = []
        for op in ops:
            if texts and sum(map(len, texts)) + len(op.text) > TEXT_MAX:
                self.answer(to, texts)
                texts = []
            texts.append(op.text)
        self.answer(to, texts)

    def answer(self, to: str, ops: list[str]) -> None:
        """Gives somebody operations in one message."""
        self.send(to, {"type": "CRDT_SYNC_RESPONSE", "ops": ops, "clock": self.doc.clock})

    def ask(self, peer: str) -> None:
        """Asks somebody for what is not here."""
        request = {"type": "CRDT_SYNC_REQUEST", "clock": self.doc.clock, "from": self.node.alias}
        self.send(peer, request)

    def joined(self, event: PeerJoin) -> None:
        """Somebody may have been writing alone."""
        if (event.peer.alias or "").startswith(PREFIX):
            self.ask(event.peer.node_id)

    def message(self, message: Message) -> None:
        """Takes in what others have written, and gives them what they lack."""
        payload, doc = message.payload, self.doc
        if payload["type"] == "CRDT_OP":
            if doc.receive(payload["op"]) == "pending":
                # One before it was lost on the way.
                self.ask(message.sender)
        elif payload["type"] == "CRDT_SYNC_REQUEST":
            if doc.is_complete_since(payload["clock"]):
                self.give(message.sender, doc.diff_since(payload["clock"]))
            else:
                # The operations are no longer all there: the whole list, however long it is.
                for piece in doc.snapshot_pieces():
                    self.send(message.sender, {"type": "CRDT_PIECE", "piece": piece})
        elif payload["type"] == "CRDT_SYNC_RESPONSE":
            for op in payload["ops"]:
                doc.receive(op)
        elif payload["type"] == "CRDT_PIECE" and doc.merge_piece(payload["piece"]):
            say("* took in a whole list")

    def tell(self, event: DocumentWatch) -> None:
        """Somebody else has changed an item. Without an operation, look at all of them."""
        item = None if event.local else self.doc.get(event.path[:2])
        if event.op and isinstance(item, dict):
            # A source is a name, and one of its lives.
            say(f"* {event.op.src.rsplit('~', 1)[0]}: {shown(item)}")


def shown(item: dict[str, Any]) -> str:
    """An item as a line."""
    return f"[{'x' if item.get('done') else ' '}] {item.get('text')}"


def run(name: str, port: int) -> None:
    """Does what the input says until it ends."""
    with distflow.Node(alias=PREFIX + name, pmd_port=port) as node:
        todo = TodoList(name, node)
        say(f"* ready as {name}")
        for line in sys.stdin:
            command, _, rest = line.strip().partition(" ")
            if command == "add" and rest:
                todo.add(rest)
            elif command == "done":
                todo.done(rest)
            elif command == "list":
                todo.print()
            elif command == "quit":
                break
            elif command:
                say("add TEXT, done NUMBER, list or quit")


def main() -> None:
    """Reads the arguments."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 4369)
    except distflow.DistflowError as error:
        sys.exit(f"{error} ({error.code})")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
