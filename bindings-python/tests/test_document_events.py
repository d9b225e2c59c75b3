"""What shared documents tell their listeners."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import Any

import pytest

import distflow
from distflow import JsonCrdt, Op

HOUR_MS = 3_600_000


@pytest.fixture
def unraised(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What goes to ``sys.unraisablehook``."""
    seen: list[Any] = []
    monkeypatch.setattr(
        sys, "unraisablehook", lambda found: seen.append((found.exc_value, found.object))
    )
    return seen


def listen(doc: JsonCrdt) -> list[Any]:
    """Everything that it tells from now on."""
    told: list[Any] = []
    for name in distflow.DOCUMENT_EVENTS:
        doc.on(name, told.append)
    return told


def test_local_and_other_writes_are_told_with_their_operations() -> None:
    a, b = JsonCrdt("a"), JsonCrdt("b")
    told, told_b = listen(a), listen(b)
    ops = [a.set(["list", "x"], {"y": 1}), a.delete(["list", "x"]), a.set("n", None)]
    assert told == [
        distflow.DocumentChange("set", ("list", "x"), {"y": 1}, ops[0]),
        distflow.DocumentChange("del", ("list", "x"), None, ops[1]),
        distflow.DocumentChange("set", ("n",), None, ops[2]),
    ]
    assert (b.receive(ops[1]), told_b) == ("pending", [])
    b.receive(ops[0])
    assert told_b == [distflow.DocumentSync(ops[0]), distflow.DocumentSync(ops[1])]
    b.receive_batch(a.encode_since({}))
    assert told_b[2:] == [distflow.DocumentSync(ops[2])]
    b.receive(ops[0])
    assert len(told_b) == 3


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="this interpreter may raise between any two instructions"
)
def test_an_interrupt_takes_no_event_with_it() -> None:
    """Whatever a signal handler that raises comes into the middle of."""
    import gc
    import signal

    class Interrupt(Exception):
        pass

    is_armed = False

    def interrupt(*_: object) -> None:
        if is_armed:
            raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    doc = JsonCrdt("a")
    told: list[Any] = []
    # In which no signal handler runs: it would be the callback's exception.
    doc.on("change", told.append)
    written = interrupts = 0
    # What other tests have left would be collected in between, and its end be interrupted.
    gc.collect()
    gc.disable()
    try:
        for at in range(400):
            signal.setitimer(signal.ITIMER_REAL, 0.00005 + at % 40 / 200_000)
            is_armed = True
            try:
                for _ in range(20):
                    doc.set("x", written)
                    written += 1
            except Interrupt:
                interrupts += 1
            finally:
                is_armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            written = doc.get("x", -1) + 1
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, before)
    doc.set("x", written)
    assert interrupts > 10
    assert [event.value for event in told] == list(range(written + 1))


def test_conflicts_are_told() -> None:
    a, b = JsonCrdt("a"), JsonCrdt("b", max_drift_ms=HOUR_MS)
    told = listen(b)
    early = a.set("x", 1)
    stamp = early.hlc["t"]

    def op(kind: str, path: list[Any], later: int, number: int) -> Op:
        members = {"id": "op", "kind": kind, "path": path, "src": "c", "deps": {"c": number}}
        return Op({**members, "value": 1, "hlc": {"t": stamp + later, "c": 0, "r": "c"}})

    b.receive(op("tombstone", ["x"], 1_000, 1))
    b.receive(early)
    assert distflow.DocumentSync(early) in told
    hidden = distflow.TombstoneWins(("x",), early.hlc, {"t": stamp + 1_000, "c": 0, "r": "c"})
    assert [event for event in told if not isinstance(event, distflow.DocumentSync)] == [hidden]
    del told[:]
    own = b.set(["x", "y"], 1)
    assert told == [
        distflow.ParentTombstone(("x", "y"), ("x",)),
        distflow.DocumentChange("set", ("x", "y"), 1, own),
    ]
    del told[:]
    ahead = op("set", ["z"], 2 * HOUR_MS, 2)
    b.receive(ahead)
    [drift] = [event for event in told if isinstance(event, distflow.ClockDrift)]
    assert (drift.path, drift.op_hlc) == (("z",), ahead.hlc)
    assert HOUR_MS < drift.ahead_ms <= 2 * HOUR_MS
    del told[:]
    unknown = op("increment", ["z"], 2_000, 3)
    b.receive(unknown)
    [ignored] = [event for event in told if isinstance(event, distflow.OperationIgnored)]
    assert ignored.op == unknown and "increment" in ignored.reason


