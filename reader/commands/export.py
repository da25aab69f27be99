"""write records as image files, WebDataset tars or Parquet, for other programs"""

from __future__ import annotations

import argparse
import shlex

from reader.commands.shard_arguments import add_shard_arguments, add_where_argument, open_named
from reader.look.exported import command_back, export
from reader.look.where import chosen_by
from shardio.grammar import counted
from shardio.pictures.picture import check_pillow
from shardio.progress import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "--to",
        required=True,
        choices=["images", "webdataset", "parquet"],
        help="PNG files with labels.csv, tars with PNG and labels, or Parquet as Hugging Face has "
        "it",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FOLDER", help="where it goes: a new folder"
    )
    add_where_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Export, and say how to come back."""
    check_pillow()
    shards, _ = chosen_by(open_named(arguments), arguments.where or ())
    with progress(len(shards), "records", quiet=arguments.quiet) as told:
        export(shards, arguments.to, arguments.output, told)
    back = shlex.join(command_back(shards, arguments.to, arguments.output))
    print(f"{counted(len(shards), 'record')} written to {arguments.output}")
    print(f"to make shards of it: shardio-convert {back}")
    return 0
