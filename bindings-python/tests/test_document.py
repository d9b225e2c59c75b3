"""Shared documents: what is read and written, told and exchanged."""

from __future__ import annotations

import copy
import itertools
import json
import math
import pickle
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest

import distflow
from distflow import JsonCrdt, Op

VECTORS = Path(__file__).resolve().parents[2] / "tests" / "data" / "json-crdt-divergence.json"


def pair() -> tuple[JsonCrdt, JsonCrdt]:
    return named("a"), named("b")


def named(name: str, **options: Any) -> JsonCrdt:
    """One that writes as its name, for what is compared by it."""
    return JsonCrdt(name, source=name, **options)


def test_two_replicas_of_one_name_have_two_sources_and_end_the_same() -> None:
    a, one, two = JsonCrdt("a"), JsonCrdt("bob"), JsonCrdt("bob")
    assert (one.source, one.replica_id) == ("bob", "bob")
    op = two.set("y", 2)
    assert a.receive(one.set("x", 1)) == a.receive(op) == "applied"
    assert (op.src, op.deps) == (two.source, {two.source: 1})
    assert one.source.startswith("bob~") and one.source != two.source
    for to in (one, two):
        to.receive_batch(a.encode_since(to.clock))
    assert same(a, one, two)
    assert a.value == {"x": 1, "y": 2}
    # Of the others, an operation says what is new.
    assert set(two.set("y", 3).deps) == {one.source, two.source}
    assert two.set("y", 4).deps == {two.source: 3}


def test_two_histories_of_one_source_are_told() -> None:
    a, one, two = named("a"), named("b"), named("b")
    told: list[Any] = []
    a.on("conflict", told.append)
    a.receive(one.set("x", 1))
    # In snapshots histories are told by their stamps: not within one millisecond.
    time.sleep(0.005)
    op = two.set("y", 2)
    with pytest.raises(distflow.SourceConflictError, match='of "b" has the number 1'):
        a.receive(op)
    assert told == [distflow.SourceReused("b", 1, op)]
    assert a.receive_batch(two.encode_since({})) == distflow.BatchReceived(0, 0, 0, 1)
    with pytest.raises(distflow.SourceConflictError, match="the snapshot has another operation"):
        a.merge(two.snapshot())
    assert told[2:] == [distflow.SourceReused("b", 1, None)]
    assert a.value == {"x": 1}


def test_a_restore_does_not_write_as_somebody_else() -> None:
    living, copy_of = JsonCrdt("a", source="a~b"), JsonCrdt("a")
    living["x"] = 1
    copy_of.restore(living.snapshot())
    mine, theirs = copy_of.set("y", 1), living.set("z", 1)
    assert mine.src != theirs.src
    assert copy_of.receive(theirs) == living.receive(mine) == "applied"
    assert same(living, copy_of)


def test_a_snapshot_comes_in_pieces() -> None:
    a, b = JsonCrdt("a"), JsonCrdt("b")
    for at in range(50):
        a[f"k{at}"] = "x" * 100
    b["own"] = 1
    pieces = a.snapshot_pieces(1_024)
    assert len(pieces) > 5 and all(len(piece) <= 1_024 for piece in pieces)
    found = [b.merge_piece(piece) for piece in reversed(pieces)]
    assert found == [False] * (len(pieces) - 1) + [True]
    assert b.value == {**a.value, "own": 1}
    assert len(a.snapshot_pieces()) == 1
    with pytest.raises(distflow.InvalidArgumentError, match="at least 1024"):
        a.snapshot_pieces(7)
    with pytest.raises(distflow.InvalidMessageError):
        b.merge_piece("nonsense")
    with pytest.raises(TypeError, match="a piece must be a str, not int"):
        b.merge_piece(7)  # type: ignore[arg-type]


def same(*documents: JsonCrdt) -> bool:
    return len({document.hash() for document in documents}) == 1


