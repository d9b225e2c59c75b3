#!/usr/bin/env python3
"""A pool of worker processes: each counts primes; the work of one that dies is done by another.

python workers.py pool WORKERS [PMD-PORT]
python workers.py work [PMD-PORT]          one more, from here or another machine's terminal
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
from collections import deque
from typing import Union

import distflow
from distflow import Message, PeerLeave

BOSS = "prime-pool"
GONE = (distflow.ResolveFailedError, distflow.ConnectionFailedError)
# Its own node is closed by the handler of the leave.
ENDED = (*GONE, distflow.ClosedError)
STEP = 20_000
RANGES = [[start, start + STEP] for start in range(0, 40 * STEP, STEP)]


def primes(start: int, end: int) -> int:
    """How many primes there are from ``start`` up to ``end``."""
    sieve = bytearray([1]) * end
    sieve[:2] = bytes(2)
    for n in range(2, int(end**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, end, n)))
    return sum(sieve[start:])


def work(port: int) -> None:
    """Does what it is told until it is told to end, or nobody is there any more to tell it."""
    with distflow.Node(pmd_port=port) as node:
        boss = next(iter(node.discover(BOSS)), None)
        if boss is None:
            sys.exit("there is no pool")

        def left(event: PeerLeave) -> None:
            if event.peer.node_id == boss.node_id:
                node.close()

        node.on("peer_leave", left)
        with contextlib.suppress(*ENDED):
            node.send(boss.node_id, {"ready": True})
            for message in node:
                if message.payload is None:
                    return
                job = message.payload["job"]
                node.send(boss.node_id, {"job": job, "count": primes(*RANGES[job])})


class Pool:
    """Deals jobs out to whoever is free."""

    def __init__(self, node: distflow.Node) -> None:
        self.node = node
        self.todo = deque(range(len(RANGES)))
        self.counts: dict[int, int] = {}
        self.busy: dict[str, int] = {}
        self.free: set[str] = set()

    def message(self, message: Message) -> None:
        """A worker is ready, or has done its job."""
        if "job" in message.payload:
            self.counts[message.payload["job"]] = message.payload["count"]
            self.busy.pop(message.sender, None)
        else:
            print(f"{message.sender} is here", flush=True)
        self.free.add(message.sender)

    def left(self, worker: str) -> None:
        """What it was doing is to be done."""
        self.free.discard(worker)
        job = self.busy.pop(worker, None)
        if job is not None and job not in self.counts:
            print(f"{worker} has left its job", flush=True)
            self.todo.append(job)

    def deal(self) -> None:
        """Gives jobs to those who are free."""
        while self.todo and self.free:
            job = self.todo.popleft()
            if job in self.counts:
                # The last word of a worker can come after its leave.
                continue
            worker = self.free.pop()
            self.busy[worker] = job
            try:
                self.node.send(worker, {"job": job})
            except GONE:
                # Its leave is told, or was.
                self.left(worker)

    def end(self) -> None:
        """Sends everybody home."""
        for worker in [*self.free, *self.busy]:
            with contextlib.suppress(*GONE):
                self.node.send(worker, None)


def pool(count: int, port: int) -> None:
    """Counts with so many workers, and with those that are started elsewhere."""
    inbox: queue.Queue[Union[Message, PeerLeave]] = queue.Queue()
    with distflow.Node(alias=BOSS, pmd_port=port) as node:
        # Both are called on the node's thread, so there is one order.
        node.on_message(inbox.put)
        node.on("peer_leave", inbox.put)
        command = [sys.executable, __file__, "work", str(port)]
        workers = [subprocess.Popen(command) for _ in range(count)]
        dealt = Pool(node)
        while len(dealt.counts) < len(RANGES):
            try:
                told = inbox.get(timeout=1)
            except queue.Empty:
                if not dealt.busy and all(worker.poll() is not None for worker in workers):
                    sys.exit("no worker is left")
                continue
            if isinstance(told, PeerLeave):
                dealt.left(told.peer.node_id)
            else:
                dealt.message(told)
            dealt.deal()
        dealt.end()
        # One that has not said yet that it is ready sees this node leave.
    for worker in workers:
        worker.wait()
    print(f"{sum(dealt.counts.values())} primes below {RANGES[-1][1]}")


def main() -> None:
    """Reads the arguments."""
    arguments = sys.argv[1:]
    try:
        if arguments[:1] == ["pool"] and len(arguments) in (2, 3):
            pool(int(arguments[1]), int(arguments[2]) if len(arguments) > 2 else 4369)
        elif arguments[:1] == ["work"] and len(arguments) in (1, 2):
            work(int(arguments[1]) if len(arguments) > 1 else 4369)
        else:
            sys.exit(__doc__)
    except distflow.DistflowError as error:
        sys.exit(f"{error} ({error.code})")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
