"""The command line: ``distflow …`` and ``python -m distflow …`` are the same."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from . import _distflow
from ._launcher import executable, interpreter


def main() -> None:
    """Runs the command line in place of this process; within it, where there is no executable."""
    program = executable()
    if program:
        sys.stdout.flush()
        # Where it can't be run for another reason, the command line runs here.
        with contextlib.suppress(OSError):
            os.execv(program, ["distflow", *sys.argv[1:]])
    # Nobody looks for signals while it runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_distflow.run_cli(["distflow", *sys.argv[1:]], interpreter() or []))


if __name__ == "__main__":
    main()
