"""Waits of programs whose standard library gevent or eventlet has patched: there, a thread that
waits here would stop everybody else on it."""

from __future__ import annotations

from sys import modules

from ._base import checked_timeout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional


def patched_select() -> Optional[Callable[..., Any]]:
    """The ``select`` that lets others run; ``None`` in a program without one."""
    if "gevent.monkey" not in modules and "eventlet.patcher" not in modules:
        return None
    import select

    return None if select.select.__module__ == "select" else select.select


def green_wait(  # noqa: PLR0917
    select: Callable[..., Any],
    fd: Callable[[], int],
    take: Callable[[], None],
    taken: list[Any],
    timeout: Optional[float],
    has_ended: Callable[[], bool] = lambda: False,
) -> None:
    """Waits until something is taken without waiting, as long as a descriptor is not readable, or
    until the time is over.

    Errors: those of the native module for a time to wait.
    """
    from time import monotonic

    checked_timeout(timeout)
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        take()
        left = None if deadline is None else max(deadline - monotonic(), 0)
        if taken or left == 0 or has_ended():
            return
        select([fd()], [], [], left)
