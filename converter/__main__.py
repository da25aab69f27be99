"""`python -m converter`, and the script `shardio-convert`."""

import sys
from collections.abc import Callable

from shardio.command_line import run


def main() -> int:
    """Run the command line; returns the exit code."""
    return run("shardio-convert", _load)


def _load() -> Callable[[], int]:
    from converter.command.cli import main as convert

    return convert


# Spawned workers import this file again, under another name.
if __name__ == "__main__":
    sys.exit(main())
