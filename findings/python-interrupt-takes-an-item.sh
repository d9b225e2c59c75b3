#!/usr/bin/env bash
# CPython: an exception that a signal handler raises takes an item of queue.SimpleQueue with it.
# One would guess that a call which an exception ends has taken nothing: `queue.get()` either returns
# the item or raises, and the item is still there.
# It is so only while the call waits. Handlers run between instructions, and the next chance after a
# call is before its result is kept. So when items are there already, each exception of a handler
# (Ctrl-C, a time-out by SIGALRM) loses the item of the call that it comes with; SimpleQueue.get_nowait
# and get of 3.11 and newer lose one for nearly every such exception, although they are written in C.
# Programs whose handlers raise must not take from a queue where they may, or must look there again.
# distflow's receivers put back what a handler has kept from its caller
# (bindings-python/tests/test_interrupts.py).
set -eu
python=$(command -v python3) || { echo "python3 is missing"; exit 77; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.implementation.name != "cpython")' ||
    { echo "CPython 3.11 or newer is missing: $("$python" -V)"; exit 77; }
"$python" - <<'PROGRAM'
import queue
import random
import signal
import sys
import time


class Interrupt(Exception):
    pass


taking = False


def handler(*_):
    if taking:
        raise Interrupt


signal.signal(signal.SIGALRM, handler)
items = queue.SimpleQueue()
put = got = interrupts = 0
deadline = time.monotonic() + 60
while interrupts < 100 and time.monotonic() < deadline:
    for _ in range(50):
        items.put(put)
        put += 1
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00001, 0.00005))
    for _ in range(50):
        item = None
        try:
            taking = True
            item = items.get_nowait()
            taking = False
        except Interrupt:
            taking = False
            interrupts += 1
        except queue.Empty:
            taking = False
        got += item is not None
lost = put - got - items.qsize()
print("CPython", sys.version.split()[0])
print(f"{put} items put, {interrupts} exceptions of a handler while one was taken, {lost} items lost")
sys.exit(0 if lost > interrupts / 2 > 0 else 1)
PROGRAM