def test_a_document_is_used_like_a_dict() -> None:
    doc = JsonCrdt("a", {"list": [1, [2]]})
    doc["users", "alice", "age"] = 3
    doc["users.alice",] = None
    assert doc["users", "alice", "age"] == 3
    assert doc[["users", "alice"]] == {"age": 3}
    assert doc["users.alice",] is None
    assert doc["list", 1, 0] == 2
    assert doc[()] == doc.value
    assert ("users", "alice") in doc and ("users.alice",) in doc and ("list", 0) in doc
    assert ("users", "bob") not in doc and ("list", 2) not in doc and ("users", 0) not in doc
    assert (len(doc), sorted(doc)) == (3, ["list", "users", "users.alice"])
    del doc["users", "alice"]
    assert doc["users"] == {}
    for missing in ["nobody", ("users", "alice"), ("users", "alice", "age"), ("list", 7), 0]:
        with pytest.raises(KeyError) as caught:
            doc[missing]
        assert caught.value.args == (missing,)
        with pytest.raises(KeyError):
            del doc[missing]
        assert doc.get(missing) is None
        assert doc.get(missing, 7) == 7
    assert doc.get(("users.alice",), 7) is None


def test_text_means_the_same_as_in_other_languages() -> None:
    doc = JsonCrdt("a", {"list": [1, [2]]})
    doc.set("/todo/milk", 1)
    assert doc.value == {"list": [1, [2]], "todo": {"milk": 1}}
    assert doc["/list/1/0"] == 2 and "/todo/milk" in doc and doc["todo"] == {"milk": 1}
    assert doc[""] == doc.value
    for wrong in ["todo.milk", "todo/milk", "list[0]"]:
        for call in [doc.get, doc.delete, doc.__getitem__, doc.__contains__]:
            with pytest.raises(distflow.InvalidArgumentError, match="is no path"):
                call(wrong)
        with pytest.raises(distflow.InvalidArgumentError, match="is no path"):
            doc.set(wrong, 1)
    assert doc.value == {"list": [1, [2]], "todo": {"milk": 1}}


def test_what_is_read_is_a_copy() -> None:
    given: dict[str, Any] = {"list": [1]}
    doc = JsonCrdt("a", given)
    given["list"].append(2)
    doc.value["list"].append(2)
    doc["list"].append(2)
    doc.clock["a"] = 7
    assert (doc.value, doc.clock) == ({"list": [1]}, {})


def test_a_document_can_be_another_value_than_an_object() -> None:
    doc = JsonCrdt("a", ["x", "y"])
    assert (list(doc), len(doc), doc[1]) == ([0, 1], 2, "y")
    doc[()] = "text"
    assert doc.value == "text"
    for look in (len, list):
        with pytest.raises(TypeError, match="the document is of type str: it has no members"):
            look(doc)


NUMBERS = [2**53 + 1, -(2**63) - 1, 2**64, 10**30, 10**400, 0.1, -0.0, 1.0, 5e-324, 1e300]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: repr(number)[:20])
def test_numbers_stay_what_they_are_also_elsewhere(number: Any) -> None:
    a, b = pair()
    op = a.set("n", [number])
    assert b.receive(op.text) == "applied"
    from_bytes, from_json, from_batch = JsonCrdt("c"), JsonCrdt("d"), JsonCrdt("e")
    from_bytes.restore(a.snapshot())
    from_json.merge(a.snapshot_json())
    from_batch.receive_batch(a.encode_since({}))
    values = [doc["n"][0] for doc in (a, b, from_bytes, from_json, from_batch)]
    values.append(op.value[0])
    for value in values:
        assert repr(value) == repr(number)
    assert same(a, b, from_bytes, from_json, from_batch)


itself: list[Any] = []
itself.append(itself)

REFUSED = [
    (math.nan, distflow.InvalidJsonError, "nan can't be sent: JSON has no such number"),
    ({"a": -math.inf}, distflow.InvalidJsonError, "value['a']: -inf can't be sent"),
    ([b"x"], TypeError, "value[0]: bytes can't be sent"),
    ({1: 2}, TypeError, "a key of a dict must be a str, but 1 is of type int"),
    (itself, distflow.InvalidJsonError, "nested deeper than 64, or it contains itself"),
    (json.loads("[" * 61 + "]" * 61), distflow.InvalidArgumentError, "levels deep"),
    ("x" * (4 << 20), distflow.TooLargeError, "the operation would be"),
]


@pytest.mark.parametrize(("value", "kind", "text"), REFUSED, ids=lambda value: repr(value)[:20])
def test_what_a_document_cannot_hold_is_refused(
    value: Any, kind: type[Exception], text: str
) -> None:
    doc = JsonCrdt("a")
    with pytest.raises(kind) as caught:
        doc["x"] = value
    assert text in str(caught.value)
    assert (doc.value, doc.clock) == ({}, {})


