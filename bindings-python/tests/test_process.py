"""How nodes behave towards the process they are in."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from typing import Any, Callable

import pytest

import distflow

from .conftest import LIMIT, free_port, in_time, until

Run = Callable[..., Any]
Make = Callable[..., distflow.Node]

REPEATS = int(os.environ.get("REPEATS", "15"))

HEAD = """
import atexit, asyncio, os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore", ResourceWarning)
import distflow
from distflow import aio
port = int(sys.argv[1])
options = dict(pmd_port=port, auto_start=False)
"""


@pytest.mark.parametrize(
    "wait",
    [
        "node.recv()",
        "next(iter(node))",
        "node.next_event()",
        "list(node)",
        "node.send('full', 'x' * 3_000_000)",
        "distflow.PmdClient(port=port).next_event()",
    ],
)
def test_ctrl_c_ends_a_wait(pmd: distflow.Pmd, make: Make, run: Run, wait: str) -> None:
    # A receiver that lets its senders wait.
    make("full", overflow="block", mailbox_size=1)
    for _ in range(3):
        program = run(
            HEAD
            + f"""
node = distflow.Node(**options)
try:
    print("ready", flush=True)
    while True:
        {wait}
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
    node.close()
""",
            str(pmd.port),
        )
        assert program.line() == "ready"
        begun = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        code, out, err = program.end()
        assert code == 0
        # What the receiver did not take before the end of the node is told.
        assert all(line.startswith("messages lost ") for line in err.splitlines()), err
        # This clock is the same for all processes.
        in_time(float(out) - begun, 0.2)


def test_ctrl_c_ends_a_start(run: Run) -> None:
    import socket

    # Something that accepts and says nothing.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        program = run(
            HEAD
            + """
try:
    print("ready", flush=True)
    distflow.Node(pmd_host="127.0.0.1", start_timeout=600.0, request_timeout=600.0, **options)
except KeyboardInterrupt:
    print("interrupted")
""",
            str(listener.getsockname()[1]),
        )
        assert program.line() == "ready"
        program.interrupt()
        code, out, err = program.end()
        # It may have found out by itself that this is no PMD.
        assert (code, out) == (0, "interrupted\n") or "NotPmdError" in err


ENDS = {
    "with an open node": "node = distflow.Node(**options)",
    "with a node that is closed": "distflow.Node(**options).close()",
    "with an exception": """
node = distflow.Node(**options)
node.on_message(print)
sys.exit(7)
""",
    "with a daemon thread that waits": """
node = distflow.Node(**options)
def receive():
    while True:
        try: node.recv()
        except distflow.DistflowError: return
for _ in range(4): threading.Thread(target=receive, daemon=True).start()
""",
    "with a daemon thread that iterates while messages come": """
node = distflow.Node(alias="me", overflow="block", **options)
def receive():
    for message in node: pass
threading.Thread(target=receive, daemon=True).start()
for at in range(2000): node.send("me", at)
""",
    "with handlers that are busy": """
node = distflow.Node(alias="me", overflow="drop-oldest", **options)
node.on_message(lambda message: node.send("me", message.payload))
node.on("peer_leave", lambda event: None)
for at in range(500): node.send("me", at)
""",
    "closing in atexit": """
node = distflow.Node(**options)
atexit.register(node.close)
""",
    "starting in atexit": """
atexit.register(lambda: distflow.Node(**options))
""",
    "with requests under way": """
node = distflow.Node(**options)
def ask():
    try:
        while True: node.discover()
    except distflow.DistflowError: pass
for _ in range(4): threading.Thread(target=ask, daemon=True).start()
""",
    "with a node of asyncio": """
async def main():
    node = await aio.Node(alias="me", **options)
    node.on_message(lambda message: None)
    for at in range(100): await node.send("me", at)
    globals()["kept"] = node
asyncio.run(main())
""",
    "with a daemon thread that does not expect an end": """
node = distflow.Node(**options)
def receive():
    while True: node.recv()
