"""The command line of the reader."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tqdm import tqdm

from reader.find import ALL_SPLITS
from reader.inspect import info, verify
from reader.opening import open_shards
from reader.shardset import ShardSet
from shardio import __version__
from shardio.errors import OptionError, ShardioError


def build_parser() -> argparse.ArgumentParser:
    """Make the parser."""
    parser = argparse.ArgumentParser(prog="shardio-read", description="Look at shards.")
    parser.add_argument("--version", action="version", version=f"shardio {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in (
        ("info", "say what a set of shards holds"),
        ("verify", "read every byte and compare all checksums; exit code 1 if any differs"),
    ):
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        command.add_argument(
            "shards",
            nargs="+",
            metavar="GLOB",
            help="a glob (in quotes), files, or the folder of a dataset; each may be a URL",
        )
        command.add_argument("--split", help="one split of a folder (default: all)")
        command.add_argument(
            "--shape",
            type=_shape,
            metavar="HxWx3",
            help="the shape of the images, where no dataset.json is beside the shards",
        )
        if name == "info":
            command.add_argument(
                "--memory",
                metavar="SIZE",
                help='what streams would do with so much memory, e.g. "512MB"',
            )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    sources = arguments.shards[0] if len(arguments.shards) == 1 else arguments.shards
    try:
        shards = open_shards(sources, arguments.split or ALL_SPLITS, shape=arguments.shape)
        if arguments.command == "info":
            print("\n".join(info(shards, arguments.memory)))
            return 0
        return _verify(shards)
    except OptionError as error:
        parser.error(str(error))
    except ShardioError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _verify(shards: ShardSet) -> int:
    with tqdm(total=len(shards), unit=" records", disable=not sys.stderr.isatty()) as bar:
        faults = verify(shards, bar.update)
    for fault in faults:
        print(fault.reason, file=sys.stderr)
    checked = "CRCs and SHA-256" if shards.manifest else "CRCs (no dataset.json, so no SHA-256)"
    if faults:
        print(f"{len(faults)} of {len(shards.shards)} shards are damaged", file=sys.stderr)
        return 1
    print(f"{len(shards):,} records in {len(shards.shards)} shards are whole: {checked} agree")
    return 0


def _shape(text: str) -> tuple[int, int, int]:
    try:
        height, width, channels = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a shape is like 32x128x3, not {text!r}") from None
    return height, width, channels
