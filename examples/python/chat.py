#!/usr/bin/env python3
"""A chat of asyncio nodes: each line of the input goes to everybody.

python chat.py NAME [PMD-PORT]
"""

from __future__ import annotations

import asyncio
import sys

from distflow import Message, PeerJoin, PeerLeave, aio

PREFIX = "chat-"


def name_of(alias: str | None) -> str | None:
    """The name of somebody in the chat; None for other nodes."""
    return alias[len(PREFIX) :] if alias and alias.startswith(PREFIX) else None


async def chat(name: str, port: int) -> None:
    """Chats until the input ends."""
    async with aio.Node(alias=PREFIX + name, pmd_port=port) as node:

        def joined(event: PeerJoin) -> None:
            if who := name_of(event.peer.alias):
                print(f"* {who} is here", flush=True)

        def left(event: PeerLeave) -> None:
            who = name_of(event.peer.alias)
            if who and who != name:
                print(f"* {who} has left", flush=True)

        def heard(message: Message) -> None:
            print(f"{message.payload['name']}: {message.payload['text']}", flush=True)

        node.on("peer_join", joined)
        node.on("peer_leave", left)
        node.on_message(heard)
        others = [peer.alias for peer in await node.discover(PREFIX)]
        print(f"* you and {len(others)} others", flush=True)
        loop = asyncio.get_running_loop()
        while text := await loop.run_in_executor(None, sys.stdin.readline):
            line = {"name": name, "text": text.strip()}
            for peer in await node.discover(PREFIX):
                await node.send(peer.node_id, line)


def main() -> None:
    """Reads the arguments."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 4369
    asyncio.run(chat(sys.argv[1], port))


if __name__ == "__main__":
    main()
