"""What launches a PMD: the small program, an interpreter that is known to be one, nothing else."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import distflow
from distflow import _launcher

from .conftest import LIMIT, free_port


def test_the_interpreter_is_launched_only_where_it_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own = _launcher.interpreter()
    assert own is not None and own[0] == sys.executable
    version = subprocess.run([*own, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"distflow {distflow.__version__}\n"

    with monkeypatch.context() as patched:
        patched.setattr(sys, "frozen", True, raising=False)
        assert _launcher.interpreter() is None
    for name in ["uwsgi", "myprogram"]:
        program = tmp_path / name
        program.symlink_to(sys.executable)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", str(program))
            assert _launcher.interpreter() is None
    for missing in ["", None, str(tmp_path / "python")]:
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", missing)
            assert _launcher.interpreter() is None


def test_a_program_without_permission_is_passed_over(tmp_path: Path) -> None:
    # As `zipfile` unpacks a wheel.
    package = tmp_path / "distflow"
    shutil.copytree(Path(distflow.__file__).parent, package)
    program = package / "bin" / "distflow"
    program.chmod(program.stat().st_mode & ~0o111)
    port = free_port()
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import distflow\n"
        f"assert distflow.__file__.startswith({str(tmp_path)!r})\n"
        f"options = {{'pmd_port': {port}, 'pmd_auto_shutdown': 1, 'start_timeout': {LIMIT}}}\n"
        "with distflow.Node(alias='a', **options) as node:\n"
        "    print(node.alias)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.returncode) == ("a\n", 0), ran.stderr
    command = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from distflow.__main__ import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", command, "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == (f"distflow {distflow.__version__}\n", 0), ran.stderr


PROGRAM = """
import sys
import distflow

with open(sys.argv[1], "a") as starts:
    starts.write("x")
try:
    options = {"pmd_port": int(sys.argv[2]), "pmd_auto_shutdown": 1, "start_timeout": 30}
    with distflow.Node(alias="packed", **options) as node:
        print(node.alias)
except distflow.DistflowError as error:
    sys.exit(f"{error.code}: {error}")
"""


def test_a_packed_program_launches_the_small_program_and_never_itself(tmp_path: Path) -> None:
    pytest.importorskip("PyInstaller")
    source = tmp_path / "packed.py"
    source.write_text(PROGRAM)
    pack = [sys.executable, "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level", "ERROR"]
    folders = ["--distpath", "dist", "--workpath", "build", "--specpath", "."]
    subprocess.run([*pack, *folders, str(source)], cwd=tmp_path, check=True)
    packed = tmp_path / "dist" / "packed"
    [small] = packed.glob("**/distflow/bin/distflow")
    assert small.stat().st_mode & stat.S_IXUSR
    starts = tmp_path / "starts"

    def run() -> subprocess.CompletedProcess[str]:
        starts.unlink(missing_ok=True)
        # No other program is found on the way.
        return subprocess.run(
            [str(packed / "packed"), str(starts), str(free_port())],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/nonexistent", "HOME": os.environ.get("HOME", "/")},
        )

    ran = run()
    assert (ran.stdout, ran.returncode) == ("packed\n", 0), ran.stderr
    assert starts.read_text() == "x"
    small.unlink()
    ran = run()
    assert ran.returncode == 1
    assert "pmd_launch_failed" in ran.stderr and "embed_pmd" in ran.stderr
    assert starts.read_text() == "x"
