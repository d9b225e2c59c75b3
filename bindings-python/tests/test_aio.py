"""Nodes of an event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any, Callable, Coroutine

import pytest

import distflow
from distflow import Message, NodeRuntime, PeerJoin, aio

from .conftest import LIMIT, until

Scenario = Callable[[distflow.Pmd], Coroutine[Any, Any, None]]


def node(pmd: distflow.Pmd, alias: str | None = None, **options: Any) -> aio.Node:
    return aio.Node(alias=alias, pmd_port=pmd.port, auto_start=False, **options)


def play(scenario: Scenario, pmd: distflow.Pmd) -> None:
    """Runs a scenario in a loop that takes what nobody catches as a failure."""
    problems: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(context))
        await asyncio.wait_for(scenario(pmd), LIMIT * 2)

    asyncio.run(main())
    gc.collect()
    assert problems == []
    assert pmd.nodes() == []


def test_messages_pass_in_order_by_iteration(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a, node(pmd, "b", overflow="block") as b:
            count = 10_000

            async def send() -> None:
                for at in range(count):
                    await a.send("b", {"at": at})

            sending = asyncio.create_task(send())
            at = 0
            async for message in b:
                assert message.payload == {"at": at}
                at += 1
                if at == count:
                    break
            await sending
            assert (message.sender, message.recipient) == (a.node_id, b.node_id)
            # A burst without a turn of the loop in between keeps its order, and goes out.
            for at in range(2_000):
                a.try_send("b", at)
            await asyncio.gather(*[a.send("b", at) for at in range(2_000, 3_000)])
            for at in range(3_000):
                assert (await b.recv(LIMIT)).payload == at

    play(scenario, pmd)
    # A second loop in the same process.
    play(scenario, pmd)


def test_handlers_may_be_functions_or_coroutines(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a, node(pmd, "b") as b:
            plain: list[Any] = []
            thread = threading.current_thread()

            async def answer(message: Message) -> None:
                await b.send(message.sender, ["got", message.payload])

            b.on_message(
                lambda message: plain.append((message.payload, threading.current_thread()))
            )
            b.on_message(answer)
            for at in range(100):
                await a.send("b", at)
            answers = [(await a.recv(LIMIT)).payload for _ in range(100)]
            assert answers == [["got", at] for at in range(100)]
            assert plain == [(at, thread) for at in range(100)]

    play(scenario, pmd)


def test_what_a_handler_raises_goes_to_the_loop_and_stops_nobody(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        contexts: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, it: contexts.append(it))
        async with node(pmd, "a") as a:
            got: asyncio.Queue[int] = asyncio.Queue()

            def plain(message: Message) -> None:
                raise RuntimeError("plain")

            async def task(message: Message) -> None:
                raise RuntimeError("task")

            a.on_message(plain)
            a.on_message(task)
            a.on_message(lambda message: got.put_nowait(message.payload))
            await a.send("a", 1)
            await a.send("a", 2)
            assert [await got.get(), await got.get()] == [1, 2]
            while len(contexts) < 4:
                await asyncio.sleep(0)
        assert sorted(str(it["exception"]) for it in contexts) == ["plain"] * 2 + ["task"] * 2

    play(scenario, pmd)


def test_events_are_told(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a:
            events: asyncio.Queue[Any] = asyncio.Queue()
            a.on("peer_join", events.put)
            a.on("peer_leave", events.put_nowait)
            async with node(pmd, "b", meta={"n": 1}) as b:
                join = await asyncio.wait_for(events.get(), LIMIT)
                assert join == PeerJoin(join.peer)
                assert (join.peer.node_id, join.peer.meta) == (b.node_id, {"n": 1})
                assert [peer.alias for peer in a.peers()] == ["b"]
                assert [peer.alias for peer in await a.discover()] == ["b"]
                assert await a.discover("x") == []
            leave = await asyncio.wait_for(events.get(), LIMIT)
            assert (leave.peer.alias, leave.reason) == ("b", "unregistered")
            with pytest.raises(ValueError, match="there is no event"):
                a.on("nonsense", print)

    play(scenario, pmd)


def test_errors_are_those_of_the_blocking_node(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a:
            with pytest.raises(
                distflow.ResolveFailedError, match=r"Failed to resolve target: nobody"
            ):
                await a.send("nobody", 1)
            with pytest.raises(TypeError, match="bytes can't be sent"):
                await a.send("a", b"")  # type: ignore[arg-type]
            with pytest.raises(TimeoutError):
                await a.recv(0.01)
            with pytest.raises(distflow.AliasInUseError):
                await node(pmd, "a").start()
            with pytest.raises(ValueError, match="overflow"):
                await node(pmd, overflow="nonsense")
            unstarted = node(pmd)
            with pytest.raises(distflow.NotStartedError):
                await unstarted.send("a", 1)
            with pytest.raises(distflow.NotStartedError):
                await unstarted.recv()
            await unstarted.close()
        with pytest.raises(distflow.ClosedError, match=r"^Node not started$"):
            await a.send("a", 1)
        await a.close()
        assert a.closed

    play(scenario, pmd)


def test_a_close_ends_every_wait(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a:
            waits = [asyncio.create_task(a.recv()) for _ in range(100)]

            async def iterate() -> list[Message]:
                return [message async for message in a]

            iteration = asyncio.create_task(iterate())
            await asyncio.sleep(0)
            await a.close()
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert {type(result) for result in results} == {distflow.ClosedError}
            assert await iteration == []

    play(scenario, pmd)


def test_waits_can_be_cancelled_without_losing_messages(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a, node(pmd, "b") as b:
            for at in range(200):
                wait = asyncio.create_task(b.recv())
                await asyncio.sleep(0)
                wait.cancel()
                await a.send("b", at)
                with pytest.raises(asyncio.CancelledError):
                    await wait
                assert (await b.recv(LIMIT)).payload == at
            starting = asyncio.create_task(node(pmd, "c").start())
            await asyncio.sleep(0)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting

    async def with_late_end(pmd: distflow.Pmd) -> None:
        await scenario(pmd)
        gc.collect()
        while pmd.nodes():
            await asyncio.sleep(0.005)

    play(with_late_end, pmd)


def test_a_tight_loop_of_sends_lets_others_run(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a, node(pmd, "b", overflow="drop-oldest"):
            await a.send("b", 0)
            turns = 0

            async def count() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            counting = asyncio.create_task(count())
            for at in range(20_000):
                await a.send("b", at)
            assert turns > 5
            counting.cancel()

    play(scenario, pmd)


def test_a_node_outlives_a_loop_that_is_closed(pmd: distflow.Pmd) -> None:
    async def forget() -> aio.Node:
        return await node(pmd, "forgotten")

    # Neither closed nor ended by its loop: it ends when it is dropped.
    loop = asyncio.new_event_loop()
    forgotten = loop.run_until_complete(forget())
    loop.close()
    with distflow.Node(pmd_port=pmd.port, auto_start=False) as other:
        other.send("forgotten", 1)
    with pytest.warns(ResourceWarning, match=r"unclosed <distflow\.aio\.Node"):
        del forgotten
        gc.collect()
    until(lambda: pmd.nodes() == [])


def test_a_node_that_is_dropped_does_not_harm_its_loop(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        for _ in range(20):
            dropped = await node(pmd, "dropped")
            dropped.on_message(lambda message: None)
            with pytest.warns(ResourceWarning, match=r"unclosed <distflow\.aio\.Node"):
                del dropped
                gc.collect()
            # Their descriptors may have the same numbers.
            async with node(pmd, "next") as other:
                await other.send("next", 1)
                assert (await other.recv(LIMIT)).payload == 1
            while pmd.nodes():
                await asyncio.sleep(0.001)

    play(scenario, pmd)


def test_a_receive_that_is_given_up_takes_no_message(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a, node(pmd, "b", overflow="block") as b:
            got = []
            for at in range(100):
                waiting = asyncio.ensure_future(b.recv())
                await asyncio.sleep(0)
                await a.send("b", at)
                # Until it is in the queue, or was handed to the wait already.
                while not b.stats().waiting and b.stats().delivered == at:
                    time.sleep(0.0005)
                # The message and the end of the wait arrive in one turn of the loop.
                asyncio.get_running_loop().call_soon(b._on_messages)
                asyncio.get_running_loop().call_soon(waiting.cancel)
                try:
                    got.append((await waiting).payload)
                except asyncio.CancelledError:
                    got.append((await b.recv(LIMIT)).payload)
            assert got == list(range(100))
            assert b.stats().delivered == 100

    play(scenario, pmd)


def test_a_handler_that_is_cancelled_stops_nobody(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a, node(pmd, "b") as b:
            reported: list[Any] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
            for at in range(10):
                await a.send("b", at)
            while b.stats().waiting < 10:
                await asyncio.sleep(0.001)
            got: list[Any] = []

            def handler(message: distflow.Message) -> None:
                got.append(message.payload)
                if message.payload == 2:
                    raise asyncio.CancelledError

            b.on_message(handler)
            while len(got) < 10:
                await asyncio.sleep(0.001)
            assert got == list(range(10))
            assert [type(error) for error in reported] == [asyncio.CancelledError]

    play(scenario, pmd)


@pytest.mark.parametrize("concurrency", [1, 7])
def test_awaiting_counts_as_being_handled(pmd: distflow.Pmd, concurrency: int) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        options = {} if concurrency == 1 else {"concurrency": concurrency}
        async with node(pmd, "a") as a, node(pmd, "b", mailbox_size=10, **options) as b:
            running, most = 0, 0
            begun: list[int] = []
            done: list[int] = []
            release = asyncio.Event()

            async def handler(message: distflow.Message) -> None:
                nonlocal running, most
                begun.append(message.payload)
                running += 1
                most = max(most, running)
                await release.wait()
                await asyncio.sleep(0)
                running -= 1
                done.append(message.payload)

            b.on_message(handler)

            async def send() -> None:
                for at in range(3_000):
                    # Without room anywhere, this waits.
                    await a.send("b", at)

            sending = asyncio.ensure_future(send())
            while running < concurrency or b.stats().waiting < 10:
                await asyncio.sleep(0.001)
            for _ in range(20):
                await asyncio.sleep(0.001)
                stats = b.stats()
                assert (running, stats.waiting, stats.dropped) == (concurrency, 10, 0)
            release.set()
            await sending
            while len(done) < 3_000:
                await asyncio.sleep(0.001)
            assert begun == list(range(3_000))
            assert most == concurrency and b.stats().dropped == 0
            if concurrency == 1:
                assert done == begun

    play(scenario, pmd)


def test_a_message_is_handled_when_all_its_handlers_are_done(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a") as a:
            steps: list[Any] = []
            gates = [asyncio.Event(), asyncio.Event()]

            def handler(number: int) -> Any:
                async def handle(message: distflow.Message) -> None:
                    steps.append((message.payload, number))
                    await gates[number].wait()
                    if number == 1 and message.payload == 0:
                        raise RuntimeError("on purpose")

                return handle

            asyncio.get_running_loop().set_exception_handler(lambda *_: steps.append("raised"))
            a.on_message(handler(0))
            a.on_message(lambda message: steps.append((message.payload, "at once")))
            a.on_message(handler(1))
            await a.send("a", 0)
            await a.send("a", 1)
            first = [(0, "at once"), (0, 0), (0, 1)]
            while len(steps) < 3:
                await asyncio.sleep(0.001)
            gates[0].set()
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert sorted(steps, key=str) == sorted(first, key=str)
            gates[1].set()
            while len(steps) < 7:
                await asyncio.sleep(0.001)
            assert sorted(steps[4:], key=str) == sorted([(1, "at once"), (1, 0), (1, 1)], key=str)
            assert steps[3] == "raised"

    play(scenario, pmd)


def test_handlers_end_and_receivers_compete(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        async with node(pmd, "a", overflow="block") as a:
            got: list[Any] = []
            end = a.on_message(lambda message: got.append(message.payload))
            other = a.on_message(lambda message: got.append((message.payload, "too")))
            await a.send("a", 1)
            while len(got) < 2:
                await asyncio.sleep(0.001)
            other()
            other()
            # A receiver that waits gets one, the handlers get the rest.
            receiving = asyncio.ensure_future(a.recv(LIMIT))
            await asyncio.sleep(0)
            for at in range(2, 5):
                await a.send("a", at)
            assert (await receiving).payload == 2
            while len(got) < 4:
                await asyncio.sleep(0.001)
            assert got == [1, (1, "too"), 3, 4]
            end()
            await a.send("a", 5)
            assert (await a.recv(LIMIT)).payload == 5
            assert len(got) == 4
            joins: list[Any] = []
            end_joins = a.on("peer_join", joins.append)
            same: list[Any] = []
            a.on("peer_join", same.append)
            async with node(pmd, "b"):
                while not same:
                    await asyncio.sleep(0.001)
            assert joins[0] is same[0]
            end_joins()
            async with node(pmd, "c"):
                while len(same) < 2:
                    await asyncio.sleep(0.001)
            assert len(joins) == 1

    play(scenario, pmd)


def test_concurrency_is_checked(pmd: distflow.Pmd) -> None:
    with pytest.raises(distflow.InvalidArgumentError, match="concurrency must be at least 1"):
        node(pmd, concurrency=0)
    with pytest.raises(TypeError, match="concurrency must be an int"):
        node(pmd, concurrency="1")
    with pytest.raises(distflow.InvalidArgumentError, match=r"nodes of distflow\.aio"):
        distflow.Node(pmd_port=pmd.port, concurrency=2)
    options = distflow.NodeOptions(concurrency=3)
    assert aio.Node(options)._concurrency == 3


def test_a_closed_node_says_so(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        unused = node(pmd)
        await unused.close()
        with pytest.raises(distflow.ClosedError):
            await unused.start()
        a = await node(pmd, "a")
        with pytest.raises(distflow.InvalidArgumentError):
            await a.send("a", 1, timeout=-1)
        with pytest.raises(TypeError, match="timeout must be None or a number"):
            await a.recv(timeout="x")  # type: ignore[arg-type]
        await a.close()
        assert repr(a) == "<distflow.aio.Node, closed>"
        with pytest.raises(distflow.ClosedError):
            await a.recv()
        with pytest.raises(distflow.ClosedError):
            await a.start()
        with pytest.raises(distflow.ClosedError):
            a.on_message(print)
        with pytest.raises(distflow.ClosedError):
            async with a:
                pass

    play(scenario, pmd)


def test_another_loop_or_thread_is_refused(pmd: distflow.Pmd) -> None:
    loop = asyncio.new_event_loop()
    a = loop.run_until_complete(node(pmd, "a").start())

    async def foreign() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await a.send("a", 1)
        with pytest.raises(RuntimeError, match="another event loop"):
            await a.close()

    asyncio.run(foreign())
    thread = threading.Thread(target=lambda: asyncio.run(foreign()))
    thread.start()
    thread.join()
    assert a.stats().sent == 0
    loop.run_until_complete(a.close())
    loop.close()


def test_a_start_that_is_given_up_is_taken_back(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        for delay in range(30):
            given_up = node(pmd, "given-up")
            starting = asyncio.ensure_future(given_up.start())
            await asyncio.sleep(delay / 10_000)
            starting.cancel()
            try:
                await starting
                await given_up.close()
            except asyncio.CancelledError:
                assert given_up.closed
            while pmd.nodes() or aio._ENDING:
                await asyncio.sleep(0.001)

    play(scenario, pmd)


def test_other_loops(pmd: distflow.Pmd) -> None:
    import uvloop

    async def scenario() -> None:
        async with node(pmd, "a") as a, node(pmd, "b", overflow="block") as b:
            for at in range(5_000):
                await a.send("b", at)
            assert [(await b.recv(LIMIT)).payload for _ in range(5_000)] == list(range(5_000))

    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.wait_for(scenario(), LIMIT))
    loop.close()


def test_the_names_of_the_typescript_packages(pmd: distflow.Pmd) -> None:
    async def scenario(pmd: distflow.Pmd) -> None:
        options = {"pmd_port": pmd.port, "auto_start": False}
        first, second = await asyncio.gather(
            NodeRuntime.start(alias="one", **options), NodeRuntime.start(alias="two", **options)
        )
        assert first.get_node_id() == second.get_node_id() and first.get_alias() == "one"
        got: asyncio.Queue[Any] = asyncio.Queue()
        joins: asyncio.Queue[Any] = asyncio.Queue()
        first.on_message(lambda message, meta: got.put_nowait((message, meta)))
        first.on("peer:join", joins.put_nowait)
        await first.send("one", {"hello": 1})
        message, meta = await got.get()
        assert message == {"hello": 1}
        assert (meta.sender, meta.recipient) == (first.get_node_id(), first.get_node_id())
        async with node(pmd, "b"):
            assert (await joins.get()).alias == "b"
            assert [peer.alias for peer in await first.discover()] == ["b"]
        await first.shutdown()
        await second.shutdown()
        with pytest.raises(distflow.ClosedError):
            await first.send("one", 1)
        again = await NodeRuntime.start(alias="again", **options)
        assert again.get_alias() == "again"
        await again.shutdown()

    play(scenario, pmd)
