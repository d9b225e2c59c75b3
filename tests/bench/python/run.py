"""Benchmark of the Python package beside its yardsticks, interleaved in one run.

python tests/bench/python/run.py [--quick] [--rounds N] [--only stream,trip,start] [--json FILE]

Each side is pinned to a processor of its own, with all of its threads; the receiver checks order
and count. Nothing here fails a build.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Iterator

HERE = Path(__file__).resolve().parent
BLOCKING = ["distflow", "zmq", "socket", "socket_orjson"]
ASYNC = ["distflow_aio", "zmq_aio", "streams", "uvloop_streams"]
TRIPS = ["distflow", "zmq", "socket", "distflow_aio", "zmq_aio", "streams"]
SIZES = [100, 1_024]

# what, figure, yardstick, least (or most) ratio
AIMS = [
    ("100 B, blocking", "stream100.distflow", "stream100.zmq", 1.7),
    ("100 B, blocking (stretch)", "stream100.distflow", "stream100.socket_orjson", 0.7),
    ("100 B, asyncio", "stream100.distflow_aio", "stream100.zmq_aio", 3.0),
    ("100 B, asyncio", "stream100.distflow_aio", "stream100.streams", 1.0),
    ("100 B, asyncio (stretch)", "stream100.distflow_aio", "stream100.uvloop_streams", 1.0),
    ("1 KiB, blocking", "stream1024.distflow", "stream1024.zmq", 2.0),
    ("1 KiB, blocking (stretch)", "stream1024.distflow", "stream1024.socket_orjson", 0.7),
    ("round trip p50", "trip.distflow", "trip.zmq", -1.0),
    ("round trip p50", "trip.distflow", "trip.socket", -1.3),
    ("round trip p50 (stretch)", "trip.distflow", "trip.socket", -1.15),
    ("import and first node", "start.node", "start.zenoh", -1.3),
]

# Milliseconds above a bare interpreter.
START_MS = 25

figures: dict[str, list[float]] = defaultdict(list)


class Child:
    """A process in one role, on one processor."""

    def __init__(self, processor: int | None, *words: str) -> None:
        pin = ["taskset", "-c", str(processor)] if processor is not None else []
        command = [*pin, sys.executable, str(HERE / "peers.py"), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def after(self, start: str) -> str:
        """The rest of the next line that starts so."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(start):
                return line[len(start) :].strip()
        raise RuntimeError(f"no {start!r} from {self.process.args}")

    def result(self) -> Any:
        """The figures it reports."""
        return json.loads(self.after("result "))


@contextlib.contextmanager
def children() -> Iterator[list[Child]]:
    """Children that never outlive the measurement."""
    kept: list[Child] = []
    try:
        yield kept
    finally:
        for child in reversed(kept):
            child.process.kill()
            child.process.wait()


@contextlib.contextmanager
def address(name: str) -> Iterator[str]:
    """What a contestant needs beside its two sides."""
    if not name.startswith("distflow"):
        yield "-"
        return
    from distflow import _launcher

    command = [*(_launcher.launcher() or []), "pmd", "start", "--port", "0"]
    pmd = subprocess.Popen([*command, "--auto-shutdown-ms", "0"], stdout=subprocess.PIPE, text=True)
    assert pmd.stdout is not None
    try:
        for line in pmd.stdout:
            if line.startswith("PMD started on port "):
                yield line.split()[-1]
                return
    finally:
        pmd.kill()
        pmd.wait()


def stream(name: str, size: int, seconds: float) -> None:
    """One stream from a sender to a receiver."""
    with address(name) as place, children() as kept:
        kept.append(Child(0, name, "receive", place))
        ready = kept[0].after("ready ")
        kept.append(Child(1, name, "send", ready, str(size), f"{seconds:.1f}"))
        received, sent = kept[0].result(), kept[1].result()
        key = f"stream{size}.{name}"
        figures[key].append(received["rate"])
        figures[f"{key}.send"].append(sent["cpu"])
        figures[f"{key}.receive"].append(received["cpu"])


