"""Installs from source: from the checkout, and from a source distribution as far as its metadata.

    python tests/source.py FOLDER

All of it is compiled from the checkout only: from the distribution it takes minutes, and finds
nothing more as long as the same files are in it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
PROJECT = PACKAGE.parent
USE = """
import distflow
with distflow.Pmd(port=0) as pmd, distflow.Node(alias="me", pmd_port=pmd.port) as node:
    node.send("me", "installed from source")
    print(node.recv(timeout=30).payload)
"""


def needed() -> set[str]:
    """The files that a build needs, as a source distribution has them."""
    places = {
        PROJECT / "core" / "src": "core/src",
        PACKAGE / "rust": "bindings-python/rust",
        PACKAGE / "python": "python",
        PACKAGE / "build": "build",
    }
    files = {
        f"{name}/{path.relative_to(place)}"
        for place, name in places.items()
        for path in place.rglob("*")
        if path.suffix in (".rs", ".py", ".pyi", ".typed")
    }
    assert len(files) > 50, f"only {len(files)} files"
    return files | {"Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "pyproject.toml"}


def main() -> None:
    """Checks both."""
    folder = Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "environment"], check=True)
    python = folder / "environment" / "bin" / "python"
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]

    build = (
        "import sys; sys.path.insert(0, 'build'); import backend; backend.build_sdist(sys.argv[1])"
    )
    made = [sys.executable, "-c", build, str(folder)]
    subprocess.run(made, cwd=PACKAGE, check=True, stdout=subprocess.DEVNULL)
    (archive,) = folder.glob("distflow-*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert needed() <= names, f"missing in {archive.name}: {sorted(needed() - names)}"
    subprocess.run([*install, "--dry-run", "--no-deps", archive], check=True)

    subprocess.run([*install, PACKAGE], check=True)
    used = subprocess.run([python, "-c", USE], cwd=folder, check=True, stdout=subprocess.PIPE)
    assert used.stdout == b"installed from source\n", used.stdout
    print("installed from source")


if __name__ == "__main__":
    main()
