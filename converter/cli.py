"""The command line of the converter: arguments in, progress and a summary out."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from converter.engines import ENGINES
from converter.options import (
    ConvertOptions,
    RejectLimit,
    parse_box,
    parse_bytes,
    parse_names,
    parse_size,
)
from converter.run import NoProgress, convert
from shardio import __version__
from shardio.errors import MissingExtraError, OptionError, ShardioError
from shardio.format.transform import RESAMPLINGS, Transform

_T = TypeVar("_T")

_EXAMPLES = """\
examples:
  python -m converter labels.csv shards
      crop, resize and store every image that labels.csv names
  python -m converter labels.csv shards --dry-run
      check the table and say what would be made
  python -m converter flowers.parquet shards --crop none --size 224x224 --labels species
      whole images, one label

TABLE is a .csv, .tsv, .jsonl or .parquet file with a column `path`, one column for each label (y0,
y1, ... unless --labels says otherwise) and, if wanted, a column `split` (train, val, ...). Paths
are relative to the table's folder. An interrupted run goes on when the same command is given again.
"""


def build_parser() -> argparse.ArgumentParser:
    """Make the parser."""
    parser = argparse.ArgumentParser(
        prog="shardio-convert",
        description="Crop and resize every image of a table, once, into TFRecord shards.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("table", metavar="TABLE", help="the input table, a file or a URL")
    parser.add_argument("out", metavar="OUT", help="the folder or URL that gets the shards")
    parser.add_argument("--version", action=_ShowVersions, nargs=0, help="show versions and exit")

    image = parser.add_argument_group("images")
    image.add_argument(
        "--crop",
        type=_kind(parse_box),
        default="186,0,300,30",
        metavar="L,T,R,B",
        help="the box to cut out, in pixels; right and bottom are excluded; `none` keeps the "
        "whole image; a box that starts with a minus is written --crop=-9,0,... (default: "
        "%(default)s)",
    )
    image.add_argument(
        "--size",
        type=_kind(parse_size),
        default="128x32",
        metavar="WxH",
        help="the size of the stored images (default: %(default)s)",
    )
    image.add_argument(
        "--resample",
        choices=RESAMPLINGS,
        default="bicubic",
        metavar="NAME",
        help=f"how to resize: {', '.join(RESAMPLINGS)} (default: %(default)s)",
    )
    image.add_argument(
        "--pad",
        action="store_true",
        help="fill with black where the box reaches outside an image, instead of rejecting it",
    )
    image.add_argument(
        "--strict-decode",
        action="store_true",
        help="decode every image whole, so that damage below the box is seen; the pixels of whole "
        "files are the same",
    )

    table = parser.add_argument_group("table")
    table.add_argument(
        "--labels",
        type=_kind(parse_names),
        metavar="y0,y1,..",
        help="the label columns in order; '' for none (default: all columns called y and a number)",
    )
    table.add_argument(
        "--classes",
        type=int,
        metavar="N",
        help="number of classes of every label; labels are 0 to N-1 (default: the largest label "
        "of each column + 1)",
    )
    table.add_argument(
        "--root", metavar="FOLDER", help="what paths are relative to (default: TABLE's folder)"
    )

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
        type=_kind(parse_bytes),
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
        "--max-rejects",
        default="1%",
        metavar="1%|N",
        help="fail if more images than this cannot be used (default: 1%%)",
    )
    run.add_argument(
        "--overwrite", action="store_true", help="remove the shards that are in OUT and start anew"
    )
    run.add_argument(
        "--dry-run", action="store_true", help="check the table and the options, write nothing"
    )
    run.add_argument(
        "--json", action="store_true", help="print the summary as JSON, for other programs"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.pad and arguments.crop is None:
        parser.error("--pad needs a box: it does nothing with --crop none")
    try:
        options = ConvertOptions(
            Transform(arguments.crop, arguments.size, arguments.resample, arguments.pad),
            arguments.labels,
            arguments.classes,
            arguments.shards,
            arguments.shard_size,
            arguments.seed,
            arguments.strict_decode,
        )
        RejectLimit.parse(arguments.max_rejects)
    except OptionError as error:
        parser.error(str(error))
    try:
        with _Bar() as bar:
            summary = convert(
                arguments.table,
                arguments.out,
                options,
                root=arguments.root,
                engine=arguments.engine,
                workers=arguments.workers,
                max_rejects=arguments.max_rejects,
                overwrite=arguments.overwrite,
                dry_run=arguments.dry_run,
                progress=bar,
            )
    except OptionError as error:
        parser.error(str(error))
    except ShardioError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"{parser.prog}: stopped. Finished shards are kept: give the same command again to "
            "go on",
            file=sys.stderr,
        )
        return 130
    # A name that the terminal's encoding lacks must not fail what has succeeded.
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join(summary.lines())
    if arguments.json:
        text = json.dumps(summary.to_json(), indent=1)
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return 0


class _Bar(NoProgress):
    """A progress bar on the terminal; nothing is shown before the work begins."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._bytes = 0
        self._rejected = 0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, rows: int, done: int, rejected: int) -> None:
        self._rejected = rejected
        self._bar = tqdm(
            total=rows,
            initial=done,
            unit=" images",
            dynamic_ncols=True,
            smoothing=0.1,
            # A log file gets a line every ten seconds, not ten a second.
            mininterval=0.1 if sys.stderr.isatty() else 10,
        )

    def advance(self, images: int, bytes_read: int, rejected: int) -> None:
        if self._bar is None or images == 0:
            return
        self._bytes += bytes_read
        self._rejected += rejected
        seconds = max(self._bar.format_dict["elapsed"], 1e-9)
        self._bar.set_postfix_str(
            f"{self._bytes / seconds / 1e6:,.1f} MB/s, {self._rejected} rejected", refresh=False
        )
        self._bar.update(images)


class _ShowVersions(argparse.Action):
    """Prints versions and exits; they are looked up only then, since that needs PIL."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(_versions())
        parser.exit()


def _versions() -> str:
    try:
        from converter import imaging
    except MissingExtraError as error:
        return f"shardio {__version__} ({error})"
    found = imaging.versions()
    kind = "" if imaging.is_simd() else " (not pillow-simd: slower)"
    return f"shardio {__version__}, Pillow {found.pillow}{kind}, {found.libjpeg}"


def _kind(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Turn a parser of ours into one for argparse, which shows the message of this error only."""

    def wrapped(text: str) -> _T:
        try:
            return parse(text)
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return wrapped