def trip(name: str, count: int) -> None:
    """Round trips."""
    with address(name) as place, children() as kept:
        kept.append(Child(0, name, "echo", place))
        kept.append(Child(1, name, "ping", kept[0].after("ready "), str(count)))
        result = kept[1].result()
        figures[f"trip.{name}"].append(result["p50"])
        figures[f"trip.{name}.p99"].append(result["p99"])


def start() -> None:
    """From the start of an interpreter to a node that is usable."""
    with address("distflow") as port:
        programs = {
            "bare": "",
            "node": f"import distflow; node = distflow.Node(pmd_port={port}, auto_start=False)\n",
            # A peer that looks for nobody.
            "zenoh": (
                "import zenoh; config = zenoh.Config()\n"
                "config.insert_json5('scouting/multicast/enabled', 'false')\n"
                "config.insert_json5('listen/endpoints', '[\"tcp/127.0.0.1:0\"]')\n"
                "session = zenoh.open(config)\n"
            ),
        }
        for key, code in programs.items():
            times = []
            for _ in range(10):
                begun = time.monotonic_ns()
                code_ = (
                    code + "import time, os; print(time.monotonic_ns(), flush=True); os._exit(0)"
                )
                ran = subprocess.run(
                    [sys.executable, "-c", code_], capture_output=True, text=True, check=True
                )
                times.append((int(ran.stdout) - begun) / 1e6)
            figures[f"start.{key}"].append(statistics.median(times))


def ratios(key: str, other: str) -> list[float]:
    """The ratio of two figures in each round."""
    return [a / b for a, b in zip(figures[key], figures[other])]


def report() -> None:
    """Prints tables and the aims."""
    for key in [key for key in figures if key.count(".") == 1]:
        values = figures[key]
        middle = statistics.median(values)
        unit = "k/s" if key.startswith("stream") else "ms" if key.startswith("start") else "us"
        scale = 1e3 if unit == "k/s" else 1
        sides = [
            f"{statistics.median(figures[f'{key}.{side}']):.2f} us {side}"
            for side in ("send", "receive")
            if figures.get(f"{key}.{side}")
        ]
        low, high = min(values) / scale, max(values) / scale
        spread = f"[{low:.0f}..{high:.0f}]"
        print(f"  {key:30} {middle / scale:8.1f} {unit} {spread:14} {', '.join(sides)}")
    for what, key, other, bound in AIMS:
        if not figures.get(key) or not figures.get(other):
            print(f"  {what:30} not measured: {other}")
            continue
        found = statistics.median(ratios(key, other))
        met = found >= bound if bound > 0 else found <= -bound
        sign = ">=" if bound > 0 else "<="
        aim = f"{sign} {abs(bound)} x {other.split('.')[1]}"
        low, high = min(ratios(key, other)), max(ratios(key, other))
        print(
            f"  {what:30} {found:6.2f} ({low:.2f} to {high:.2f})  {aim:24} "
            f"{'met' if met else 'NOT met'}"
        )
    if figures.get("start.node"):
        more = [a - b for a, b in zip(figures["start.node"], figures["start.bare"])]
        met = statistics.median(more) <= START_MS
        print(
            f"  {'import and first node':30} {statistics.median(more):+6.1f} ms above bare, "
            f"aim {START_MS} ms: {'met' if met else 'NOT met'}"
        )


def main() -> None:
    """Runs the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", default="stream,trip,start")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    only = options.only.split(",")
    rounds = options.rounds or (1 if options.quick else 3)
    if os.cpu_count() == 1 or not shutil.which("taskset"):
        print("two processors and taskset are needed")
        sys.exit(1)
    for number in range(rounds):
        if "stream" in only:
            for size in SIZES:
                for name in BLOCKING + (ASYNC if size == SIZES[0] else []):
                    stream(name, size, 0.5 if options.quick else 1.0)
        if "trip" in only:
            for name in TRIPS:
                trip(name, 3_000 if options.quick else 10_000)
        if "start" in only:
            start()
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    print(f"Python {sys.version.split()[0]}")
    report()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
