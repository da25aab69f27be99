"""say what a set of shards holds"""

from __future__ import annotations

import argparse
import json

from reader.commands.describe import facts, info
from reader.commands.shard_arguments import add_shard_arguments, open_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help='what streams would do with so much memory, e.g. "512MB"',
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    shards = open_named(arguments)
    if arguments.json:
        print(json.dumps(facts(shards, arguments.memory), ensure_ascii=False, indent=1))
    else:
        print("\n".join(info(shards, arguments.memory)))
    return 0
