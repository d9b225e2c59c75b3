"""The dialogs of the examples: one in a window, which Xvfb shows and of which a picture is looked
at, and one in a terminal."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Iterator

import pytest

from distflow.sessions import SessionManager

from .conftest import LIMIT

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    if shutil.which("Xvfb") is None:
        pytest.fail("Xvfb is missing: apt-get install xvfb")
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as process:
        os.close(writer)
        with os.fdopen(reader) as numbers:
            number = numbers.readline().strip()
        assert number, "Xvfb did not start"
        yield f":{number}"
        process.terminate()


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_dialog_in_a_window(
    broker: str, display: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tk = pytest.importorskip("tkinter", reason="this interpreter was built without tkinter")
    grab = pytest.importorskip("PIL.ImageGrab", reason="pillow is not for this interpreter")
    monkeypatch.setenv("DISPLAY", display)
    root = tk.Tk()
    root.geometry("640x360+20+20")
    dialog = example("session_dialog").Dialog(root, broker, "Forest")

    def until(condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert time.monotonic() < deadline, [dialog.status["text"], texts()]
            root.update()
            time.sleep(0.01)

    def texts() -> list[str]:
        return [dialog.tree.item(row, "text") for row in dialog.tree.get_children()]

    until(lambda: texts() == ["No sessions available"])
    dialog.buttons["Create"].invoke()
    until(lambda: texts() == ["Forest ✓ (1/2-4 instances (Available))"])
    assert dialog.count["text"] == "Instances: 1/4 connected (waiting for 1 more...)"
    manager = SessionManager(broker)
    with manager.join(dialog.session.id) as other:
        until(lambda: texts() == ["Forest ✓ (2/2-4 instances (Ready))"])
        assert dialog.count["text"] == "Instances: 2/4 connected ✓ (min)"
        assert dialog.seed["text"] == f"Seed: {other.seed}"
        # The picture shows the row of this instance's session in its colour, and text on it.
        root.update()
        picture = grab.grab(xdisplay=display).convert("RGB")
        picture.save(tmp_path / "dialog.png")
        if folder := os.environ.get("DISTFLOW_PICTURES"):
            shutil.copy(tmp_path / "dialog.png", Path(folder) / "dialog.png")
        colors = {
            color: count for count, color in picture.getcolors(picture.width * picture.height)
        }
        assert colors.get((0xE3, 0xF2, 0xFD), 0) > 2_000
        assert len(colors) > 10
        dialog.buttons["Start"].invoke()
        assert other.wait_for("game_started").kind == "manual"
        until(lambda: dialog.status["text"] == "the game has started")
        dialog.buttons["Leave"].invoke()
        assert other.wait_for("ended").reason == "closed"
    until(lambda: texts() == ["No sessions available"])
    dialog.close()


def test_the_dialog_in_a_terminal(broker: str) -> None:
    pytest.importorskip("textual", reason="textual is not for this interpreter")
    module = example("session_terminal")
    manager = SessionManager(broker)

    async def play() -> None:
        app = module.Sessions(broker, "Lake")
        async with app.run_test(size=(80, 24)) as pilot:

            async def until(condition: Callable[[], Any]) -> None:
                deadline = time.monotonic() + LIMIT
                while not condition():
                    assert time.monotonic() < deadline, rows()
                    await pilot.pause(0.02)

            def rows() -> list[str]:
                return [str(one.render()) for one in app.query("ListItem Label")]

            def text(name: str) -> str:
                return str(app.query_one(name).render())

            await until(lambda: rows() == ["No sessions available"])
            await pilot.press("c")
            await until(lambda: rows() == ["Lake ✓ (1/2-4 instances (Available))"])
            other = await asyncio.to_thread(manager.join, app.session.id)
            await until(lambda: rows() == ["Lake ✓ (2/2-4 instances (Ready))"])
            await until(lambda: text("#count").startswith("Instances: 2/4 connected ✓ (min)"))
            await pilot.press("s")
            await until(lambda: text("#status") == "the game has started")
            await pilot.press("l")
            await until(lambda: rows() == ["No sessions available"])
            other.leave()
            await pilot.press("q")

    asyncio.run(asyncio.wait_for(play(), 2 * LIMIT))