for _ in range(4): threading.Thread(target=receive, daemon=True).start()
""",
    "with an embedded PMD": "pmd = distflow.Pmd(port=0); pmd.on('peer_join', print)",
    "with the log on": """
import logging
logging.basicConfig(level=logging.DEBUG, stream=open(os.devnull, "w"))
node = distflow.Node(**options)
""",
}


@pytest.mark.parametrize("how", ENDS)
def test_the_interpreter_ends_cleanly(pmd: distflow.Pmd, run: Run, how: str) -> None:
    body, exits, status = ENDS[how].partition("sys.exit")
    text = f"{HEAD}{body}\nprint(time.monotonic(), flush=True)\n{exits}{status}"
    for _ in range(REPEATS):
        code, out, err = run(text, str(pmd.port)).end()
        ended = time.monotonic()
        assert (code, err) == (7 if "exception" in how else 0, "")
        in_time(ended - float(out), 3)
    until(lambda: pmd.nodes() == [])


def test_a_forked_child_gets_errors_and_may_have_nodes_of_its_own(
    pmd: distflow.Pmd, run: Run
) -> None:
    program = run(
        HEAD
        + """
node = distflow.Node(alias="parent", **options)
other = distflow.Node(alias="other", **options)
node.send("other", 1)
child = os.fork()
if child == 0:
    failures = []
    for call in [lambda: node.send("other", 2), node.recv, node.discover, lambda: list(node),
                 lambda: node.try_send("other", 1)]:
        try: call()
        except distflow.ForkedError as error: failures.append(error.code)
    with distflow.Node(alias="child", **options) as own:
        own.send("other", "from the child")
    print(failures, flush=True)
    os._exit(0)
os.waitpid(child, 0)
assert other.recv(30).payload == 1
assert other.recv(30).payload == "from the child"
assert {peer.alias for peer in node.discover()} == {"other"}
node.close(); other.close()
print("parent", flush=True)
""",
        str(pmd.port),
    )
    code, out, err = program.end()
    assert err.replace("DeprecationWarning", "") == err or "fork" in err
    assert (code, out.splitlines()) == (0, [str(["forked"] * 5), "parent"])


def test_a_forked_child_can_leave_the_block_of_its_parents_node(
    pmd: distflow.Pmd, run: Run
) -> None:
    code = """
with distflow.Node(**options) as node:
    child = os.fork()
    if child == 0:
        for call in (node.peers, node.stats, lambda: node.next_event(0)):
            try: call()
            except distflow.ForkedError: pass
            else: os._exit(9)
        sys.exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    node.send(node.node_id, "still here")
    print(node.recv(30).payload)
"""
    status, out, _ = run(HEAD + code, str(pmd.port)).end()
    assert (status, out) == (0, "still here\n")


def child_main(port: int) -> None:
    with distflow.Node(pmd_port=port, auto_start=False) as node:
        node.send("parent", os.getpid())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(pmd: distflow.Pmd, make: Make, method: str) -> None:
    parent = make("parent")
    context = multiprocessing.get_context(method)
    children = [context.Process(target=child_main, args=(pmd.port,)) for _ in range(3)]
    for child in children:
        child.start()
    got = sorted(parent.recv(LIMIT).payload for _ in children)
    for child in children:
        child.join(LIMIT)
    assert got == sorted(child.pid for child in children if child.pid is not None)
    assert [child.exitcode for child in children] == [0, 0, 0]


def test_a_killed_process_is_seen_to_leave(pmd: distflow.Pmd, make: Make, run: Run) -> None:
    watcher = make("watcher")
    program = run(
        HEAD + "node = distflow.Node(**options); print(node.node_id); input()", str(pmd.port)
    )
    program.process.stdin.flush()
    joined = watcher.next_event(LIMIT)
    program.process.kill()
    left = watcher.next_event(LIMIT)
    assert left.peer.node_id == joined.peer.node_id  # type: ignore[union-attr]
    assert left.reason == "closed"  # type: ignore[union-attr]


def test_a_subinterpreter_is_refused_clearly(run: Run) -> None:
    code = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import distflow
sub = interpreters.create()
code = "try:\\n import distflow\\nexcept ImportError as error: print('ImportError', error)"
interpreters.run_string(sub, code)
"""
    code, out, err = run(code).end()
    assert code == 0 and out.startswith("ImportError"), err