PATHS = [
    (-1, distflow.InvalidArgumentError, "segment 0 of the path is -1, but an index must be"),
    (("a", 65_536), distflow.InvalidArgumentError, "segment 1 of the path is 65536, but"),
    (("a", 10**30), distflow.InvalidArgumentError, "segment 1 of the path is 1000"),
    (("a", "\ud800"), distflow.InvalidArgumentError, "segment 1 of the path has a surrogate"),
    (("a", True), TypeError, "segment 1 of the path must be a str or an int, not bool"),
    (("a", None), TypeError, "segment 1 of the path must be a str or an int, not NoneType"),
    (1.5, TypeError, "a path must be a tuple or list, or one str or int, not float"),
    (None, TypeError, "a path must be a tuple or list, or one str or int, not NoneType"),
]


@pytest.mark.parametrize(("path", "kind", "text"), PATHS, ids=repr)
def test_what_is_no_path_is_refused(path: Any, kind: type[Exception], text: str) -> None:
    doc = JsonCrdt("a")
    calls: list[Callable[[], object]] = [
        lambda: doc.set(path, 1),
        lambda: doc.delete(path),
        lambda: doc.get(path),
        lambda: doc[path],
        lambda: path in doc,
    ]
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert text in str(caught.value)
    assert doc.clock == {}


def test_a_set_that_leads_through_something_else_changes_nothing() -> None:
    doc = JsonCrdt("a", {"s": 1})
    with pytest.raises(distflow.InvalidArgumentError, match="Cannot set string key on non-object"):
        doc["s", "t"] = 2
    with pytest.raises(distflow.InvalidArgumentError, match="Cannot set numeric index"):
        doc["s", 0] = 2
    assert (doc.value, doc.clock) == ({"s": 1}, {})


def test_an_operation_says_what_it_is() -> None:
    a, b = pair()
    b.receive(a.set(("list", "x"), {"deep": [1]}))
    op = b.delete(["list", "x"])
    assert (op.kind, op.path, op.value, op.src) == ("tombstone", ("list", "x"), None, "b")
    assert (op.deps, op.hlc["r"]) == ({"a": 1, "b": 1}, "b")
    [first] = a.diff_since({})
    assert (first.kind, first.value, first.hlc["t"] > 0) == ("set", {"deep": [1]}, True)
    assert first.id.startswith("a:")
    assert set(json.loads(op.text)) == {"id", "kind", "path", "hlc", "deps", "src"}
    assert JsonCrdt.encode_op(op) == op.text == JsonCrdt.encode_op(json.loads(op.text))
    for other in (
        Op(op.text),
        Op(json.loads(op.text)),
        JsonCrdt.decode_op(op.text),
        copy.deepcopy(op),
        pickle.loads(pickle.dumps(op)),
        eval(repr(op)),
    ):
        assert (other, hash(other), other.text) == (op, hash(op), op.text)
    assert op not in (first, op.text)
    with pytest.raises(AttributeError):
        op.kind = "set"  # type: ignore[misc]


def test_what_is_received_is_applied_known_or_waits() -> None:
    a, b = pair()
    first, second, third = (a.set("n", number) for number in (1, 2, 3))
    assert b.receive(third) == "pending"
    assert b.receive(second.text) == "pending"
    assert b.receive(second) == "duplicate"
    assert (b.value, b.get_stats().pending_size) == ({}, 2)
    assert b.receive(json.loads(first.text)) == "applied"
    assert b.receive(third) == "duplicate"
    assert (b.value, b.clock) == ({"n": 3}, {"a": 3})
    assert b.get_stats().pending_size == 0


def test_what_is_no_operation_is_refused() -> None:
    doc = JsonCrdt("a")
    op = json.loads(JsonCrdt("b").set("x", 1).text)
    wrong: list[tuple[Any, type[Exception], str]] = [
        ("{", distflow.InvalidJsonError, "Invalid JSON"),
        ("[]", distflow.InvalidMessageError, "an operation must be an object"),
        ({}, distflow.InvalidMessageError, "id"),
        ({**op, "hlc": None}, distflow.InvalidMessageError, "hlc"),
        ({**op, "deps": {"b": -1}}, distflow.InvalidMessageError, "deps"),
        ({**op, "value": {1}}, TypeError, "op['value']: set can't be sent"),
        (b"{}", TypeError, "an operation must be an Op, its text or a dict, not bytes"),
        (None, TypeError, "not NoneType"),
    ]
    for given, kind, text in wrong:
        with pytest.raises(kind) as caught:
            doc.receive(given)
        assert text in str(caught.value)
        with pytest.raises((kind, TypeError)):
            Op(given)
    assert (doc.value, doc.clock) == ({}, {})


