"""The command that runs distflow's command line."""

from __future__ import annotations

import os
import sys

_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def executable() -> str | None:
    """The small program that this package carries, if it is there and may be executed."""
    path = os.path.join(_PACKAGE, "bin", "distflow")
    # Unpacking and copying by hand can lose the permission.
    return path if os.path.isfile(path) and os.access(path, os.X_OK) else None


def interpreter() -> list[str] | None:
    """This interpreter with this package's command line, if it is known to be one.

    In a packaged program ``sys.executable`` is that program, or names nothing: launched in place
    of the command line, it would start itself again, and its copy would do the same.
    """
    program = sys.executable
    if not program or getattr(sys, "frozen", False) or hasattr(sys, "oxidized"):
        return None
    # A program with an interpreter inside may be named there, as uwsgi is.
    if not os.path.basename(program).lower().startswith(("python", "pypy")):
        return None
    if not (os.path.isfile(program) and os.access(program, os.X_OK)):
        return None
    # This very package, also where the child would not find it by itself. Without `-I` it would
    # look in the current folder first, and in whatever PYTHONPATH holds.
    code = (
        f"import sys; sys.path.insert(0, {os.path.dirname(_PACKAGE)!r}); "
        "from distflow.__main__ import main; main()"
    )
    return [program, "-I", "-c", code]


def launcher() -> list[str] | None:
    """The small program, else this interpreter, else nothing."""
    program = executable()
    return [program] if program else interpreter()
