"""The examples of the repository, as processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

import distflow

from .conftest import LIMIT, until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def start(*arguments: str) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, str(EXAMPLES / arguments[0]), *arguments[1:]]
    return subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload,no-any-return]


def end(process: subprocess.Popen[str], text: str | None = None) -> tuple[int, str, str]:
    out, err = process.communicate(text, timeout=LIMIT)
    return process.returncode, out, err


def test_hello(pmd: distflow.Pmd) -> None:
    port = str(pmd.port)
    answers = start("hello.py", "answer", port)
    assert answers.stdout is not None and answers.stdout.readline().startswith("ready as")
    assert end(start("hello.py", "ask", port)) == (0, "{'hello': 'Ada'}\n{'hello': 'Grace'}\n", "")
    assert end(answers) == (0, "", "")
    code, _, err = end(start("hello.py", "ask", port))
    assert (code, err) == (1, "Failed to resolve target: greeter (resolve_failed)\n")
    assert end(start("hello.py"))[0] == 1


def test_chat(pmd: distflow.Pmd) -> None:
    ada = start("chat.py", "ada", str(pmd.port))
    assert ada.stdout is not None and ada.stdout.readline() == "* you and 0 others\n"
    grace = start("chat.py", "grace", str(pmd.port))
    assert grace.stdout is not None and grace.stdout.readline() == "* you and 1 others\n"
    assert ada.stdout.readline() == "* grace is here\n"
    assert end(grace, "hello\n")[0] == 0
    # The last words and the news of the leave come over two connections, in either order.
    last = {ada.stdout.readline(), ada.stdout.readline()}
    assert last == {"grace: hello\n", "* grace has left\n"}
    assert end(ada, "") == (0, "", "")


def test_a_pool_counts_right_although_a_worker_is_killed(pmd: distflow.Pmd) -> None:
    pool = start("workers.py", "pool", "3", str(pmd.port))
    assert pool.stdout is not None
    with distflow.PmdClient(port=pmd.port) as client:
        assert pool.stdout.readline().endswith(" is here\n")
        # The command line of a worker, a child of the pool's; unless all is done already.
        with contextlib.suppress(FileNotFoundError, IndexError, ProcessLookupError):
            children = Path(f"/proc/{pool.pid}/task/{pool.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)
        code, out, err = end(pool)
        # What was under way to the worker that was killed may be reported; the pool sends it again.
        # A worker that starts slowly may find the work done.
        usual = ("messages lost ", "there is no pool")
        words = [line for line in err.splitlines() if not line.startswith(usual)]
        assert (code, words) == (0, [])
        assert out.splitlines()[-1] == "63951 primes below 800000"
        until(lambda: client.list() == [])


def test_a_pool_without_workers_says_so(pmd: distflow.Pmd) -> None:
    assert end(start("workers.py", "pool", "0", str(pmd.port))) == (1, "", "no worker is left\n")
    assert end(start("workers.py", "work", str(pmd.port))) == (1, "", "there is no pool\n")
    assert end(start("workers.py", "pool"))[0] == 1


@pytest.fixture
def todo(pmd: distflow.Pmd) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts to-do lists that end with the test."""
    with contextlib.ExitStack() as stack:

        def todo(name: str) -> subprocess.Popen[str]:
            process = stack.enter_context(start("todo.py", name, str(pmd.port)))
            stack.callback(process.kill)
            return process

        yield todo


def say(process: subprocess.Popen[str], *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()


def hear(process: subprocess.Popen[str], lines: int = 1) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(lines)]


def test_a_todo_list_is_shared(todo: Callable[[str], subprocess.Popen[str]]) -> None:
    ada = todo("ada")
    assert hear(ada) == ["* ready as ada"]
    # What was written alone is exchanged when somebody comes.
    say(ada, "add milk", "add bread", "list")
    assert hear(ada, 3) == ["1. [ ] milk", "2. [ ] bread", "2 items"]
    grace = todo("grace")
    assert sorted(hear(grace, 3)) == ["* ada: [ ] bread", "* ada: [ ] milk", "* ready as grace"]
    say(grace, "done 1", "add tea")
    assert hear(ada, 2) == ["* grace: [x] milk", "* grace: [ ] tea"]
    say(ada, "done 3")
    assert hear(grace) == ["* ada: [x] tea"]
    listed = ["1. [x] milk", "2. [ ] bread", "3. [x] tea", "3 items"]
    for process in (ada, grace):
        say(process, "list")
        assert hear(process, 4) == listed
    say(ada, "done 7", "done x", "nonsense")
    wrong = ["there is no item 7", "there is no item x", "add TEXT, done NUMBER, list or quit"]
    assert hear(ada, 3) == wrong
    assert end(grace, "quit\n") == (0, "", "")
    # Somebody of the same name is somebody else.
    grace = todo("grace")
    told = ["* ada: [ ] milk", "* ada: [ ] bread", "* grace: [x] milk", "* grace: [ ] tea"]
    assert sorted(hear(grace, 6)) == sorted([*told, "* ada: [x] tea", "* ready as grace"])
    say(grace, "add jam")
    assert hear(ada) == ["* grace: [ ] jam"]
    assert [end(process, "") for process in (ada, grace)] == [(0, "", "")] * 2
    assert end(start("todo.py"))[0] == 1