def test_too_many_that_wait_are_refused_and_can_come_again() -> None:
    a, b = JsonCrdt("a"), JsonCrdt("b", max_pending_size=2)
    ops = [a.set("n", number) for number in range(4)]
    assert [b.receive(op) for op in ops[1:3]] == ["pending"] * 2
    with pytest.raises(distflow.BusyError):
        b.receive(ops[3])
    assert [b.receive(op) for op in (ops[0], ops[3])] == ["applied"] * 2
    assert same(a, b)


def two_orders() -> list[Any]:
    vectors = json.loads(VECTORS.read_text())["vectors"]
    found = [vector for vector in vectors if vector["kind"] == "two-orders"]
    assert len(found) == 17
    return found


@pytest.mark.parametrize("vector", two_orders(), ids=lambda vector: vector["name"])
def test_both_orders_end_the_same(vector: dict[str, Any]) -> None:
    ops = {op["id"]: op for op in vector["ops"]}
    for order in vector["orders"]:
        doc = JsonCrdt("obs", vector["initial"])
        for step in order:
            if not isinstance(step, str):
                doc.gc_tombstones()
            elif step == "bad":
                with pytest.raises(distflow.InvalidMessageError):
                    doc.receive(ops[step])
            else:
                doc.receive(ops[step])
        assert doc.value == vector["convergent_doc"]
        assert doc.get_stats().pending_size == 0


def test_threads_that_write_at_once_converge_with_another_replica() -> None:
    a, b = pair()
    told: list[Any] = []
    a.on("change", told.append)
    # Without an operation after a merge, which brings nothing that b does not know.
    a.watch("**", lambda event: event.op is None or b.receive(event.op))
    begin = threading.Barrier(5)
    errors: list[BaseException] = []

    def write(thread: int) -> None:
        try:
            begin.wait()
            for count in range(200):
                a["threads", str(thread), "count"] = count
                a["last"] = [thread, count]
                if count % 50 == 0:
                    JsonCrdt("c").restore(a.snapshot())
                    a.merge(b.snapshot())
                    a.canonical()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    begin.wait()
    for thread in threads:
        thread.join()
    assert errors == []
    assert a.clock == {"a": 1_600} == b.clock
    assert a["threads"] == {str(number): {"count": 199} for number in range(4)}
    assert same(a, b)
    assert sorted(event.op.deps["a"] for event in told) == list(range(1, 1_601))


def test_what_a_peer_lacks_is_exchanged_as_operations_and_in_bytes() -> None:
    a, b = pair()
    for number in range(5):
        a.set("n", number)
    for op in a.diff_since({"a": 3}):
        assert b.receive(op) == "pending"
    batch = a.encode_since(b.clock)
    assert b.receive_batch(bytearray(batch)) == distflow.BatchReceived(3, 2, 0)
    assert b.receive_batch(memoryview(batch)) == distflow.BatchReceived(0, 5, 0)
    assert same(a, b)
    assert a.diff_since(b.clock) == []
    assert a.is_complete_since({})
    wrong: list[tuple[Any, type[Exception], str]] = [
        (None, TypeError, "a clock must be a mapping, not NoneType"),
        ({"a": -1}, distflow.InvalidArgumentError, "the clock's count of"),
        ({"a": "1"}, distflow.InvalidArgumentError, "the clock's count of"),
    ]
    for clock, kind, text in wrong:
        for call in (a.diff_since, a.encode_since, a.is_complete_since):
            with pytest.raises(kind) as caught:
                call(clock)
            assert text in str(caught.value)


