"""The package itself: what it exports, its documentation, its command line, its log."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import logging
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

import distflow
from distflow import _distflow, _options, errors
from distflow.options import NodeKeywords, NodeOptions, PmdKeywords, PmdOptions

from .conftest import until

PUBLIC = [
    "distflow",
    "distflow.aio",
    "distflow.document",
    "distflow.document_types",
    "distflow.errors",
    "distflow.options",
    "distflow.types",
]


def test_the_log_is_imported_by_one_thread(run: Any) -> None:
    """A thread of the library that hands out records imports `logging`, and so does a program."""
    code = """
import sys, distflow
assert "logging" not in sys.modules
other = distflow.JsonCrdt("b")
op = other.set("x", 1)
import json
late = {**json.loads(op.text)}
late["hlc"]["t"] = 4_102_444_800_000
a = distflow.JsonCrdt("a")
try: a.receive(json.dumps(late))
except distflow.DistflowError: pass
for at in range(20_000): distflow.JsonCrdt("a")
"""
    for _ in range(5):
        status, _out, err = run(code, isolated=True).end()
        assert status == 0 and "Traceback" not in err, err


def test_everything_exported_is_there() -> None:
    assert {name for name in distflow.__all__ if not hasattr(distflow, name)} == set()
    assert set(distflow.__all__) <= set(dir(distflow))
    with pytest.raises(AttributeError, match="nonsense"):
        distflow.nonsense  # noqa: B018


def test_a_node_starts_without_importing_much(pmd: distflow.Pmd, run: Callable[..., Any]) -> None:
    code = """
import sys
import distflow
node = distflow.Node(alias="quick", pmd_port=int(sys.argv[1]), auto_start=False)
node.send("quick", 1)
assert node.recv().payload == 1
heavy = {"asyncio", "dataclasses", "inspect", "json", "logging", "re", "subprocess", "typing"}
print(sorted(heavy & set(sys.modules)))
node.close()
"""
    program = run(code, str(pmd.port), isolated=True)
    assert program.end() == (0, "[]\n", "")


@pytest.mark.parametrize(
    ("table", "options", "keywords"),
    [(_options.NODE, NodeOptions, NodeKeywords), (_options.PMD, PmdOptions, PmdKeywords)],
)
def test_options_are_the_same_as_object_and_by_keyword(
    table: dict[str, tuple[str, str]], options: Any, keywords: Any
) -> None:
    types = {field.name: field.type for field in dataclasses.fields(options)}
    # One of them is not the native module's.
    assert [name for name in types if name != "concurrency"] == list(table)
    assert types == {name: hint.__forward_arg__ for name, hint in keywords.__annotations__.items()}
    kinds = {
        "str or None": "Optional[str]",
        "mapping or None": "Optional[Mapping[str, Any]]",
        "seconds": "float",
        "overflow": "Overflow",
        "port": "int",
    }
    types.pop("concurrency", None)
    assert types == {name: kinds.get(kind, kind) for name, (_, kind) in table.items()}


def test_every_code_has_a_class_of_its_own_and_no_class_is_left_over() -> None:
    classes = {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, errors.DistflowError)
    }
    codes = [cls.code for name, cls in classes.items() if name != "DistflowError"]
    assert sorted(codes) == sorted(_distflow.ERROR_CODES)
    assert all(isinstance(errors._make(code, "x", []), errors.DistflowError) for code in codes)


def test_every_public_item_is_documented() -> None:
    missing = []
    for module_name in PUBLIC:
        module = importlib.import_module(module_name)
        for name, item in vars(module).items():
            if name.startswith("_") or not getattr(item, "__module__", "").startswith("distflow"):
                continue
            if not inspect.getdoc(item):
                missing.append(f"{module_name}.{name}")
            if not inspect.isclass(item) or item in (distflow.Message, distflow.Op):
                continue
            for member, value in vars(item).items():
                documented = inspect.isfunction(value) or isinstance(value, property)
                if documented and not member.startswith("_") and not inspect.getdoc(value):
                    missing.append(f"{module_name}.{name}.{member}")
    assert missing == []


def test_the_examples_in_the_documentation_run(
    pmd: distflow.Pmd, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The examples name no port; here it is one of the test's own.
    defaults = {"pmd_port": pmd.port, "auto_start": False}
    monkeypatch.setattr(
        distflow.Node, "__init__", lambda self, **named: self._open(_options(named, defaults))
    )
    count = 0
    for info in pkgutil.iter_modules(distflow.__path__, "distflow."):
        if not info.name.endswith(("_distflow", "__main__")):
            results = doctest.testmod(importlib.import_module(info.name))
            assert results.failed == 0
            count += results.attempted
    assert count >= 6


def _options(named: dict[str, Any], defaults: dict[str, Any]) -> str:
    from distflow._base import native_options

    return native_options(None, {**defaults, **named}, exclusive=False)


@pytest.mark.parametrize("command", [["-m", "distflow"], None])
def test_the_command_line(command: list[str] | None) -> None:
    script = Path(sys.executable).parent / "distflow"
    start = [sys.executable, *command] if command else [str(script)]
    if not command and not script.exists():
        pytest.fail(f"{script} was not installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*start, *arguments], capture_output=True, text=True, check=False)

    assert run("--version").stdout == f"distflow {distflow.__version__}\n"
    assert "pmd" in run("--help").stdout
    assert run("pmd", "status", "--port", "1").returncode == 1
    wrong = run("nonsense")
    assert wrong.returncode != 0 and "nonsense" in wrong.stderr


def test_without_the_executable_the_command_line_runs_in_python(
    monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]
) -> None:
    code = """
import sys
from distflow import __main__
__main__.executable = lambda: None
sys.argv = ["distflow", *sys.argv[1:]]
__main__.main()
"""
    code_version, out, err = run(code, "--version").end()
    assert (code_version, out, err) == (0, f"distflow {distflow.__version__}\n", "")
    program = run(code, "pmd", "start", "--port", "0")
    while not program.line().startswith("PMD started on port"):
        pass
    program.interrupt()
    assert program.end()[0] == 0


def test_the_log_goes_to_logging_and_only_what_is_wanted(
    pmd: distflow.Pmd, caplog: pytest.LogCaptureFixture
) -> None:
    def records() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name.startswith("distflow")]

    options = {"pmd_port": pmd.port, "auto_start": False}
    with caplog.at_level(logging.INFO, "distflow"), distflow.Node(alias="a", **options):
        until(lambda: any("node started" in record.getMessage() for record in records()))
        [started] = [record for record in records() if "node started" in record.getMessage()]
        assert started.levelno == logging.INFO
        assert started.distflow["alias"] == "a"  # type: ignore[attr-defined]
    caplog.clear()
    with caplog.at_level(logging.ERROR, "distflow"), distflow.Node(alias="b", **options):
        pass
    with caplog.at_level(logging.CRITICAL + 1, "distflow"):
        distflow.connect_logging()
    # The first node's last words may come late.
    assert [one for one in records() if getattr(one, "distflow", {}).get("alias") != "a"] == []


def test_the_wheel_needs_nothing_else() -> None:
    metadata = importlib.import_module("importlib.metadata")
    # Only who asks for an extra needs more.
    needed = metadata.requires("distflow") or []
    assert [one for one in needed if "extra ==" not in one] == []
    assert metadata.version("distflow") == distflow.__version__
    assert (Path(distflow.__file__).parent / "py.typed").exists()
