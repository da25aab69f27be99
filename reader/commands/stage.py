"""copy shards to a disk of this machine, checked; the same command goes on after a stop"""

from __future__ import annotations

import argparse
import sys
import time

from reader.commands.staging import JOBS, Staging
from shardio.arguments import positive
from shardio.grammar import agreeing, counted
from shardio.progress import progress
from shardio.sizes import measured, parse_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", metavar="URL", help="the folder, such as hdfs://host:8020/shards")
    parser.add_argument("folder", metavar="FOLDER", help="where the shards go; made where missing")
    parser.add_argument("--split", help="one split of the folder (default: all)")
    parser.add_argument(
        "--jobs", type=positive, default=JOBS, metavar="N", help=f"files at once (default: {JOBS})"
    )
    parser.add_argument(
        "--limit", metavar="SIZE", help="copy nothing if the set has more, such as 200GB"
    )


def run(arguments: argparse.Namespace) -> int:
    """Copy, and say how much."""
    limit = None if arguments.limit is None else parse_bytes(arguments.limit, "--limit")
    staging = Staging(arguments.source, arguments.folder, arguments.split)
    start = time.monotonic()
    with progress(staging.size, "B", quiet=arguments.quiet) as told:
        try:
            done = staging.run(told, jobs=arguments.jobs, limit=limit)
        except KeyboardInterrupt:
            print("stopped; the same command goes on from here", file=sys.stderr)
            raise
    if not done.copied:
        print(f"all {counted(done.kept, 'file')} are already in {staging.folder}")
        return 0
    seconds = max(time.monotonic() - start, 1e-9)
    kept = f"; {done.kept} {agreeing(done.kept, 'was')} there already" if done.kept else ""
    print(
        f"{counted(done.copied, 'file')} copied to {staging.folder}: {measured(done.bytes)} in "
        f"{seconds:.1f} s ({done.bytes / 1e6 / seconds:,.0f} MB/s){kept}"
    )
    return 0
