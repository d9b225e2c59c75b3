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


def main() -> int:
    """Runs everything; the number of interpreters with a failure."""
    wheel, folder, *arguments = sys.argv[1:]
    failures = 0
    for number, python in sorted(interpreters().items()):
        name = ".".join(map(str, number))
        environment = Path(folder).resolve() / name
        shutil.rmtree(environment, ignore_errors=True)
        subprocess.run([python, "-m", "venv", environment], check=True)
        own = environment / "bin" / "python"
        pip = [own, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        # Of its own the package needs nothing.
        subprocess.run([*pip, "--no-index", "--no-deps", wheel], check=True)
        subprocess.run([*pip, "pytest", "uvloop", "aiohttp"], check=True)
        print(f"Python {name}", flush=True)
        ran = subprocess.run(
            [own, "-m", "pytest", "-p", "no:cacheprovider", *arguments, TESTS],
            cwd=TESTS.parent,
            check=False,
        )
        failures += ran.returncode != 0
    return failures


if __name__ == "__main__":
    sys.exit(main())
