"""Shared documents that are kept in a directory, closed, forked, and left behind."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

import distflow
from distflow import JsonCrdt


def test_it_is_as_it_was(tmp_path: Path) -> None:
    with JsonCrdt("a", {"initial": 1}, directory=tmp_path / "new" / "doc") as doc:
        doc["x"] = [2**64, 0.1, None]
        doc.flush()
        doc["y"] = 1
        doc.checkpoint()
        del doc["y"]
        before = (doc.value, doc.clock, doc.hash())
    assert before[0] == {"initial": 1, "x": [2**64, 0.1, None]}
    with JsonCrdt("a", {"initial": 1}, directory=str(tmp_path / "new" / "doc")) as doc:
        assert (doc.value, doc.clock, doc.hash()) == before
        other = JsonCrdt("b", {"initial": 1})
        other.merge(doc.snapshot())
        assert other.receive(doc.set("z", 1)) == "applied"


def test_its_directory_has_one_document_at_a_time(tmp_path: Path) -> None:
    doc = JsonCrdt("a", directory=tmp_path)
    with pytest.raises(distflow.AlreadyRunningError, match="is open already"):
        JsonCrdt("a", directory=tmp_path)
    doc.close()
    doc.close()
    JsonCrdt("a", directory=tmp_path).close()


def test_what_can_be_no_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(distflow.IoError):
        JsonCrdt("a", directory=tmp_path / "file")
    with pytest.raises(distflow.InvalidArgumentError, match="directory has a surrogate"):
        JsonCrdt("a", directory="\ud800")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with JsonCrdt("a", directory=tmp_path) as doc:
        doc["x"] = "a text that can be found"
        doc.checkpoint()
        doc["x"] = 2
    [snapshot] = tmp_path.glob("snapshot-*")
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole.replace(b"found", b"fxund"))
    with pytest.raises(distflow.InvalidMessageError, match="is damaged"):
        JsonCrdt("a", directory=tmp_path)
    snapshot.write_bytes(whole)
    with JsonCrdt("a", directory=tmp_path) as doc:
        assert doc["x"] == 2


def test_what_is_whole_in_damaged_files_can_be_salvaged(tmp_path: Path) -> None:
    with JsonCrdt("a", directory=tmp_path) as doc:
        for key in "abcd":
            doc[key] = f"value of {key}"
    journal = tmp_path / "journal-0"
    damaged = journal.read_bytes().replace(b"value of c", b"vblue of c")
    journal.write_bytes(damaged)
    with pytest.raises(distflow.InvalidMessageError, match=r"journal-0 is damaged at byte \d+"):
        JsonCrdt("a", directory=tmp_path)
    with JsonCrdt("a", directory=tmp_path, salvage=True) as doc:
        assert sorted(doc) == ["a", "b"]
        assert doc.set("e", 1).src.startswith("a~")
    assert (tmp_path / "damaged-journal-0").read_bytes() == damaged
    with JsonCrdt("a", directory=tmp_path) as doc:
        assert sorted(doc) == ["a", "b", "e"]
    with pytest.raises(distflow.InvalidArgumentError, match="salvage"):
        JsonCrdt("a", salvage=True)


def test_another_initial_value_changes_nothing_once_there_is_a_document(tmp_path: Path) -> None:
    for initial in ({"v": 1}, {"v": 2}, [3]):
        with JsonCrdt("a", initial, directory=tmp_path) as doc:
            assert doc.value == {"v": 1}
    with JsonCrdt("a", {"v": 2}, directory=tmp_path) as doc:
        doc.checkpoint()
    with JsonCrdt("a", {"v": 2}, directory=tmp_path) as doc:
        assert doc.value == {"v": 1}


def test_after_its_end_every_call_says_so() -> None:
    doc = JsonCrdt("a")
    end = doc.watch("x", print)
    op = doc.set("y", 1)
    with doc:
        snapshot = doc.snapshot()
    calls: list[Callable[[], object]] = [
        lambda: doc["y"],
        lambda: "y" in doc,
        lambda: len(doc),
        lambda: doc.set("y", 1),
        lambda: doc.delete("y"),
        lambda: doc.get("y"),
        lambda: doc.value,
        lambda: doc.clock,
        doc.canonical,
        doc.hash,
        lambda: doc.receive(op),
        lambda: doc.receive_batch(b""),
        lambda: doc.diff_since({}),
        lambda: doc.encode_since({}),
        lambda: doc.is_complete_since({}),
        doc.snapshot,
        doc.snapshot_json,
        lambda: doc.restore(snapshot),
        lambda: doc.merge(snapshot),
        doc.flush,
        doc.checkpoint,
        lambda: doc.watch("x", print),
        lambda: doc.on("change", print),
        lambda: doc.set_members(["a"]),
        doc.gc_log,
        doc.gc_tombstones,
        doc.clean_pending,
        doc.drain_pending,
        doc.get_stats,
        doc.get_metrics,
        doc.metrics_prometheus,
        doc.inspect,
        doc.causal_graph,
        doc.replay,
    ]
    for call in calls:
        with pytest.raises(distflow.ClosedError, match="the document is closed"):
            call()
    end()
    assert (doc.closed, doc.replica_id) == (True, "a")
    assert repr(doc) == "<distflow.JsonCrdt 'a', closed>"


def test_one_that_is_left_behind_open_warns_and_lets_its_directory_go(tmp_path: Path) -> None:
    doc = JsonCrdt("a", directory=tmp_path)
    doc["x"] = 1
    with pytest.warns(ResourceWarning, match="unclosed <distflow.JsonCrdt 'a'>"):
        del doc
        gc.collect()
    with JsonCrdt("a", directory=tmp_path) as doc:
        assert doc["x"] == 1
    # In memory there is nothing to close.
    JsonCrdt("a")["x"] = 1


def test_threads_write_while_others_wait_for_the_disk(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> threading.Thread:
        def attempt() -> None:
            try:
                for _ in range(20):
                    work()
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=attempt)
        thread.start()
        return thread

    with JsonCrdt("a", directory=tmp_path) as doc:

        def write() -> None:
            for number in range(20):
                doc["n", str(threading.get_ident()), str(number)] = number

        works: list[Callable[[], object]] = [write, write, doc.flush, doc.checkpoint, doc.snapshot]
        for thread in [run(work) for work in works]:
            thread.join()
        assert errors == []
        value = doc.value
        assert doc.clock == {doc.source: 800}
    with JsonCrdt("a", directory=tmp_path) as doc:
        assert doc.value == value


def test_a_forked_child_gets_errors_and_may_have_documents_of_its_own(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    code = """
import os, sys
from distflow import ForkedError, JsonCrdt
doc = JsonCrdt("parent", directory=sys.argv[1])
doc.on("change", print)
end = doc.watch("x", print)
child = os.fork()
if child == 0:
    failures = []
    calls = [lambda: doc.set("x", 1), doc.snapshot, doc.flush, lambda: doc.value, doc.inspect,
             lambda: doc.on("change", print)]
    for call in calls:
        try: call()
        except ForkedError as error: failures.append(error.code)
    end()
    doc.close()
    own = JsonCrdt("child")
    own["x"] = 1
    print(failures, doc.closed, own.value, flush=True)
    del doc
    sys.exit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
