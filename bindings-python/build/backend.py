"""The build backend: maturin, and before it the small `distflow` program that the wheel carries."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import maturin
from maturin import (  # noqa: F401
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

_HERE = Path(__file__).resolve().parent.parent

# The workspace of a source distribution has fewer members than the lock file knows; the versions
# are taken from it all the same.
_LOCKED = [] if (_HERE / "PKG-INFO").exists() else ["--locked"]
os.environ.setdefault("MATURIN_PEP517_ARGS", " ".join(_LOCKED))


def _build_program() -> None:
    cargo = os.environ.get("CARGO", "cargo")
    metadata = subprocess.run(
        [cargo, "metadata", "--format-version", "1", "--no-deps", *_LOCKED],
        cwd=_HERE,
        check=True,
        stdout=subprocess.PIPE,
    )
    target = Path(json.loads(metadata.stdout)["target_directory"])
    build = ["build", "--release", *_LOCKED, "-p", "distflow-core"]
    subprocess.run(
        [cargo, *build, "--features", "cli,broker", "--bin", "distflow"], cwd=_HERE, check=True
    )
    folder = _HERE / "python" / "distflow" / "bin"
    folder.mkdir(exist_ok=True)
    # A program that runs must be replaced, not written over.
    new = folder / "distflow.new"
    shutil.copy2(target / "release" / "distflow", new)
    new.replace(folder / "distflow")


def build_wheel(wheel_directory: str, *arguments: Any, **named: Any) -> str:
    _build_program()
    return str(maturin.build_wheel(wheel_directory, *arguments, **named))


def build_editable(wheel_directory: str, *arguments: Any, **named: Any) -> str:
    _build_program()
    return str(maturin.build_editable(wheel_directory, *arguments, **named))


def prepare_metadata_for_build_wheel(metadata_directory: str, *arguments: Any, **named: Any) -> str:
    return str(maturin.prepare_metadata_for_build_wheel(metadata_directory, *arguments, **named))


prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel
