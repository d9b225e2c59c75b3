"""Nodes that block."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
from typing import Any, Callable

import pytest

import distflow
from distflow import Message, Node, NodeOptions, PeerJoin, PeerLeave

from .conftest import LIMIT, free_port, until

Make = Callable[..., Node]


def test_a_node_tells_who_it_is(pmd: distflow.Pmd, make: Make) -> None:
    node = make("me", node_id="fixed-id", meta={"zone": "x"})
    assert (node.node_id, node.alias, node.is_registered, node.closed) == (
        "fixed-id",
        "me",
        True,
        False,
    )
    assert 0 < node.port < 65_536
    assert repr(node) == "<distflow.Node fixed-id alias='me'>"
    [registered] = pmd.nodes()
    assert registered.meta == {"zone": "x"}
    nameless = make()
    assert nameless.alias is None and len(nameless.node_id) == 16
    node.close()
    assert node.closed


def test_messages_pass_unchanged_and_in_order(make: Make) -> None:
    a, b = make("a"), make("b", overflow="block")
    count = 10_000
    sender = threading.Thread(
        target=lambda: [a.send("b", {"at": at, "text": "é" * (at % 50)}) for at in range(count)]
    )
    sender.start()
    for at, message in enumerate(b):
        assert message.payload == {"at": at, "text": "é" * (at % 50)}
        assert (message.sender, message.recipient) == (a.node_id, b.node_id)
        assert message.alias == "a"
        if at == count - 1:
            break
    sender.join()
    assert message.timestamp > 1_700_000_000_000
    b.send(message.sender, "by id")
    assert a.recv(LIMIT).payload == "by id"
    a.send("a", None)
    assert a.recv(LIMIT).payload is None
    stats = b.stats()
    assert (stats.delivered, stats.dropped, stats.waiting, stats.sent) == (count, 0, 0, 1)


def test_messages_can_be_matched_compared_and_made(make: Make) -> None:
    a = make("a")
    a.send("a", [1])
    message = a.recv(LIMIT)
    same = Message([1], a.node_id, a.node_id, message.timestamp, "a")
    assert message != Message([1], a.node_id, a.node_id, message.timestamp)
    assert message == same and message != Message([2], "x", "y", 0) and message != 1
    assert repr(message).startswith("Message(payload=[1], sender='")
    assert Message.__match_args__ == ("payload", "sender", "recipient", "timestamp")


def test_errors_have_classes_codes_and_the_texts_of_the_originals(make: Make) -> None:
    a, _ = make("a"), make("b")
    with pytest.raises(LookupError, match=r"^Failed to resolve target: nobody$") as caught:
        a.send("nobody", 1)
    assert isinstance(caught.value, distflow.ResolveFailedError)
    assert (caught.value.code, caught.value.causes) == ("resolve_failed", ("Node not found",))
    with pytest.raises(distflow.ResolveFailedError):
        a.try_send("nobody", 1)
    with pytest.raises(distflow.AliasInUseError, match=r"^Alias 'b' already in use$"):
        make("b")
    with pytest.raises(distflow.TooLargeError):
        a.send("b", "x" * (17 << 20))
    with pytest.raises(TimeoutError):
        a.recv(0.01)
    with pytest.raises(TimeoutError):
        a.recv(0)
    with pytest.raises(distflow.TimeoutError):
        make("c").next_event(0.01)
    a.close()
    with pytest.raises(distflow.ClosedError, match=r"^Node not started$"):
        a.send("b", 1)
    with pytest.raises(distflow.ClosedError):
        a.recv()
    with pytest.raises(distflow.ClosedError), a:
        pass
    assert repr(a) == "<distflow.Node, closed>"
    with pytest.raises(distflow.ClosedError):
        a.discover()
    assert list(a) == []
    a.close()


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"alias": 1}, TypeError, "alias must be a str, not int"),
    ({"alias": "x" * 256}, distflow.InvalidArgumentError, "256 bytes"),
    ({"alias": "a\nb"}, ValueError, "control characters"),
    ({"pmd_port": 70_000}, ValueError, "pmd_port must be 1 to 65535, not 70000"),
    ({"pmd_port": 0}, ValueError, "pmd_port must be 1 to 65535"),
    ({"pmd_port": "4369"}, TypeError, "pmd_port must be an int, not str"),
    ({"pmd_port": True}, TypeError, "pmd_port must be an int, not bool"),
    ({"start_timeout": -1}, ValueError, "start_timeout must be"),
    ({"auto_start": 1}, TypeError, "auto_start must be a bool"),
    ({"overflow": "explode"}, ValueError, "overflow"),
    ({"mailbox_size": 0}, ValueError, "at least 1 message"),
    ({"heartbeat_interval": 0.01}, ValueError, "^heartbeat_interval must be 0.05 to 5$"),
    ({"max_frame_bytes": 10}, ValueError, "^max_frame_bytes must be 1024 to"),
    ({"node_id": ""}, ValueError, "^node_id must not be empty$"),
    ({"meta": [1]}, TypeError, "meta must be a mapping"),
    ({"meta": {"a": {1}}}, ValueError, "meta can't be written as JSON"),
    ({"listen_host": "0.0.0.0"}, distflow.InsecureError, "insecure"),
    ({"alais": "x"}, TypeError, "alais"),
]


@pytest.mark.parametrize(("options", "kind", "text"), WRONG)
def test_wrong_options_are_named(
    pmd: distflow.Pmd, options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        Node(**{"pmd_port": pmd.port, "auto_start": False, **options})
    assert pmd.nodes() == []


def test_options_may_be_one_object(pmd: distflow.Pmd) -> None:
    options = NodeOptions(alias="a", pmd_port=pmd.port, auto_start=False)
    with Node(options) as node:
        assert node.alias == "a"
    with pytest.raises(TypeError, match="either"):
        Node(options, alias="b")
    with pytest.raises(TypeError, match="must be a NodeOptions, not dict"):
        Node({"alias": "b"})  # type: ignore[arg-type]


def test_wrong_arguments_are_named(make: Make) -> None:
    a = make("a")
    with pytest.raises(TypeError):
        a.send(1, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        a.send("a")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="timeout must be None or at least 0"):
        a.recv(-1)
    with pytest.raises(ValueError, match="timeout"):
        a.recv(float("nan"))
    with pytest.raises(TypeError, match="callable"):
        a.on_message(1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no event 'peer_jion': peer_join, peer_leave"):
        a.on("peer_jion", print)
    with pytest.raises(TypeError, match=r"^target must be a str, not NoneType$"):
        a.send(None, 1)  # type: ignore[arg-type]
    with pytest.raises(distflow.InvalidArgumentError, match=r"^target has a surrogate"):
        a.send("\ud800", 1)
    with pytest.raises(distflow.InvalidArgumentError, match=r"^alias has a surrogate"):
        make("\ud800")
    for wrong in (-1, float("nan")):
        for wait in (a.recv, a.discover, a.next_event):
            with pytest.raises(distflow.InvalidArgumentError, match="at least 0 seconds"):
                wait(timeout=wrong)  # type: ignore[operator]
        with pytest.raises(distflow.InvalidArgumentError, match="at least 0 seconds"):
            a.send("a", 1, timeout=wrong)
    with pytest.raises(TypeError, match="timeout must be None or a number of seconds, not str"):
        a.send("a", 1, timeout="x")  # type: ignore[arg-type]


def test_handlers_get_messages_and_one_that_raises_stops_nobody(make: Make) -> None:
    a, b = make("a"), make("b", overflow="block")
    reported: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda args: reported.append(args.exc_value)
    try:
        a.send("b", 0)
        got: list[Any] = []

        def raises(message: Message) -> None:
            if message.payload == 1:
                raise RuntimeError("on purpose")

        b.on_message(lambda message: got.append((message.payload, threading.current_thread())))
        b.on_message(raises)
        for at in range(1, 2_000):
            a.send("b", at)
        until(lambda: len(got) == 2_000)
        assert [payload for payload, _ in got] == list(range(2_000))
        assert threading.current_thread() not in {thread for _, thread in got}
        until(lambda: len(reported) == 1)
        assert str(reported[0]) == "on purpose"
    finally:
        sys.unraisablehook = hook


def test_handlers_end_and_receivers_compete(make: Make) -> None:
    a, b = make("a", overflow="block"), make("b")
    first: list[Any] = []
    second: list[Any] = []
    end_first = a.on_message(first.append)
    end_second = a.on_message(second.append)
    b.send("a", 1)
    until(lambda: len(second) == 1)
    # Both get the same object, which was made once.
    assert first[0] is second[0]
    end_first()
    end_first()
    b.send("a", 2)
    until(lambda: len(second) == 2)
    assert len(first) == 1
    end_second()
    for at in range(3, 6):
        b.send("a", at)
    assert [a.recv(LIMIT).payload for _ in range(3)] == [3, 4, 5]
    # A handler may begin again, and receivers compete with it.
    a.on_message(second.append)
    received: list[Any] = []

    def receive() -> None:
        while True:
            try:
                received.append(a.recv().payload)
            except distflow.ClosedError:
                return

    receiver = threading.Thread(target=receive)
    receiver.start()
    for at in range(1_000):
        b.send("a", at)
    until(lambda: len(received) + len(second) == 1_002)
    assert sorted([*received, *(message.payload for message in second[2:])]) == list(range(1_000))
    a.close()
    receiver.join(LIMIT)


def test_what_a_handler_that_ends_has_not_got_is_for_receivers(make: Make) -> None:
    a, b = make("a", overflow="block"), make("b")
    for at in range(100):
        b.send("a", at)
    until(lambda: a.stats().waiting == 100)
    got: list[int] = []
    ends: list[Callable[[], None]] = []

    def handler(message: Message) -> None:
        got.append(message.payload)
        if message.payload == 10:
            until(lambda: bool(ends))
            ends[0]()

    ends.append(a.on_message(handler))
    until(lambda: len(got) == 11)
    assert [a.recv(LIMIT).payload for _ in range(89)] == list(range(11, 100))
    assert got == list(range(11))
    stats = a.stats()
    assert (stats.delivered, stats.waiting) == (100, 0)


def test_an_event_is_made_once_and_only_for_who_listens(
    pmd: distflow.Pmd, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distflow import _base

    made: list[str] = []
    make_event = _base.event

    def count(row: Any) -> Any:
        made.append(row[0])
        return make_event(row)

    monkeypatch.setattr(_base, "event", count)
    a = make("a")
    joins: list[list[Any]] = [[], [], []]
    ends = [a.on("peer_join", told.append) for told in joins]
    pmd_joins: list[Any] = []
    end_pmd = pmd.on("peer_join", pmd_joins.append)
    for name in ("b", "c"):
        make(name).close()
    # A PMD tells its first handler also of what was before.
    until(lambda: all(len(told) == 2 for told in joins) and len(pmd_joins) == 3)
    # By the node and by the PMD, once each; no leave, for which nobody has asked.
    assert made == ["peer:join"] * 5
    assert all(told[0] is joins[0][0] for told in joins)
    for end in (*ends[1:], end_pmd):
        end()
        end()
    make("d")
    until(lambda: len(joins[0]) == 3)
    assert [len(told) for told in joins] == [3, 2, 2] and len(pmd_joins) == 3


def test_a_closed_node_keeps_events_only_for_who_asked(make: Make) -> None:
    asked, unasked = make("asked"), make("unasked")
    assert isinstance(asked.next_event(LIMIT), PeerJoin)
    for _ in range(20):
        make("other").close()
    for node in (asked, unasked):
        until(lambda node=node: len(node.peers()) < 3)  # type: ignore[misc]
        node.close()
    assert isinstance(asked.next_event(), PeerJoin)
    with pytest.raises(distflow.ClosedError):
        unasked.next_event()


def test_an_end_keeps_no_node_alive(pmd: distflow.Pmd) -> None:
    node = Node(pmd_port=pmd.port, auto_start=False)
    end, other = node.on_message(print), node.on("peer_join", print)
    with pytest.warns(ResourceWarning, match="unclosed"):
        del node
        gc.collect()
    until(lambda: pmd.nodes() == [])
    end()
    other()


def test_a_handler_may_answer_ask_and_close(make: Make) -> None:
    a, b = make("a"), make("b")
    peers: list[Any] = []

    def answer(message: Message) -> None:
        peers.extend(b.discover())
        b.send(message.sender, ["got", message.payload])
        if message.payload == "last":
            b.close()

    b.on_message(answer)
    a.send("b", 1)
    assert a.recv(LIMIT).payload == ["got", 1]
    a.send("b", "last")
    assert a.recv(LIMIT).payload == ["got", "last"]
    until(lambda: b.closed)
    assert [peer.alias for peer in peers] == ["a", "a"]


def test_a_handler_that_closes_its_node_is_the_last_one_called(make: Make) -> None:
    a, b = make("a"), make("b", overflow="block")
    for at in range(5):
        a.send("b", at)
    until(lambda: b.stats().waiting == 5)
    got: list[Any] = []
    left: list[Any] = []

    def close(message: Message) -> None:
        got.append(message.payload)
        if message.payload == 1:
            b.close()

    b.on("peer_leave", left.append)
    b.on_message(close)
    until(lambda: b.closed)
    b.close()
    assert (got, left) == ([0, 1], [])


def test_messages_can_be_pickled_and_nodes_can_not(make: Make) -> None:
    a = make("a")
    a.send("a", {"x": [1, None]})
    message = a.recv(LIMIT)
    assert pickle.loads(pickle.dumps(message)) == message
    assert copy.deepcopy(message) == message
    with pytest.raises(TypeError, match="a Node can't be copied or pickled"):
        copy.copy(a)


def test_after_close_no_handler_is_called(make: Make) -> None:
    a = make("a", overflow="drop-oldest")
    for _ in range(20):
        late: list[int] = []
        b = make("b", overflow="drop-oldest")
        ended = threading.Event()

        def note(message: Message, ended: threading.Event = ended, late: Any = late) -> None:
            if ended.is_set():
                late.append(message.payload)

        b.on_message(note)
        for at in range(500):
            a.send("b", at)
        b.close()
        ended.set()
        assert late == []


def test_joins_and_leaves_are_told(make: Make) -> None:
    a = make("a")
    joined, left = threading.Event(), threading.Event()
    told: list[Any] = []

    def note(event: Any) -> None:
        told.append(event)
        (joined if isinstance(event, PeerJoin) else left).set()

    a.on("peer_join", note)
    a.on("peer_leave", note)
    b = make("b", meta={"zone": "x"})
    assert joined.wait(LIMIT)
    b_id = b.node_id
    b.close()
    assert left.wait(LIMIT)
    join, leave = told
    assert isinstance(join, PeerJoin) and isinstance(leave, PeerLeave)
    assert (join.peer.node_id, join.peer.alias, join.peer.meta) == (b_id, "b", {"zone": "x"})
    assert (leave.peer, leave.reason) == (join.peer, "unregistered")
    assert [a.next_event(LIMIT), a.next_event(LIMIT)] == told
    a.close()
    # Its own leave, and then nothing more.
    assert isinstance(a.next_event(LIMIT), PeerLeave)
    with pytest.raises(distflow.ClosedError):
        a.next_event()


def test_discover_and_peers(make: Make) -> None:
    a, _, _ = make("a"), make("svc-1"), make("svc-2")
    assert sorted(peer.alias or "" for peer in a.discover()) == ["svc-1", "svc-2"]
    assert [peer.alias for peer in a.discover("svc-1", timeout=LIMIT)] == ["svc-1"]
    until(lambda: len(a.peers()) == 2)


def test_the_loss_of_the_pmd_is_told_and_mended() -> None:
    port = free_port()
    pmd = distflow.Pmd(port=port)
    a = Node(alias="a", pmd_port=port, auto_start=False)
    lost, restored = threading.Event(), threading.Event()
    a.on("pmd_lost", lambda event: lost.set())
    a.on("pmd_restored", lambda event: restored.set())
    pmd.close()
    assert lost.wait(LIMIT)
    with distflow.Pmd(port=port) as again:
        assert restored.wait(LIMIT)
        assert [node.alias for node in again.nodes()] == ["a"]
        a.close()


def test_a_full_mailbox_is_counted_and_told(make: Make) -> None:
    a, b = make("a"), make("b", mailbox_size=10)
    told = threading.Event()
    b.on("mailbox_overflow", lambda event: told.set())
    for at in range(100):
        a.send("b", at)
    until(lambda: b.stats().dropped + b.stats().waiting == 100)
    assert told.wait(LIMIT)
    assert [b.recv(LIMIT).payload for _ in range(10)] == list(range(10))


def test_a_coroutine_function_is_no_handler_of_a_node_that_blocks(make: Make) -> None:
    async def handler(message: object) -> None:
        pass

    a = make("a")
    for register in (a.on_message, lambda handler: a.on("peer_join", handler)):
        with pytest.raises(TypeError, match=r"distflow\.aio"):
            register(handler)


def test_a_handler_that_is_slow_loses_nothing(make: Make) -> None:
    a, b = make("a"), make("b", mailbox_size=10)
    got: list[int] = []

    def slow(message: Message) -> None:
        got.append(message.payload)
        if message.payload % 1_000 == 0:
            threading.Event().wait(0.02)

    b.on_message(slow)
    for at in range(5_000):
        a.send("b", at)
    until(lambda: len(got) == 5_000)
    assert got == list(range(5_000)) and b.stats().dropped == 0


def test_other_threads_run_while_one_waits(make: Make) -> None:
    a = make("a")
    got: list[Any] = []
    receiver = threading.Thread(target=lambda: got.append(a.recv(LIMIT).payload))
    receiver.start()
    total = sum(range(200_000))
    assert receiver.is_alive()
    a.send("a", total)
    receiver.join(LIMIT)
    assert got == [total]


def test_threads_share_a_node(make: Make) -> None:
    a, b = make("a", overflow="block"), make("b", overflow="block")
    got: list[int] = []

    def receive() -> None:
        for message in b:
            got.append(message.payload)

    receivers = [threading.Thread(target=receive) for _ in range(4)]
    senders = [
        threading.Thread(target=lambda base=base: [a.send("b", base + at) for at in range(500)])
        for base in range(0, 2_000, 500)
    ]
    for thread in receivers + senders:
        thread.start()
    for thread in senders:
        thread.join(LIMIT)
    until(lambda: len(got) == 2_000)
    b.close()
    for thread in receivers:
        thread.join(LIMIT)
    assert sorted(got) == list(range(2_000))


def test_start_is_the_node_of_the_process(pmd: distflow.Pmd) -> None:
    node = distflow.start(alias="one", pmd_port=pmd.port, auto_start=False)
    try:
        assert distflow.start(alias="ignored") is node
    finally:
        node.close()
    again = distflow.start(alias="two", pmd_port=pmd.port, auto_start=False)
    assert again is not node and again.alias == "two"
    again.close()


def test_a_node_that_is_forgotten_warns_and_ends(pmd: distflow.Pmd) -> None:
    node = Node(pmd_port=pmd.port, auto_start=False)
    with pytest.warns(ResourceWarning, match="unclosed <distflow.Node"):
        del node
        gc.collect()
    until(lambda: pmd.nodes() == [])
