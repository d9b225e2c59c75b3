"""Signals that end a wait: at once, and without taking anything with them."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable

import pytest

import distflow

Run = Callable[..., Any]

# How often a wait is interrupted, for each of them.
INTERRUPTS = int(os.environ.get("INTERRUPTS", "300"))

HEAD = """
import linecache, os, queue, random, signal, socket, sys, threading, time, _thread
import distflow
port, count = int(sys.argv[1]), int(sys.argv[2])
broker = sys.argv[3] if len(sys.argv) > 3 else ""
options = dict(pmd_port=port, auto_start=False, start_timeout=30)

class Interrupt(Exception): pass

def in_the_wait(frame):
    # Before 3.11 it may come between any two instructions: also when a call has returned and its
    # result is not kept yet. There only what waits and what takes may be interrupted.
    if sys.version_info >= (3, 11): return True
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
    return "(taken, " in line or ".wait_events(" in line

waiting = False
def interrupt(_signal, frame):
    if waiting and in_the_wait(frame): raise Interrupt
signal.signal(signal.SIGALRM, interrupt)
"""

# For each wait: what makes something come (`say`), what waits for it (`take`), and which number it
# has, the one after the last; -1 for something else.
WAITS = {
    "recv": """
node, sender = distflow.Node(alias="me", overflow="block", **options), distflow.Node(**options)
say = lambda at: sender.send("me", at)
take, number = node.recv, lambda message: message.payload
""",
    "iteration": """
node, sender = distflow.Node(alias="me", overflow="block", **options), distflow.Node(**options)
say = lambda at: sender.send("me", at)
def take(_):
    for message in node: return message
number = lambda message: message.payload
""",
    "next_event of a node": """
node, client = distflow.Node(**options), distflow.PmdClient(port=port)
def say(at):
    client.register(f"n-{at}", None, "localhost", 1)
    client.unregister(f"n-{at}")
take = node.next_event
number = lambda event: int(event.peer.node_id[2:]) if isinstance(event, distflow.PeerJoin) else -1
""",
    "next_event of a client of the PMD": """
watcher, client = distflow.PmdClient(port=port), distflow.PmdClient(port=port)
watcher.watch()
def say(at):
    client.register(f"n-{at}", None, "localhost", 1)
    client.unregister(f"n-{at}")
take = watcher.next_event
number = lambda event: int(event.peer.node_id[2:]) if isinstance(event, distflow.PeerJoin) else -1
""",
    "next_event of a session": """
from distflow.sessions import SessionManager
manager = SessionManager(broker)
session = manager.create(players_max=2)
other = manager.join(session.id)
say = lambda at: other.publish("at", str(at).encode())
take = session.next_event
number = lambda event: int(event.payload) if event.type == "game" else -1
""",
}

ROUNDS = """
orders = queue.SimpleQueue()
def speak():
    for at in range(count):
        time.sleep(orders.get())
        say(at)
threading.Thread(target=speak, daemon=True).start()

got, interrupts = [], 0
for at in range(count):
    # Before, after and together with what comes.
    orders.put(random.uniform(0, 0.002))
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.0022))
    taken = None
    try:
        waiting = True
        taken = take(30)
        waiting = False
    except Interrupt:
        waiting = False
        interrupts += 1
    if taken is not None and number(taken) >= 0: got.append(number(taken))
signal.setitimer(signal.ITIMER_REAL, 0)
while len(got) < count:
    last = number(take(30))
    if last >= 0: got.append(last)
