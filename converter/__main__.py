"""`python -m converter`."""

import sys

from converter.cli import main

# Spawned workers import this file again, under another name.
if __name__ == "__main__":
    sys.exit(main())
