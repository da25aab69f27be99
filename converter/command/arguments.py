"""The arguments of the converter's command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from converter.command.table_arguments import add_table_arguments, kind
from converter.engines import ENGINES
from converter.options import (
    parse_box,
    parse_colour,
    parse_metadata,
    parse_range,
    parse_size,
)
from converter.table.crop_boxes import CropColumns
from shardio.arguments import Parser
from shardio.errors import MissingExtraError
from shardio.format.encoding import Encoding
from shardio.format.transform import APPLY, KEEP, MAX_PIXELS, MODES, NO_RESAMPLING, RESAMPLINGS
from shardio.sizes import parse_bytes
from shardio.version import __version__

_EXAMPLES = """\
examples:
  python -m converter labels.csv shards --dry-run
      check the table, look at some images and say what would be made
  python -m converter labels.csv shards --size 128x32
      resize and store every image that labels.csv names
  python -m converter labels.csv shards --crop 186,0,300,30 --size 128x32
      the same of a box in each image
  python -m converter flowers.parquet shards --size 224x224 --labels species
      one label, in another column

TABLE is a .csv, .tsv, .txt, .lst, .json, .jsonl, .parquet or .arrow file (text also as .gz or .zst)
with a column `path`, one column for each label (y0, y1, ... unless --labels says otherwise) and, if
wanted, a column `split` (train, val, ...). Paths are relative to the table's folder. An interrupted
run goes on when the same command is given again.
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
        help="the input table: files, globs or URLs, which are one table, a folder of images or "
        "of Parquet files, or - for standard input",
    )
    parser.add_argument("out", metavar="OUT", help="the folder or URL that gets the shards")
    parser.add_argument("--version", action=_ShowVersions, nargs=0, help="show versions and exit")

    image = parser.add_argument_group("images")
    image.add_argument(
        "--crop",
        type=kind(parse_box),
        metavar="L,T,R,B",
        help="the box to cut out, in pixels; right and bottom are excluded; `none` keeps the "
        "whole image; a box that starts with a minus is written --crop=-9,0,... (default: none)",
    )
    image.add_argument(
        "--crop-columns",
        type=kind(CropColumns.parse),
        metavar="L,T,R,B|X,Y,W,H",
        help="the columns of the table with a box for each row: xmin,ymin,xmax,ymax or "
        "x,y,width,height; of other names say which is what: l=a,t=b,r=c,b=d or x=a,y=b,w=c,h=d",
    )
    image.add_argument(
        "--size",
        type=kind(parse_size),
        metavar="WxH",
        help="the size of the stored images (default: that of the box or, without one, of the "
        "images, which must all have the same; 200 of them are looked at)",
    )
    image.add_argument(
        "--resample",
        choices=(*RESAMPLINGS, NO_RESAMPLING),
        default="bicubic",
        metavar="NAME",
        help=f"how to resize: {', '.join(RESAMPLINGS)} (default: %(default)s); `none` resizes "
        "nothing and rejects what has not --size",
    )
    image.add_argument(
        "--shorter-side",
        type=int,
        metavar="N",
        help="resize whole images so that the shorter side has N pixels, then cut --size from the "
        "centre, as is usual for ImageNet",
    )
    image.add_argument(
        "--pad",
        action="store_true",
        help="fill with black where the box reaches outside an image, instead of rejecting it",
    )
    image.add_argument(
        "--background",
        type=kind(parse_colour),
        metavar="R,G,B",
        help="lay transparent images on this colour, before they are cut and resized; 255,255,255 "
        "is white (default: alpha is dropped)",
    )
    image.add_argument(
        "--range",
        type=kind(parse_range),
        metavar="LOW,HIGH",
        help="the values of images of 32 bits a sample, integers or floats, that become black and "
        "white; such images are rejected without it; write --range=-1,1 for a negative one",
    )
    image.add_argument(
        "--channels",
        type=int,
        choices=MODES,
        default=3,
        metavar="1|3|4",
        help="store grey, RGB or RGBA; images of other colours are turned into these first "
        "(default: %(default)s)",
    )
    image.add_argument(
        "--orientation",
        choices=(KEEP, APPLY),
        default=KEEP,
        metavar="keep|apply",
        help="what is done with images that EXIF says are turned: keep them as they are stored, or "
        "apply it and set them upright before they are cut (default: %(default)s)",
    )
    image.add_argument(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        metavar="N",
        help="reject images of more pixels (default: %(default)s)",
    )
    image.add_argument(
        "--truncated",
        choices=("reject", "accept"),
        default="reject",
        metavar="reject|accept",
        help="what is done with images whose end is missing: reject them, or accept what Pillow "
        "makes of them, with the rest black or grey (default: %(default)s)",
    )
    image.add_argument(
        "--encode",
        type=kind(Encoding),
        default="raw",
        metavar="KIND",
        help="store pixels (raw, quickest to read), or files: png, jpeg:95, webp:90, webp:lossless "
        "(default: %(default)s)",
    )
    image.add_argument(
        "--strict-decode",
        action="store_true",
        help="decode every image whole, so that damage below the box is seen; the pixels of whole "
        "files are the same",
    )

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
        "--max-rejects",
        default="1%",
        metavar="1%|N",
        help="fail if more images than this cannot be used (default: 1%%)",
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
