"""write a page (HTML, one file) of what is in the shards: labels, splits, odd images, rejects"""

from __future__ import annotations

import argparse

from reader.commands.shard_arguments import add_shard_arguments, open_named
from reader.look.origins import Origins
from reader.look.page import page
from reader.look.rejects import read_rejects
from reader.look.survey import survey
from shardio.errors import DatasetError
from shardio.grammar import counted
from shardio.pictures.picture import check_pillow
from shardio.plain_text import plain_text
from shardio.progress import progress
from shardio.sizes import measured
from shardio.storage.whole_file import write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="FILE",
        help="the page (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Look at everything, and write the page."""
    check_pillow()
    shards = open_named(arguments)
    if not len(shards):
        raise DatasetError("there are no records to report: all shards are empty")
    with progress(len(shards), "records", quiet=arguments.quiet) as told:
        found = survey(shards, told)
    data = page(found, read_rejects(shards), Origins(shards)).encode()
    write_file(arguments.output, data)
    print(
        f"{plain_text(arguments.output)}: {counted(len(shards), 'record')}, {measured(len(data))}"
    )
    return 0
