"""The examples of the repository, as processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Iterator

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
    assert ada.stdout.readline() == "grace: hello\n"
    assert ada.stdout.readline() == "* grace has left\n"
    assert end(ada, "") == (0, "", "")


def test_a_pool_counts_right_although_a_worker_is_killed(pmd: distflow.Pmd) -> None:
    pool = start("workers.py", "pool", "3", str(pmd.port))
    assert pool.stdout is not None
    with distflow.PmdClient(port=pmd.port) as client:
        assert pool.stdout.readline().endswith(" is here\n")
        # The command line of a worker, a child of the pool's.
        children = Path(f"/proc/{pool.pid}/task/{pool.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        code, out, err = end(pool)
        assert (code, err) == (0, "")
        assert out.endswith("\n63951 primes below 800000\n")
        until(lambda: client.list() == [])


def test_a_pool_without_workers_says_so(pmd: distflow.Pmd) -> None:
    assert end(start("workers.py", "pool", "0", str(pmd.port))) == (1, "", "no worker is left\n")
    assert end(start("workers.py", "work", str(pmd.port))) == (1, "", "there is no pool\n")
    assert end(start("workers.py", "pool"))[0] == 1


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