assert got == list(range(count)), [at for at in range(count) if at not in got]
assert interrupts > count / 20, interrupts
print("all", flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("wait", WAITS)
def test_an_interrupt_takes_nothing_with_it(
    pmd: distflow.Pmd, broker: str, run: Run, wait: str
) -> None:
    if wait == "iteration" and sys.version_info < (3, 11):
        pytest.skip("a loop of this interpreter may be interrupted when it has an item")
    count = INTERRUPTS
    program = run(HEAD + WAITS[wait] + ROUNDS, str(pmd.port), str(count), broker)
    out, err = program.process.communicate(timeout=60 + count / 10)
    assert (program.process.returncode, out) == (0, "all\n"), err


AT_REST = """
def switches(thread):
    with open(f"/proc/self/task/{thread}/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return lines["State"].split()[0], int(lines["voluntary_ctxt_switches"])

def at_rest(thread):
    before = None
    # Until it waits: then nothing happens to it any more.
    while before is None or before[0] != "S":
        time.sleep(0.5)
        before = switches(thread)
    time.sleep(2)
    return switches(thread)[1] - before[1]
"""


@pytest.mark.parametrize("where", ["main", "another"])
@pytest.mark.parametrize("wait", ["node.recv()", "node.next_event()", "watcher.next_event()"])
def test_a_wait_at_rest_does_not_wake(pmd: distflow.Pmd, run: Run, where: str, wait: str) -> None:
    program = run(
        HEAD
        + AT_REST
        + f"""
node, watcher = distflow.Node(**options), distflow.PmdClient(port=port)
def wait():
    try: {wait}
    except (Interrupt, distflow.DistflowError): pass
def look(thread):
    print(at_rest(thread), flush=True)
    os._exit(0)
if "{where}" == "main":
    threading.Thread(target=look, args=(_thread.get_native_id(),), daemon=True).start()
    wait()
else:
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    while thread.native_id is None: time.sleep(0.01)
    look(thread.native_id)
""",
        str(pmd.port),
        "0",
    )
    code, out, err = program.end()
    # In slices of 100 ms it was 20 and more. A timer of the node's may end meanwhile.
    assert code == 0 and int(out) <= 3, (out, err)


SIGNALS = {
    "to this thread": "signal.setitimer(signal.ITIMER_REAL, 0.2)",
    "to another thread": """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
def other():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    time.sleep(30)
threading.Thread(target=other, daemon=True).start()
signal.setitimer(signal.ITIMER_REAL, 0.2)
""",
    "by interrupt_main": """
signal.signal(signal.SIGINT, interrupt)
threading.Timer(0.2, _thread.interrupt_main).start()
""",
}


@pytest.mark.parametrize("how", SIGNALS)
def test_a_signal_ends_a_wait_whoever_gets_it(pmd: distflow.Pmd, run: Run, how: str) -> None:
    program = run(
        HEAD
        + f"""
node = distflow.Node(**options)
waiting = True
try:
    {SIGNALS[how].strip().replace(chr(10), chr(10) + "    ")}
    node.recv(60)
except Interrupt: print("interrupted", flush=True)
os._exit(0)
""",
        str(pmd.port),
        "0",
    )
    code, out, err = program.end()
    assert (code, out) == (0, "interrupted\n"), err


def test_the_programs_own_wakeup_descriptor_is_kept_and_told(pmd: distflow.Pmd, run: Run) -> None:
    program = run(
        HEAD
        + """
node = distflow.Node(**options)
here, there = socket.socketpair()
there.setblocking(False)
signal.set_wakeup_fd(there.fileno())
handled = []
signal.signal(signal.SIGALRM, lambda *_: handled.append(signal.set_wakeup_fd(there.fileno())))
signal.setitimer(signal.ITIMER_REAL, 0.2)
try: node.recv(2)
except distflow.TimeoutError: pass
here.settimeout(30)
# The handler saw the program's own, and that has got the signal.
assert handled == [there.fileno()], handled
assert here.recv(1)[0] == signal.SIGALRM
assert signal.set_wakeup_fd(-1) == there.fileno()
print("kept", flush=True)
""",
        str(pmd.port),
        "0",
    )
    code, out, err = program.end()
    assert (code, out) == (0, "kept\n"), err


def test_a_handler_that_returns_lets_the_wait_go_on(pmd: distflow.Pmd, run: Run) -> None:
    program = run(
        HEAD
        + """
node = distflow.Node(alias="me", **options)
signal.signal(signal.SIGALRM, lambda *_: node.send("me", "from the handler"))
signal.setitimer(signal.ITIMER_REAL, 0.2)
print(node.recv(30).payload, flush=True)
node.close()
""",
        str(pmd.port),
        "0",
    )
    code, out, err = program.end()
    assert (code, out) == (0, "from the handler\n"), err


def test_what_a_wait_imports_is_imported_where_no_signal_comes(pmd: distflow.Pmd, run: Run) -> None:
    program = run(
        """
import sys, _thread
import distflow
class Finder:
    def find_spec(self, name, *_):
        if name == "distflow.types":
            print("main" if _thread.get_ident() == main else "another")
sys.meta_path.insert(0, Finder())
main = _thread.get_ident()
node = distflow.Node(pmd_port=int(sys.argv[1]), auto_start=False)
assert "distflow.types" not in sys.modules
other = distflow.Node(pmd_port=int(sys.argv[1]), auto_start=False)
print(node.next_event().peer.node_id == other.node_id)
""",
        str(pmd.port),
    )
    out, err = program.process.communicate(timeout=60)
    assert (program.process.returncode, out) == (0, "another\nTrue\n"), err