def test_what_is_forgotten_and_what_is_too_much_is_told() -> None:
    a = JsonCrdt("a", max_lww_size=1, pending_timeout_ms=0)
    told = listen(a)
    b = JsonCrdt("b")
    b["x"] = 1
    a["x"] = 1
    a["y"] = 1
    assert told.pop() == distflow.DocumentLimit("registers", 2, 1)
    assert a.receive(b.set("x", 2)) == "pending"
    del told[:]
    a.gc_log(1)
    assert told.pop() == distflow.DocumentGc("log", 1, 1)
    while a.get_stats().pending_size:
        a.clean_pending()
    assert told.pop() == distflow.DocumentGc("pending", 1, 0)
    del told[:]
    a.gc_tombstones()
    assert told == []
    a.restore(a.snapshot())
    assert told.pop() == distflow.DocumentRestore(merge=False)
    a.merge(a.snapshot())
    assert told.pop() == distflow.DocumentRestore(merge=True)
    assert told == []


def test_more_than_are_kept_are_told_as_lost() -> None:
    a, b = JsonCrdt("a", enable_auto_gc=False), JsonCrdt("b", enable_auto_gc=False)
    for number in range(65_540):
        a["n"] = number
    told: list[Any] = []
    b.on("lost", told.append)
    b.receive_batch(a.encode_since({}))
    assert told == [distflow.EventsLost(4)]


def test_where_it_is_not_known_what_has_changed_a_watch_says_to_look() -> None:
    a, b = JsonCrdt("a", enable_auto_gc=False), JsonCrdt("b")
    again = distflow.DocumentWatch((), None, False)
    told: list[Any] = []
    b.watch("n", told.append)
    b.watch("never", told.append)
    a["n"] = 0
    b.merge(a.snapshot())
    b.restore(a.snapshot())
    assert told == [again] * 4
    told.clear()
    for number in range(32_770):
        a["n"] = number
    b.receive_batch(a.encode_since(b.clock))
    assert told[:2] == [again] * 2
    assert all(event.op for event in told[2:])


def test_a_watch_tells_of_what_touches_its_pattern() -> None:
    a, b = JsonCrdt("a"), JsonCrdt("b")
    told: list[Any] = []
    end = a.watch("users.*.name", told.append)
    also: list[Any] = []
    a.watch(("users", "*", "name"), also.append)
    name = a.set(["users", "x", "name"], "X")
    a["users", "x", "age"] = 7
    b.receive_batch(a.encode_since({}))
    whole = b.set("users", {})
    a.receive(whole)
    assert told == [
        distflow.DocumentWatch(("users", "x", "name"), name, True),
        distflow.DocumentWatch(("users",), whole, False),
    ]
    end()
    end()
    a["users"] = 1
    assert (len(told), len(also)) == (2, 3)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (7, TypeError, "a pattern must be a str, tuple or list, not int"),
        ([1.5], distflow.InvalidArgumentError, "segment 0"),
        (["a"] * 61, distflow.InvalidArgumentError, "at most 60 segments"),
        (["\x00", {1}], TypeError, "pattern[1]: set can't be sent"),
    ]
    for pattern, kind, text in wrong:
        with pytest.raises(kind) as caught:
            a.watch(pattern, told.append)
        assert text in str(caught.value)


