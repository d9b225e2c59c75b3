"""What the tests share. Every wait has this limit; nothing is timed closer than that."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from typing import Any, Callable, Iterator

import pytest

import distflow

LIMIT = 30.0

# A shell that runs this in the background ignores Ctrl-C, and so would the programs started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def broker_port() -> Iterator[int]:
    """The port of a broker of MQTT: that of the package's own program."""
    command = [sys.executable, "-m", "distflow", "broker", "start", "--mqtt-port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
        process.terminate()
        assert process.wait(LIMIT) == 0


@pytest.fixture(scope="session")
def broker(broker_port: int) -> str:
    """The same as a URL."""
    return f"mqtt://127.0.0.1:{broker_port}"


@pytest.fixture
def pmd() -> Iterator[distflow.Pmd]:
    with distflow.Pmd(port=0) as pmd:
        yield pmd


@pytest.fixture
def make(pmd: distflow.Pmd) -> Iterator[Callable[..., distflow.Node]]:
    """Makes nodes that end with the test."""
    with contextlib.ExitStack() as stack:

        def make(alias: str | None = None, **options: Any) -> distflow.Node:
            given = {"pmd_port": pmd.port, "auto_start": False, "start_timeout": LIMIT, **options}
            node = distflow.Node(alias=alias, **given)
            return stack.enter_context(node)

        yield make


def free_port() -> int:
    """A free port that nobody is given by chance: below those of outgoing connections."""
    while True:
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", random.SystemRandom().randrange(20_000, 32_000)))
            return int(one.getsockname()[1])


class Program:
    """A Python program in a process of its own."""

    def __init__(self, code: str, *arguments: str, isolated: bool = False, **options: Any) -> None:
        # Development mode imports a few modules of its own.
        mode = ["-I"] if isolated else ["-X", "dev"]
        command = [sys.executable, *mode, "-c", code, *arguments]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )

    def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def interrupt(self) -> float:
        """Ctrl-C; the seconds until it has ended."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(LIMIT)
        return time.monotonic() - begun

    def end(self) -> tuple[int, str, str]:
        """Waits for its end: exit code, the rest of its output, and of its errors."""
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err


@pytest.fixture
def run() -> Iterator[Callable[..., Program]]:
    """Runs programs that end with the test at the latest."""
    programs: list[Program] = []

    def run(code: str, *arguments: str, **options: Any) -> Program:
        program = Program(code, *arguments, **options)
        programs.append(program)
        return program

    yield run
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.process.pid, signal.SIGKILL)
        program.process.communicate()


# Machines that run tests are busy elsewhere: what is promised may take so many times as long there.
# `docs/guarantees.md` says so.
SLACK = 10


def in_time(took: float, promised: float) -> None:
    """Fails when something took much longer than the seconds that are promised."""
    assert took < promised * SLACK, f"{took} s, where {promised} s are promised"


def until(condition: Callable[[], bool]) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.005)
