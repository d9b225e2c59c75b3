"""What the cases for Python share."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any, Iterator

SOURCE = Path(os.environ.get("DISTFLOW_SOURCE", Path(__file__).resolve().parents[3]))
FOLDER = Path(os.environ["HOSTS_FOLDER"])
CACHE = Path(os.environ["HOSTS_CACHE"])
LIMIT = 120.0

# A node that finds or launches a PMD on a port, and gets a message of its own.
HELLO = """
import sys
import distflow

def hello(port):
    with distflow.Node(alias="hello", pmd_port=port, pmd_auto_shutdown=3, start_timeout=30) as node:
        node.send("hello", {"from": "here"})
        print("got", node.recv(30).payload["from"], flush=True)
        assert [peer.alias for peer in node.discover()] == []

if __name__ == "__main__":
    hello(int(sys.argv[1]))
"""


def version(name: str, text: str) -> None:
    """Says which version of a host was tried."""
    print(f"version: {name} {text}", flush=True)


def skip(reason: str) -> None:
    """Ends a case that can't run here."""
    print(reason)
    sys.exit(77)


def wheel() -> str:
    """The package as `make python` builds it."""
    found = sorted((SOURCE / "target" / "python").glob("distflow-*.whl"))
    if not found:
        sys.exit("the package is not built: make python")
    return str(found[-1])


def environment(*packages: str, python: str = sys.executable) -> str:
    """The interpreter of a new environment with the package and others."""
    home = FOLDER / f"environment-{len(list(FOLDER.glob('environment-*')))}"
    run(python, "-m", "venv", str(home))
    own = str(home / "bin" / "python")
    pip = [own, "-m", "pip", "--disable-pip-version-check", "--cache-dir", str(CACHE / "pip")]
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel())
    if packages:
        run(*pip, "install", "-q", *packages)
    return own


def version_of(python: str, package: str) -> str:
    """The installed version of a package."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return run(python, "-c", code).strip()


def run(*command: str, **options: Any) -> str:
    """What a command prints. Ends the case when it fails or takes too long."""
    given = {"timeout": LIMIT * 4, "text": True, "stdout": subprocess.PIPE, "cwd": FOLDER}
    ran = subprocess.run(command, check=False, **{**given, **options})
    if ran.returncode != 0:
        sys.exit(f"{ran.stdout}\nexit code {ran.returncode}: {' '.join(command)}")
    return str(ran.stdout)


def expect(output: str, *lines: str) -> None:
    """Prints what was seen; ends the case when a line is missing."""
    print(output, end="" if output.endswith("\n") else "\n", flush=True)
    missing = [line for line in lines if line not in output.splitlines()]
    if missing:
        sys.exit(f"missing: {missing}")


def script(name: str, text: str) -> str:
    """A file in the case's folder."""
    path = FOLDER / name
    path.write_text(text)
    return str(path)


def free_port() -> int:
    """A free port that nobody is given by chance: below those of outgoing connections."""
    while True:
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", random.SystemRandom().randrange(20_000, 32_000)))
            return int(one.getsockname()[1])


@contextlib.contextmanager
def server(*command: str, ready: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that listens on a port, ended with the block by SIGTERM; it has to obey."""
    import time

    process = subprocess.Popen(command, cwd=FOLDER, text=True, **options)
    deadline = time.monotonic() + LIMIT
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", ready), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"it does not listen: {' '.join(command)}")
            time.sleep(0.1)
        yield process
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def pythons() -> dict[str, str]:
    """Every CPython from 3.9 on that this machine has, by version."""
    names = [shutil.which(f"python3.{minor}") for minor in range(9, 20)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names += sorted(map(str, pyenv.glob("versions/3.*/bin/python")))
    code = (
        "import sys, ensurepip\n"
        "assert sys.implementation.name == 'cpython' and sys.version_info >= (3, 9)\n"
        "print('%d.%d.%d' % sys.version_info[:3])"
    )
    found: dict[str, str] = {}
    for name in filter(None, names):
        ran = subprocess.run([name, "-c", code], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            found.setdefault(ran.stdout.strip(), str(name))
    return found


def has_shared_library() -> bool:
    """Whether this interpreter is built with a shared library, or what stands for one."""
    return bool(sysconfig.get_config_var("Py_ENABLE_SHARED"))
