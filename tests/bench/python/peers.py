"""The contestants, each as a sender and a receiver of objects, blocking or of asyncio.

`python peers.py NAME ROLE ADDRESS [SIZE SECONDS | TRIPS]` is a child of `run.py`: it says
`ready ADDRESS` and `result JSON` on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
import time
from typing import Any, Awaitable, Callable, Iterator

FIRST = 1_000_000_000
MARK = 9_999_999_998
END = 9_999_999_999
# Messages between two looks at the clock.
STEP = 64


def payload(size: int) -> dict[str, Any]:
    """An object of exactly so many bytes of JSON, at least 100."""
    value: dict[str, Any] = {"seq": FIRST, "type": "reading", "at": 1_700_000_000, "value": 21.5}
    value.update(unit="C", ok=True)

    def length() -> int:
        return len(json.dumps(value, separators=(",", ":")))

    item = 0
    while length() + 99 < size:
        text = "a line of ordinary text"
        value[f"item{item:02}"] = {"title": text, "size": 120 + item, "tags": ["new"]}
        item += 1
    value["by"] = ""
    value["by"] = ("abcdefghijklmnopqrstuvwxyz" * 40)[: size - length()]
    assert length() == size
    return value


def say(text: str) -> None:
    print(text, flush=True)


def cpu() -> float:
    times = os.times()
    return times.user + times.system


class Order:
    """Takes a stream apart again: order and count are checked."""

    def __init__(self) -> None:
        self.next, self.count, self.begun, self.cpu = FIRST, 0, 0.0, 0.0

    def take(self, value: dict[str, Any]) -> bool:
        """Whether it was the last one."""
        seq = value["seq"]
        if seq == self.next:
            self.next += 1
            self.count += 1
        elif seq == MARK:
            self.count, self.begun, self.cpu = 0, time.perf_counter(), cpu()
        elif seq == END:
            seconds = time.perf_counter() - self.begun
            used = (cpu() - self.cpu) * 1e6 / self.count
            say("result " + json.dumps({"rate": self.count / seconds, "cpu": used}))
            return True
        else:
            raise AssertionError(f"message {seq} instead of {self.next}")
        return False


def phases(size: int, seconds: float) -> Iterator[tuple[dict[str, Any], bool]]:
    """What to send: a phase to warm up, then the measured one. True: others may run now."""
    value, seq = payload(size), FIRST
    for length, after in ((seconds / 2, MARK), (seconds, END)):
        begun, used, first = time.perf_counter(), cpu(), seq
        while time.perf_counter() - begun < length:
            for step in range(STEP):
                value["seq"] = seq
                value["at"] = 1_700_000_000 + seq % 100_000
                seq += 1
                yield value, step == 0
        yield {"seq": after}, False
        if after == END:
            say("result " + json.dumps({"cpu": (cpu() - used) * 1e6 / (seq - first)}))


def trips(count: int, trip: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Times round trips after some to warm up."""
    value, times = payload(100), []
    for number in range(count + count // 4):
        value["seq"] = FIRST + number
        begun = time.perf_counter()
        answer = trip(value)
        times.append((time.perf_counter() - begun) * 1e6)
        assert answer["seq"] == value["seq"]
    say_trips(times[count // 4 :])


async def aio_trips(count: int, trip: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
    """The same for what is awaited."""
    value, times = payload(100), []
    for number in range(count + count // 4):
        value["seq"] = FIRST + number
        begun = time.perf_counter()
        answer = await trip(value)
        times.append((time.perf_counter() - begun) * 1e6)
        assert answer["seq"] == value["seq"]
    say_trips(times[count // 4 :])


def say_trips(times: list[float]) -> None:
    times.sort()
    at = {share: times[int((len(times) - 1) * share)] for share in (0.5, 0.99)}
    say("result " + json.dumps({"p50": at[0.5], "p99": at[0.99]}))


# ---------------------------------------------------------------------------------- distflow


def distflow_node(address: str, aio: bool = False) -> Any:
    import distflow

    port = int(address.split("/", maxsplit=1)[0])
    kind = distflow.aio.Node if aio else distflow.Node
    return kind(pmd_port=port, auto_start=False, overflow="block")


def distflow_receive(address: str) -> None:
    with distflow_node(address) as node:
        say(f"ready {address}/{node.node_id}")
        order = Order()
        for message in node:
            if order.take(message.payload):
                return


def distflow_send(address: str, size: int, seconds: float) -> None:
    target = address.split("/")[1]
    with distflow_node(address) as node:
        for value, _ in phases(size, seconds):
            node.send(target, value)


def distflow_echo(address: str) -> None:
    with distflow_node(address) as node:
        say(f"ready {address}/{node.node_id}")
        for message in node:
            node.send(message.sender, message.payload)


def distflow_ping(address: str, count: int) -> None:
    target = address.split("/")[1]
    with distflow_node(address) as node:

        def trip(value: dict[str, Any]) -> Any:
            node.send(target, value)
            return node.recv().payload

        trips(count, trip)


def distflow_aio_receive(address: str) -> None:
    async def main() -> None:
        async with distflow_node(address, aio=True) as node:
            say(f"ready {address}/{node.node_id}")
            order = Order()
            async for message in node:
                if order.take(message.payload):
                    return

    asyncio.run(main())


def distflow_aio_send(address: str, size: int, seconds: float) -> None:
    async def main() -> None:
        async with distflow_node(address, aio=True) as node:
            target = address.split("/")[1]
            for value, _ in phases(size, seconds):
                await node.send(target, value)

    asyncio.run(main())


def distflow_aio_echo(address: str) -> None:
    async def main() -> None:
        async with distflow_node(address, aio=True) as node:
            say(f"ready {address}/{node.node_id}")
            async for message in node:
                await node.send(message.sender, message.payload)

    asyncio.run(main())


def distflow_aio_ping(address: str, count: int) -> None:
    async def main() -> None:
        async with distflow_node(address, aio=True) as node:
            target = address.split("/")[1]

            async def trip(value: dict[str, Any]) -> Any:
                await node.send(target, value)
                return (await node.recv()).payload

            await aio_trips(count, trip)

    asyncio.run(main())


# ---------------------------------------------------------------------------------- pyzmq


def zmq_receive(address: str) -> None:
    import zmq

    receiver = zmq.Context().socket(zmq.PULL)
    port = receiver.bind_to_random_port("tcp://127.0.0.1")
    say(f"ready {port}")
    order = Order()
    while not order.take(receiver.recv_json()):
        pass


def zmq_send(address: str, size: int, seconds: float) -> None:
    import zmq

    context = zmq.Context()
    sender = context.socket(zmq.PUSH)
    sender.connect(f"tcp://127.0.0.1:{address}")
    for value, _ in phases(size, seconds):
        sender.send_json(value)
    sender.close()
    context.term()


def zmq_echo(address: str) -> None:
    import zmq

    pair = zmq.Context().socket(zmq.PAIR)
    say(f"ready {pair.bind_to_random_port('tcp://127.0.0.1')}")
    while True:
        pair.send_json(pair.recv_json())


def zmq_ping(address: str, count: int) -> None:
    import zmq

    pair = zmq.Context().socket(zmq.PAIR)
    pair.connect(f"tcp://127.0.0.1:{address}")

    def trip(value: dict[str, Any]) -> Any:
        pair.send_json(value)
        return pair.recv_json()

    trips(count, trip)


def zmq_aio_receive(address: str) -> None:
    import zmq
    import zmq.asyncio

    async def main() -> None:
        receiver = zmq.asyncio.Context().socket(zmq.PULL)
        say(f"ready {receiver.bind_to_random_port('tcp://127.0.0.1')}")
        order = Order()
        while not order.take(await receiver.recv_json()):
            pass

    asyncio.run(main())


def zmq_aio_send(address: str, size: int, seconds: float) -> None:
    import zmq
    import zmq.asyncio

    async def main() -> None:
        context = zmq.asyncio.Context()
        sender = context.socket(zmq.PUSH)
        sender.connect(f"tcp://127.0.0.1:{address}")
        for value, _ in phases(size, seconds):
            await sender.send_json(value)
        sender.close()
        context.term()

    asyncio.run(main())


def zmq_aio_echo(address: str) -> None:
    import zmq
    import zmq.asyncio

    async def main() -> None:
        pair = zmq.asyncio.Context().socket(zmq.PAIR)
        say(f"ready {pair.bind_to_random_port('tcp://127.0.0.1')}")
        while True:
            await pair.send_json(await pair.recv_json())

    asyncio.run(main())


def zmq_aio_ping(address: str, count: int) -> None:
    import zmq
    import zmq.asyncio

    async def main() -> None:
        pair = zmq.asyncio.Context().socket(zmq.PAIR)
        pair.connect(f"tcp://127.0.0.1:{address}")

        async def trip(value: dict[str, Any]) -> Any:
            await pair.send_json(value)
            return await pair.recv_json()

        await aio_trips(count, trip)

    asyncio.run(main())


# ---------------------------------------------------------------------------------- bare sockets

HEADER = struct.Struct(">I")
BATCH = 64 << 10


def frames(connection: socket.socket, loads: Callable[[bytes], Any]) -> Iterator[Any]:
    rest = b""
    while True:
        data = connection.recv(BATCH)
        if not data:
            return
        rest += data
        at = 0
        while len(rest) - at >= HEADER.size:
            (length,) = HEADER.unpack_from(rest, at)
            end = at + HEADER.size + length
            if end > len(rest):
                break
            yield loads(rest[at + HEADER.size : end])
            at = end
        rest = rest[at:]


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    say(f"ready {listener.getsockname()[1]}")
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def dial(address: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(address)))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def codec(name: str) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    if name == "orjson":
        import orjson

        return orjson.dumps, orjson.loads
    return (lambda value: json.dumps(value, separators=(",", ":")).encode()), json.loads


def socket_receive(address: str, name: str = "json") -> None:
    order = Order()
    for value in frames(listen(), codec(name)[1]):
        if order.take(value):
            return


def socket_send(address: str, size: int, seconds: float, name: str = "json") -> None:
    connection, dumps, batch = dial(address), codec(name)[0], bytearray()
    for value, _ in phases(size, seconds):
        text = dumps(value)
        batch += HEADER.pack(len(text)) + text
        if len(batch) >= BATCH or value["seq"] >= MARK:
            connection.sendall(batch)
            batch.clear()


def socket_orjson_receive(address: str) -> None:
    socket_receive(address, "orjson")


def socket_orjson_send(address: str, size: int, seconds: float) -> None:
    socket_send(address, size, seconds, "orjson")


def socket_echo(address: str) -> None:
    connection, (dumps, loads) = listen(), codec("json")
    for value in frames(connection, loads):
        text = dumps(value)
        connection.sendall(HEADER.pack(len(text)) + text)


def socket_ping(address: str, count: int) -> None:
    connection, (dumps, loads) = dial(address), codec("json")
    answers = frames(connection, loads)

    def trip(value: dict[str, Any]) -> Any:
        text = dumps(value)
        connection.sendall(HEADER.pack(len(text)) + text)
        return next(answers)

    trips(count, trip)


# ---------------------------------------------------------------------------------- streams


def streams_receive(address: str, run: Callable[[Any], Any] = asyncio.run) -> None:
    async def main() -> None:
        ended = asyncio.get_running_loop().create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            order = Order()
            while True:
                if order.take(await read_frame(reader)):
                    ended.set_result(None)
                    return

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
        say(f"ready {server.sockets[0].getsockname()[1]}")
        await ended

    run(main())


def streams_send(
    address: str, size: int, seconds: float, run: Callable[[Any], Any] = asyncio.run
) -> None:
    async def main() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", int(address))
        for value, _ in phases(size, seconds):
            await write_frame(writer, value)
        writer.close()
        await writer.wait_closed()

    run(main())


async def read_frame(reader: asyncio.StreamReader) -> Any:
    (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
    return json.loads(await reader.readexactly(length))


async def write_frame(writer: asyncio.StreamWriter, value: Any) -> None:
    text = json.dumps(value, separators=(",", ":")).encode()
    writer.write(HEADER.pack(len(text)) + text)
    await writer.drain()


def streams_echo(address: str) -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                await write_frame(writer, await read_frame(reader))

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        say(f"ready {server.sockets[0].getsockname()[1]}")
        await server.serve_forever()

    asyncio.run(main())


def streams_ping(address: str, count: int) -> None:
    async def main() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(address))

        async def trip(value: dict[str, Any]) -> Any:
            await write_frame(writer, value)
            return await read_frame(reader)

        await aio_trips(count, trip)

    asyncio.run(main())


def uvloop_streams_receive(address: str) -> None:
    import uvloop

    streams_receive(address, uvloop.run)


def uvloop_streams_send(address: str, size: int, seconds: float) -> None:
    import uvloop

    streams_send(address, size, seconds, uvloop.run)


def main() -> None:
    name, role, address, *numbers = sys.argv[1:]
    globals()[f"{name}_{role}"](address, *(float(n) if "." in n else int(n) for n in numbers))


if __name__ == "__main__":
    main()
