"""Greenlets that receive, send and serve at the same time: `python with_gevent.py [PMD-PORT]`."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402

import distflow  # noqa: E402


def main() -> None:
    """Two nodes, each with a greenlet, and a third greenlet that is not kept waiting."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4369
    with (
        distflow.Node(alias="server", pmd_port=port) as server,
        distflow.Node(alias="client", pmd_port=port) as client,
    ):

        def serve() -> None:
            # Lets the others run while it waits, as everything that gevent has patched.
            for message in server:
                server.send(message.sender, {"twice": message.payload * 2})

        def tick() -> None:
            while True:
                gevent.sleep(0.01)
                ticks.append(1)

        ticks: list[int] = []
        greenlets = [gevent.spawn(serve), gevent.spawn(tick)]
        for number in range(3):
            gevent.sleep(0.05)
            client.send("server", number)
            print(client.recv(timeout=10).payload)
        print("others have run:", bool(ticks))
        gevent.killall(greenlets)


if __name__ == "__main__":
    main()
