"""`python -m converter`, and the script `shardio-convert`."""

import sys


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        # It takes a while, and Ctrl-C may come before there is anything to stop.
        from converter.cli import main as run

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("shardio-convert: stopped before anything was begun\n")
        return 130


# Spawned workers import this file again, under another name.
if __name__ == "__main__":
    sys.exit(main())
