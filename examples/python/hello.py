#!/usr/bin/env python3
"""Two processes: one answers, the other asks.

python hello.py answer [PMD-PORT]
python hello.py ask [PMD-PORT]
"""

from __future__ import annotations

import sys

import distflow


def answer(port: int) -> None:
    """Greets whoever writes, until Ctrl-C or a "bye"."""
    with distflow.Node(alias="greeter", pmd_port=port) as node:
        print(f"ready as {node.node_id}", flush=True)
        for message in node:
            if message.payload == "bye":
                return
            node.send(message.sender, {"hello": message.payload})


def ask(port: int) -> None:
    """Has itself greeted."""
    with distflow.Node(pmd_port=port) as node:
        for name in ("Ada", "Grace"):
            node.send("greeter", name, timeout=5)
            print(node.recv(timeout=5).payload)
        node.send("greeter", "bye")


def main() -> None:
    """Runs one of the two."""
    roles = {"answer": answer, "ask": ask}
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in roles:
        sys.exit(__doc__)
    port = int(arguments[1]) if len(arguments) > 1 else 4369
    try:
        roles[arguments[0]](port)
    except distflow.DistflowError as error:
        sys.exit(f"{error} ({error.code})")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