def test_only_what_happens_while_somebody_listens_is_told() -> None:
    a = JsonCrdt("a")
    a["n"] = 1
    told: list[Any] = []
    end, other = a.on("change", told.append), a.on("change", told.append)
    a["n"] = 2
    assert [event.value for event in told] == [2, 2]
    end()
    end()
    a["n"] = 3
    assert [event.value for event in told] == [2, 2, 3]
    other()
    a["n"] = 4
    a.on("change", told.append)
    a["n"] = 5
    assert [event.value for event in told] == [2, 2, 3, 5]


def test_callbacks_are_checked() -> None:
    async def coroutine(event: object) -> None: ...

    a = JsonCrdt("a")
    for add in (lambda given: a.on("change", given), lambda given: a.watch("x", given)):
        with pytest.raises(TypeError, match="a callback must be callable, not int"):
            add(7)
        with pytest.raises(TypeError, match="a callback can't be a coroutine function"):
            add(coroutine)
    with pytest.raises(distflow.InvalidArgumentError, match="there is no event 'chnge': change, "):
        a.on("chnge", print)


def test_a_callback_that_raises_stops_nobody(unraised: list[Any]) -> None:
    a = JsonCrdt("a")
    told: list[Any] = []

    def fails(event: Any) -> None:
        raise ValueError(event.op.id)

    a.on("change", fails)
    a.on("change", told.append)
    a.watch("x", fails)
    op = a.set("x", 1)
    assert (a["x"], [event.op for event in told]) == (1, [op])
    assert [(str(error), where) for error, where in unraised] == [(op.id, fails)] * 2


def test_what_ends_the_program_goes_on_and_the_others_are_told_later() -> None:
    a = JsonCrdt("a")
    told: list[Any] = []

    def interrupted(event: Any) -> None:
        end()
        raise KeyboardInterrupt

    end = a.on("change", interrupted)
    a.on("change", told.append)
    with pytest.raises(KeyboardInterrupt):
        a["x"] = 1
    assert (a["x"], told) == (1, [])
    a["x"] = 2
    assert [event.value for event in told] == [1, 2]


def test_callbacks_that_write_or_end_are_told_in_order() -> None:
    a = JsonCrdt("a")
    told: list[Any] = []

    def first(event: Any) -> None:
        told.append(("first", event.value))
        if event.value < 3:
            a["x"] = event.value + 1

    a.on("change", first)
    a.on("change", lambda event: told.append(("second", event.value)))
    a["x"] = 1
    assert [value for name, value in told if name == "first"] == [1, 2, 3]
    assert [value for name, value in told if name == "second"] == [1, 2, 3]
    b = JsonCrdt("b")
    b.on("change", lambda event: ends.pop()() if ends else None)
    ends = [b.on("change", told.append)]
    del told[:]
    b["x"] = 1
    assert told == []


def test_a_callback_may_close_the_document() -> None:
    a = JsonCrdt("a")
    told: list[Any] = []
    a.on("change", lambda event: a.close())
    end = a.on("change", told.append)
    a["x"] = 1
    assert (a.closed, len(told)) == (True, 1)
    end()
    with pytest.raises(distflow.ClosedError):
        a.on("change", told.append)


def test_callbacks_run_in_the_thread_of_the_call_without_a_lock() -> None:
    a = JsonCrdt("a")
    threads: list[int] = []

    def told(event: Any) -> None:
        threads.append(threading.get_ident())
        # Another thread can use it meanwhile.
        other = threading.Thread(target=lambda: (a.value, a.snapshot(), a.set("y", 1)))
        if len(threads) == 1:
            other.start()
            other.join()

    a.on("change", told)
    a["x"] = 1
    assert len(threads) == 2 and threads[0] == threading.get_ident() != threads[1]


def test_it_serves_an_event_loop() -> None:
    async def main() -> list[Any]:
        told: asyncio.Queue[Any] = asyncio.Queue()
        doc = JsonCrdt("a")
        doc.on("change", told.put_nowait)
        doc["x"] = 1
        await asyncio.to_thread(doc.set, "x", 2)
        await asyncio.to_thread(doc.flush)
        return [(await told.get()).value for _ in range(2)]

    assert asyncio.run(main()) == [1, 2]