def test_a_peer_whom_the_log_no_longer_helps_is_given_a_snapshot() -> None:
    a, b = JsonCrdt("a", max_log_size=2), JsonCrdt("b")
    b["mine"] = True
    for number in range(10):
        a["n", str(number)] = number
    assert not a.is_complete_since(b.clock)
    assert len(a.diff_since({})) < 10
    for snapshot in (a.snapshot(), a.snapshot_json(), json.dumps(a.snapshot_json())):
        c = JsonCrdt("c", {})
        c.receive_batch(b.encode_since({}))
        c.merge(snapshot)
        assert c.value == {"mine": True, **a.value}
    b.restore(memoryview(a.snapshot()))
    assert b.value == a.value


@pytest.mark.parametrize("take", ["restore", "merge"])
def test_damaged_snapshots_are_refused_and_change_nothing(take: str) -> None:
    a, b = pair()
    a["x"] = {"y": [1, 2, 3]}
    b["mine"] = 1
    before = b.snapshot()
    whole = a.snapshot()
    damaged: list[Any] = [whole[:end] for end in range(len(whole))]
    damaged += [whole + b"x", "", "{", "7", "\ud800", {}, {"doc": 1}]
    damaged += [{**a.snapshot_json(), "distflow": "REZE"}]
    for snapshot in damaged:
        with pytest.raises((distflow.InvalidMessageError, distflow.InvalidJsonError)):
            getattr(b, take)(snapshot)
    for snapshot in (None, 7, ["x"]):
        with pytest.raises(TypeError, match="a snapshot must be bytes, a str or a mapping, not"):
            getattr(b, take)(snapshot)
    with pytest.raises(TypeError, match="set can't be sent"):
        getattr(b, take)({"doc": {1}})
    assert b.snapshot() == before


def test_no_bytes_are_worse_than_an_error() -> None:
    a = JsonCrdt("a")
    a["x"] = {"y": [1, 2, 3]}
    batch = a.encode_since({})
    calls: list[tuple[bytes, Callable[[JsonCrdt], Callable[[bytes], object]]]] = [
        (a.snapshot(), lambda doc: doc.restore),
        (a.snapshot(), lambda doc: doc.merge),
        (batch, lambda doc: doc.receive_batch),
    ]
    for whole, call in calls:
        for at, bit in itertools.product(range(len(whole)), range(8)):
            data = whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
            doc = JsonCrdt("b")
            try:
                call(doc)(data)
            except distflow.DistflowError as error:
                assert error.code in ("invalid_message", "invalid_json", "too_large")
                # What comes before the damage in a batch is taken in.
                assert doc.clock == {} or whole is batch
            else:
                # It is another document then, but a whole one.
                assert JsonCrdt("c", doc.value).canonical() == doc.canonical()


def test_damaged_batches_are_refused() -> None:
    a, b = pair()
    a["x"] = 1
    batch = a.encode_since({})
    for wrong in (b"", b"x", batch[:-1]):
        with pytest.raises(distflow.InvalidMessageError, match="damaged"):
            b.receive_batch(wrong)
    with pytest.raises(TypeError, match="a batch must be bytes, not str"):
        b.receive_batch("x")  # type: ignore[arg-type]
    assert b.clock == {}


def test_options_and_arguments_are_checked() -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"max_log_size": -1}, distflow.InvalidArgumentError, "max_log_size must be 0 to"),
        ({"max_log_size": "1"}, TypeError, "max_log_size must be an int, not str"),
        ({"enable_auto_gc": 1}, TypeError, "enable_auto_gc must be a bool, not int"),
        ({"members": "abc"}, TypeError, "members must be a list of str, not str"),
        ({"members": [1]}, TypeError, "a member must be a str, not int"),
        ({"directory": 7}, TypeError, "directory must be a str, not int"),
        ({"max_log": 1}, TypeError, "max_log"),
        ({"replica": 7}, TypeError, "replica must be a str, not int"),
        ({"replica": ""}, distflow.InvalidArgumentError, "a replica's name must be 1 to 240"),
        ({"initial": {1}}, TypeError, "set can't be sent"),
        ({"initial": [math.nan]}, distflow.InvalidJsonError, "initial[0]: nan can't be sent"),
    ]
    for options, kind, text in wrong:
        with pytest.raises(kind) as caught:
            JsonCrdt(**{"replica": "a", **options})
        assert text in str(caught.value)
    doc = JsonCrdt("a")
    for call in (lambda: doc.gc_log(-1), lambda: doc.replay(-1), lambda: doc.replay(0, -1)):
        with pytest.raises(distflow.InvalidArgumentError, match="must be 0 to"):
            call()
    with pytest.raises(TypeError, match="members must be a list of str"):
        doc.set_members("a")
    with pytest.raises(TypeError, match="before must be a str or a mapping, not bytes"):
        JsonCrdt.diff_snapshots(doc.snapshot(), "")  # type: ignore[arg-type]
    with pytest.raises(distflow.InvalidMessageError, match="the snapshot has no doc"):
        JsonCrdt.diff_snapshots("{}", "{}")
    with pytest.raises(TypeError, match="an operation must be a str or a mapping, not bytes"):
        JsonCrdt.decode_op(b"{}")  # type: ignore[arg-type]


