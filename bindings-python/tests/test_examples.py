"""The examples of the repository, as processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import distflow

from .conftest import LIMIT

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
