"""say what a set of shards holds"""

from __future__ import annotations

import argparse

from reader.commands.describe import info
from reader.commands.shard_arguments import add_shard_arguments, open_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help='what streams would do with so much memory, e.g. "512MB"',
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    print("\n".join(info(open_named(arguments), arguments.memory)))
    return 0