end()
doc["y"] = 1
doc.close()
with JsonCrdt("parent", directory=sys.argv[1]) as doc:
    print(doc.value)
"""
    status, out, _ = run(code, str(tmp_path)).end()
    lines = out.splitlines()
    assert (status, lines[0]) == (0, f"{['forked'] * 6} True {{'x': 1}}")
    assert lines[-1] == "{'y': 1}"


def test_the_interpreter_ends_with_documents_open_and_in_use(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    code = """
import atexit, sys, threading
def late():
    # After the end of the library's own.
    doc["late"] = doc.snapshot_json()["vc"]
    doc.flush()
    print(doc["late"][doc.source] > 0, flush=True)
atexit.register(late)
from distflow import JsonCrdt
doc = JsonCrdt("a", directory=sys.argv[1])
going = threading.Semaphore(0)
def work(call):
    while True:
        call()
        going.release()
for call in (doc.flush, doc.snapshot, lambda: doc.set("x", 1), doc.checkpoint):
    threading.Thread(target=work, args=(call,), daemon=True).start()
for _ in range(40):
    going.acquire()
"""
    for mode in range(3):
        folder = tmp_path / str(mode)
        assert run(code, str(folder), isolated=True).end() == (0, "True\n", "")
        with JsonCrdt("a", directory=folder) as doc:
            assert doc["late"][doc.source] > 0
