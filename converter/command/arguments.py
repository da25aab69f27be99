"""The arguments of the converter's command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from converter.command.image_arguments import add_image_arguments
from converter.command.table_arguments import add_table_arguments, kind
from converter.engines import ENGINES
from converter.options import parse_metadata, parse_property
from shardio.arguments import Parser, add_quiet
from shardio.errors import MissingExtraError
from shardio.sizes import parse_bytes
from shardio.version import __version__

_EXAMPLES = """\
examples:
  shardio-convert labels.csv shards --dry-run
      check the table, look at some images and say what would be made
  shardio-convert labels.csv shards --size 128x32
      resize and store every image that labels.csv names
  shardio-convert labels.csv shards --crop 186,0,300,30 --size 128x32
      the same of a box in each image
  shardio-convert flowers.parquet shards --size 224x224 --labels species
      one label, in another column

TABLE is a .csv, .tsv, .txt, .lst, .json, .jsonl, .parquet or .arrow file (text also as .gz or .zst)
with a column `path`, one column for each label (y0, y1, ... unless --labels says otherwise) and, if
wanted, a column `split` (train, val, ...). Paths are relative to the table's folder. Files that
hold the images, too, are tables as they are: .tar (WebDataset), .tfrecord, LMDB and .parquet. An
interrupted run goes on when the same command is given again.

`shardio-convert show TABLE` shows images before and after, and converts nothing.
`shardio-convert doctor TABLE` measures what shards would gain.
"""


def build_parser() -> Parser:
    """Make the parser."""
    parser = Parser(
        prog="shardio-convert",
        description="Crop and resize every image of a table, once, into TFRecord shards.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "table",
        metavar="TABLE",
        nargs="+",
        help="the input table: files, globs or URLs, which are one table, a folder of images, "
        "Parquet files, tars or TFRecords, or - for standard input",
    )
    parser.add_argument("out", metavar="OUT", help="the folder or URL that gets the shards")
    parser.add_argument("--version", action=_ShowVersions, nargs=0, help="show versions and exit")

    add_image_arguments(parser)
    add_table_arguments(parser)

    shards = parser.add_argument_group("shards")
    amount = shards.add_mutually_exclusive_group()
    amount.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help="how many shards to make in all; a split gets at least one",
    )
    amount.add_argument(
        "--shard-size",
        type=kind(parse_bytes),
        metavar="256MB",
        help="how large to make them (default: some 256MB, smaller where the table is small)",
    )
    shards.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the shuffle that deals rows to shards (default: %(default)s)",
    )

    run = parser.add_argument_group("run")
    run.add_argument(
        "--engine",
        choices=ENGINES,
        default="processes",
        metavar="NAME",
        help=f"what does the work: {', '.join(ENGINES)} (default: %(default)s); the bytes of the "
        "shards do not depend on it",
    )
    run.add_argument(
        "--workers", type=int, metavar="N", help="number of worker processes (default: one a core)"
    )
    run.add_argument(
        "--master",
        metavar="URL",
        help="of --engine spark: the cluster, such as yarn or spark://host:7077 (default: "
        "spark-submit's, or local[*])",
    )
    run.add_argument(
        "--conf",
        type=kind(parse_property),
        action="append",
        default=[],
        metavar="spark.NAME=VALUE",
        help="of --engine spark: a property of Spark; may be given several times",
    )
    run.add_argument(
        "--max-rejects",
        default="1%",
        metavar="1%|N",
        help="fail if more images than this cannot be used (default: 1%%)",
    )
    run.add_argument(
        "--drop",
        metavar="FILE",
        help="leave out the rows that this list names: a CSV file with a column row, as "
        "shardio-read browse makes it, or a number in each line",
    )
    run.add_argument(
        "--overwrite", action="store_true", help="remove the shards that are in OUT and start over"
    )
    run.add_argument(
        "--repair",
        action="store_true",
        help="of a finished set, make again the shards that are missing or damaged, and those "
        "whose rejected images have been mended",
    )
    run.add_argument(
        "--moved",
        action="store_true",
        help="go on although the images lie in another folder than those of the shards that are "
        "finished: they are the same",
    )
    run.add_argument(
        "--metadata",
        type=kind(parse_metadata),
        action="append",
        metavar="NAME=VALUE",
        help="say something about the dataset in dataset.json: name, description, licence, url, "
        "...; may be given several times, also for a finished set",
    )
    run.add_argument(
        "--dry-run",
        action="store_true",
        help="check the table and the options, look at 200 images, write nothing",
    )
    run.add_argument(
        "--json", action="store_true", help="print the summary as JSON, for other programs"
    )
    add_quiet(run)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments, with options anywhere among the tables and OUT, which comes last."""
    arguments, rest = parser.parse_known_args(argv)
    wrong = [text for text in rest if text.startswith("-") and len(text) > 1]
    if wrong:
        parser.error(f"unrecognized arguments: {' '.join(wrong)}")
    places = [*arguments.table, arguments.out, *rest]
    arguments.table, arguments.out = places[:-1], places[-1]
    return arguments


class _ShowVersions(argparse.Action):
    """Prints versions and exits; they are looked up only then, since that needs PIL."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"{_versions()}\n")
        parser.exit()


def _versions() -> str:
    try:
        from converter.imaging import pillow
    except MissingExtraError as error:
        return f"shardio {__version__} ({error})"
    found = pillow.versions()
    kind = "" if pillow.is_simd() else " (not pillow-simd: slower)"
    return f"shardio {__version__}, Pillow {found.pillow}{kind}, {found.libjpeg}"
