"""end a mount that `mount` made"""

from __future__ import annotations

import argparse

from reader.mount.mount_point import unmount


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("point", metavar="FOLDER", help="where it is mounted")


def run(arguments: argparse.Namespace) -> int:
    """Unmount."""
    unmount(arguments.point)
    print(f"{arguments.point} is unmounted")
    return 0
