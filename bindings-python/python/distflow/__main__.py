"""The command line: ``distflow …`` and ``python -m distflow …`` are the same."""

from __future__ import annotations

import os
import signal
import sys

from . import _distflow
from ._options import launcher


def main() -> None:
    """Runs the command line in place of this process; within it, where there is no executable."""
    command = launcher()
    if len(command) == 1:
        sys.stdout.flush()
        os.execv(command[0], ["distflow", *sys.argv[1:]])
    # Nobody looks for signals while it runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_distflow.run_cli(["distflow", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
