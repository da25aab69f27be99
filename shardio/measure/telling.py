"""What is measured now, for whoever waits for it."""

import sys


def say_measuring(what: str) -> None:
    """Say on a terminal what is measured; elsewhere, in a log or pipe, nothing."""
    if sys.stderr.isatty():
        sys.stderr.write(f"measuring {what}\n")
