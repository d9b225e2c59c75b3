"""Runs the tests against the wheel, installed in an empty environment of each interpreter.

    python tests/run.py WHEEL FOLDER [PYTEST-ARGUMENT…]

The interpreters are the oldest and the newest supported one that is found, and the one that runs
this: `python3.N` on the search path, and what pyenv has. DISTFLOW_PYTHONS names others, separated
by colons.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

OLDEST = 9
NEWEST = 15
TESTS = Path(__file__).resolve().parent


def version(python: str) -> tuple[int, ...] | None:
    """The version of an interpreter; None for one that does not run."""
    code = "import sys; print(*sys.version_info[:3]); import ensurepip"
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return tuple(map(int, ran.stdout.split())) if ran.returncode == 0 else None


def interpreters() -> dict[tuple[int, ...], str]:
    """The interpreters to test with, by version."""
    given = os.environ.get("DISTFLOW_PYTHONS")
    if given:
        named = given.split(":")
        found = {version(python): python for python in named}
        assert None not in found, f"not all of these run: {given}"
        return {number: python for number, python in found.items() if number}
    names = [shutil.which(f"python3.{minor}") for minor in range(OLDEST, NEWEST + 1)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names += map(str, pyenv.glob("versions/3.*/bin/python"))
    known = {version(name): name for name in names if name}
    supported = {number: name for number, name in known.items() if number and number >= (3, OLDEST)}
    chosen = {min(supported), max(supported)} if supported else set()
    own = sys.version_info[:3]
    return {**{number: supported[number] for number in chosen}, own: sys.executable}


def run(number: tuple[int, ...], python: str, wheel: str, folder: str, rest: list[str]) -> str:
    """Makes an environment and runs the tests in it. What they print; raises
    ``CalledProcessError``, which has it as well, when one fails."""
    environment = Path(folder).resolve() / ".".join(map(str, number))
    shutil.rmtree(environment, ignore_errors=True)
    own = str(environment / "bin" / "python")
    pip = [own, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    needed = ["pytest", "uvloop", "aiohttp", "paho-mqtt", "textual", "pillow"]
    # Large, and the same for all.
    if number == sys.version_info[:3]:
        needed += ["PyQt6", "pyinstaller"]
    output = ""
    for command in (
        [python, "-m", "venv", str(environment)],
        # Of its own the package needs nothing.
        [*pip, "--no-index", "--no-deps", wheel],
        [*pip, *needed],
        [own, "-m", "pytest", "-p", "no:cacheprovider", *rest, str(TESTS)],
    ):
        ran = subprocess.run(
            command,
            cwd=TESTS.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        output = ran.stdout
    return output


def main() -> int:
    """Runs everything, all interpreters at once: tests mostly wait. The number of interpreters with
    a failure."""
    wheel, folder, *rest = sys.argv[1:]
    wheel = str(Path(wheel).resolve())
    failures = 0
    found = sorted(interpreters().items())
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(run, number, python, wheel, folder, rest) for number, python in found]
        for (number, _), running in zip(found, runs):
            print(f"Python {'.'.join(map(str, number))}", flush=True)
            try:
                print(running.result(), flush=True)
            except subprocess.CalledProcessError as error:
                print(error.stdout, f"failed: {error.cmd}", sep="\n", flush=True)
                failures += 1
    return failures


if __name__ == "__main__":
    sys.exit(main())