def test_an_interpreter_without_its_lock_is_refused_clearly(run: Run) -> None:
    code = """
import sys
sys._is_gil_enabled = lambda: False
try:
    import distflow
except ImportError as error:
    print("ImportError", error)
"""
    status, out, err = run(code).end()
    assert (status, err) == (0, "")
    assert out.startswith("ImportError distflow does not support interpreters that run without")


def test_another_implementation_is_refused_clearly(run: Run) -> None:
    code = """
import sys, types
sys.implementation = types.SimpleNamespace(**{**vars(sys.implementation), "name": "pypy"})
try:
    import distflow
except ImportError as error:
    print("ImportError", error)
"""
    status, out, err = run(code).end()
    assert (status, err) == (0, "")
    assert out.startswith("ImportError distflow supports CPython only, not pypy")


def test_one_node_a_process(pmd: distflow.Pmd, run: Run) -> None:
    code, out, err = run(
        HEAD
        + """
node = distflow.start(**options)
assert distflow.start(**options) is node
async def main():
    try: await aio.start(**options)
    except distflow.AlreadyRunningError as error: print(error)
asyncio.run(main())
""",
        str(pmd.port),
    ).end()
    assert (code, out, err) == (0, "Node already running in this process\n", "")


def test_the_first_node_starts_a_pmd_that_is_the_small_executable(run: Run) -> None:
    port = free_port()
    program = run(
        """
import sys, distflow
node = distflow.Node(pmd_port=int(sys.argv[1]), pmd_auto_shutdown=3, start_timeout=30)
print("up", flush=True)
input()
node.close()
""",
        str(port),
    )
    assert program.line() == "up"
    commands = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode().split("\0")
        except OSError:
            continue
        if "pmd" in words and str(port) in words:
            commands.append(words)
    assert len(commands) == 1
    assert os.path.join("distflow", "bin", "distflow") in commands[0][0]
    program.process.stdin.write("\n")
    program.process.stdin.flush()
    assert program.end()[0] == 0

    def is_gone() -> bool:
        try:
            distflow.PmdClient(port=port).close()
        except distflow.DistflowError:
            return True
        return False

    until(is_gone)


@pytest.mark.parametrize(
    "first",
    [
        "node.send('node', 1)",
        "node.send('other', 1)",
        "node.try_send('other', 1)",
        "node.recv(1)",
        "node.discover()",
        "[node.next_event() for _ in range(2)]",
        "pmd.nodes()",
    ],
)
def test_descriptors_closed_by_the_host_are_an_error_of_the_object(run: Run, first: str) -> None:
    program = run(
        """
import os, distflow
pmd = distflow.Pmd()
node = distflow.Node(alias="node", pmd_port=pmd.port)
other = distflow.Node(alias="other", pmd_port=pmd.port)
node.send("other", 1)
assert other.recv(60).payload == 1
os.closerange(3, 256)
files = [os.open("/dev/null", os.O_WRONLY) for _ in range(50)]
calls = [FIRST, lambda: node.send("other", 1), lambda: node.recv(1), lambda: node.discover()]
for call in calls:
    try:
        call()
    except distflow.ClosedError:
        pass
    else:
        raise AssertionError("no error")
for item in (node, other, pmd):
    item.close()
for file in files:
    os.close(file)
with distflow.Pmd() as pmd, distflow.Node(alias="node", pmd_port=pmd.port) as node:
    node.send("node", 2)
    assert node.recv(60).payload == 2
print("done", flush=True)
""".replace("FIRST", f"lambda: {first}")
    )
    assert program.line() == "done"
    code, _, errors = program.end()
    assert code == 0, errors
