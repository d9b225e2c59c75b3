#!/usr/bin/env python3
"""A node that speaks the lines of `distflow node run`.

It prints messages and events as JSON lines, and sends the lines {"to":…,"payload":…} of its input,
until the input ends:

    python node.py --alias ALIAS --port PMD-PORT

`distflow demo --node-program` runs it among the others.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from typing import Any

import distflow
from distflow import Message, Peer, PeerJoin, PeerLeave

_lock = threading.Lock()


def tell(event: str, **members: Any) -> None:
    """Prints a line; handlers and the reader of the input take turns."""
    text = json.dumps({"event": event, **members}, ensure_ascii=False, separators=(",", ":"))
    with _lock:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def as_row(peer: Peer) -> dict[str, Any]:
    """A node as the lines of other languages show it."""
    named = {"alias": peer.alias, "lastHeartbeat": peer.last_heartbeat, "meta": peer.meta}
    row = {"nodeId": peer.node_id, "host": peer.host, "port": peer.port, **named}
    return {name: value for name, value in row.items() if value is not None}


def tell_message(message: Message) -> None:
    """Prints a message."""
    members = {"from": message.sender, "payload": message.payload}
    tell("message", **members, timestamp=message.timestamp)


def send(node: distflow.Node, text: str) -> None:
    """Sends what a line says, or tells what is wrong with it."""
    try:
        line = json.loads(text)
        if not isinstance(line, dict) or not {"to"} <= set(line) <= {"to", "payload"}:
            raise ValueError("nothing else")
    except ValueError as error:
        text = f'a line must be {{"to":…,"payload":…}}: {error}'
        tell("error", code="invalid_message", error=text)
        return
    try:
        node.send(line["to"], line.get("payload"))
    except (distflow.DistflowError, TypeError) as error:
        tell("error", code=getattr(error, "code", "invalid_argument"), error=str(error))


def main() -> None:
    """Runs the node until the input ends."""
    parser = argparse.ArgumentParser(description="A node that is driven by lines.")
    parser.add_argument("--alias")
    parser.add_argument("--port", type=int, default=4369)
    options = parser.parse_args()
    # When lines are read slowly, senders wait and nothing is lost.
    named = {"alias": options.alias, "pmd_port": options.port, "overflow": "block"}
    with distflow.Node(**named, auto_start=False) as node:
        about = {"nodeId": node.node_id, "alias": node.alias, "port": node.port}
        tell("started", language="Python", **about, peers=len(node.peers()))

        def joined(event: PeerJoin) -> None:
            tell("peer:join", peer=as_row(event.peer))

        def left(event: PeerLeave) -> None:
            tell("peer:leave", peer=as_row(event.peer), cause=event.reason)

        node.on("peer_join", joined)
        node.on("peer_leave", left)
        node.on_message(tell_message)
        for text in sys.stdin:
            if text.strip():
                send(node, text)
    tell("stopped")


if __name__ == "__main__":
    main()
