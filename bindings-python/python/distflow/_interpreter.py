"""Refuses to be imported where it does not work. Imported before anything native."""

from __future__ import annotations

import sys


def _is_main() -> bool:
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            interpreters = __import__(name)
        except ImportError:
            continue
        return bool(interpreters.get_current() == interpreters.get_main())
    return True


if sys.implementation.name != "cpython":
    raise ImportError(
        f"distflow supports CPython only, not {sys.implementation.name}: its module is built for "
        "CPython 3.9 and newer. Use one of those, or the C library (docs/c.md) by cffi"
    )
if not _is_main():
    raise ImportError(
        "distflow does not support subinterpreters: import it in the main one, "
        "or run another process"
    )
if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError(
        "distflow does not support interpreters that run without the GIL: "
        "set PYTHON_GIL=1, or use the ordinary build"
    )