def test_a_document_cannot_be_copied_or_pickled() -> None:
    doc = JsonCrdt("a")
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="a JsonCrdt can't be copied or pickled"):
            attempt(doc)


def test_deletes_are_forgotten_when_all_members_have_seen_them() -> None:
    a, b = JsonCrdt("a", tombstone_grace_period_ms=0, members=["a", "b"]), JsonCrdt("b")
    told: list[Any] = []
    a.on("gc", told.append)
    b.receive(a.set("x", 1))
    b.receive(a.delete("x"))
    a.gc_tombstones()
    assert (told, a.get_stats().tombstones_size) == ([], 1)
    a.receive(b.set("y", 1))
    # A delete has to be older than now.
    limit = time.monotonic() + 30
    while a.get_stats().tombstones_size and time.monotonic() < limit:
        a.gc_tombstones()
    assert told == [distflow.DocumentGc("tombstones", 1, 0)]
    a.set_members(None)
    b.receive(a.delete("y"))
    a.gc_tombstones()
    assert a.get_stats().tombstones_size == 1


def test_it_can_be_looked_into() -> None:
    a, b = pair()
    ops = [a.set("n", 1), a.set("m", 2), a.delete("n")]
    assert b.receive(ops[2]) == "pending"
    metrics = a.get_metrics()
    assert (metrics.total_ops, metrics.local_ops, metrics.log_size) == (3, 3, 3)
    assert isinstance(metrics.avg_latency_ms, float)
    assert (metrics.lww_size, metrics.tombstones_size, metrics.vc_size) == (2, 1, 1)
    stats = a.get_stats()
    assert all(getattr(metrics, name) == value for name, value in vars(stats).items())
    assert 'distflow_document_ops_total{replica="a"} 3\n' in a.metrics_prometheus()
    state = a.inspect(log_sample_size=1, include_causal_graph=True)
    assert (state["doc"], state["vc"], state["logSize"]) == ({"m": 2}, {"a": 3}, 3)
    assert state["logSample"] == [json.loads(ops[2].text)]
    assert state["causalGraph"] == a.causal_graph()
    assert "causalGraph" not in a.inspect()
    assert b.inspect()["pendingSample"] == [json.loads(ops[2].text)]
    assert [node["opId"] for node in a.causal_graph()] == [op.id for op in ops]
    seen: list[Any] = []
    assert a.replay(on_op=lambda op, at: seen.append((op, at))) == {"m": 2}
    assert seen == [(op, at) for at, op in enumerate(ops)]
    assert a.replay(0, 2) == {"n": 1, "m": 2}
    assert a.replay(1, on_op=lambda op, at: seen.append(at)) == {"m": 2}
    assert seen[3:] == [1, 2]
    with pytest.raises(ZeroDivisionError):
        a.replay(on_op=lambda op, at: 1 / 0)
    difference = JsonCrdt.diff_snapshots(b.snapshot_json(), json.dumps(a.snapshot_json()))
    assert difference["docChanges"] == [{"path": ["m"], "after": 2, "type": "added"}]
    assert difference["vcChanges"] == [{"replica": "a", "before": 0, "after": 3}]
    a.gc_log(1)
    assert a.get_stats().log_size == 1
    assert repr(a) == "<distflow.JsonCrdt 'a'>"
    assert a.replica_id == "a"


def test_importing_the_package_does_not_import_documents(run: Callable[..., Any]) -> None:
    code = """
import sys
import distflow
print([name for name in sys.modules if "document" in name or "listeners" in name])
print(distflow.JsonCrdt("a").value, "asyncio" in sys.modules)
"""
    assert run(code, isolated=True).end() == (0, "[]\n{} False\n", "")
