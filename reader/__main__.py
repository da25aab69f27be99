"""`python -m reader`, and the script `shardio-read`."""

import os
import sys
from collections.abc import Callable

from shardio.command_line import INTERRUPTED, run


def main() -> int:
    """Run the command line; returns the exit code."""
    code = run("shardio-read", _load)
    if code == INTERRUPTED:
        # Python would wait for threads that wait for a server.
        sys.stderr.flush()
        os._exit(code)
    return code


def _load() -> Callable[[], int]:
    from reader.commands.cli import main as read

    return read


if __name__ == "__main__":
    sys.exit(main())