def test_a_todo_list_speaks_with_others(
    pmd: distflow.Pmd, todo: Callable[[str], subprocess.Popen[str]]
) -> None:
    other = distflow.JsonCrdt("other")
    with distflow.Node(alias="todo-other", pmd_port=pmd.port, auto_start=False) as node:
        ada = todo("ada")
        asked = node.recv(LIMIT).payload
        assert asked == {"type": "CRDT_SYNC_REQUEST", "clock": {}, "from": "todo-ada"}
        assert hear(ada) == ["* ready as ada"]
        # One is lost on the way, and asked for.
        lost = other.set(["todo", "1"], {"text": "milk", "done": False, "at": 1})
        op = other.set(["todo", "1", "done"], True)
        node.send("todo-ada", {"type": "CRDT_OP", "op": op.text})
        assert node.recv(LIMIT).payload["type"] == "CRDT_SYNC_REQUEST"
        answer = {"type": "CRDT_SYNC_RESPONSE", "ops": [lost.text], "clock": other.clock}
        node.send("todo-ada", answer)
        # When the first is told, the second is there already.
        assert hear(ada, 2) == ["* other: [x] milk"] * 2
        # More than a log has.
        ops = [other.set(["count"], number).text for number in range(2_500)]
        node.send("todo-ada", {**answer, "ops": ops})
        request = {"type": "CRDT_SYNC_REQUEST", "clock": {}, "from": "todo-other"}
        node.send("todo-ada", request)
        third = distflow.JsonCrdt("third")
        while True:
            whole = node.recv(LIMIT).payload
            assert whole["type"] == "CRDT_PIECE"
            if third.merge_piece(whole["piece"]):
                break
        assert third.hash() == other.hash()
        node.send("todo-ada", {**request, "clock": other.clock})
        answer = {"type": "CRDT_SYNC_RESPONSE", "ops": [], "clock": other.clock}
        assert node.recv(LIMIT).payload == answer
        # A list that no message could hold.
        third["todo", "2"] = {"text": "tea", "done": False, "at": 2}
        for at in range(6):
            third["long", str(at)] = "x" * 3_000_000
        third.gc_log(0)
        for piece in reversed(third.snapshot_pieces()):
            node.send("todo-ada", {"type": "CRDT_PIECE", "piece": piece})
        assert hear(ada) == ["* took in a whole list"]
        say(ada, "list")
        assert hear(ada, 3) == ["1. [x] milk", "2. [ ] tea", "2 items"]
        assert end(ada, "quit\n") == (0, "", "")


class Web:
    """The web application as a process."""

    def __init__(self) -> None:
        self.process = start("web.py", "0", "0")
        self.pmd_port = int(self._line().rsplit(" ", 1)[1])
        self.port = int(self._line().split(":")[2].split("/")[0])

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("localhost", self.port, timeout=LIMIT)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.process.send_signal(signal.SIGINT)
    assert end(web.process) == (0, "", "")


def test_a_web_application_is_the_pmd(web: Web) -> None:
    assert web.ask("GET", "/nodes") == (200, "[]")
    with distflow.Node(alias="shop", pmd_port=web.pmd_port, auto_start=False) as node:
        expected = [{"id": node.node_id, "alias": "shop"}]
        assert json.loads(web.ask("GET", "/nodes")[1]) == expected
        assert web.ask("POST", "/nodes/shop", '{"order": 17}')[0] == 202
        assert node.recv(LIMIT).payload == {"order": 17}
        assert web.ask("POST", "/nodes/nobody", "1") == (404, "Failed to resolve target: nobody\n")
        assert web.ask("POST", "/nodes/shop", "{")[0] == 400
        assert web.ask("POST", "/nodes/shop", "[" * 100_000)[0] == 400
        assert web.ask("POST", "/nodes/shop", "[" * 80 + "]" * 80)[0] == 400
        node.send("web", "to the application")
        came: list[Any] = []

        def has_come() -> bool:
            came.extend(json.loads(web.ask("GET", "/messages")[1]))
            return bool(came)

        until(has_come)
        assert came == [{"from": node.node_id, "payload": "to the application"}]
