"""`shardio-convert show`: images before and after, before anything is converted."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence

from converter.command.image_arguments import add_image_arguments
from converter.command.on_table import run_on_table
from converter.command.options import options_of
from converter.command.table_arguments import add_table_arguments
from converter.report.preview import preview
from shardio.arguments import Parser, of_names
from shardio.errors import OptionError
from shardio.pictures.contact_sheet import contact_sheet
from shardio.pictures.half_blocks import terminal_rows
from shardio.pictures.picture import png_bytes
from shardio.plain_text import plain_text
from shardio.storage.whole_file import write_file

SHOW = "show"
_IMAGES = 12
_IN_TERMINAL = 4
_SIDE = 288
_TERMINAL_SIDE = 36


def build_show_parser() -> Parser:
    """Make the parser."""
    parser = Parser(
        prog="shardio-convert show",
        description="Show the first images of a table as they are, with the box that is cut out, "
        "and as they would be stored. Nothing is written but the sheet.",
    )
    parser.add_argument("table", metavar="TABLE", nargs="+", help="the input table, as to convert")
    parser.add_argument("--n", type=int, metavar="N", help=f"how many images (default: {_IMAGES})")
    parser.add_argument(
        "-o",
        "--output",
        metavar="sheet.png",
        help="write a contact sheet instead of showing the images in the terminal",
    )
    add_image_arguments(parser)
    add_table_arguments(parser)
    return parser


def show(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    return run_on_table(build_show_parser(), argv, _show)


def _show(arguments: argparse.Namespace) -> int:
    in_terminal = arguments.output is None
    count = arguments.n if arguments.n is not None else _IN_TERMINAL if in_terminal else _IMAGES
    if count < 1:
        raise OptionError(f"--n must be at least 1, not {count}")
    options = options_of(arguments)
    if in_terminal and not sys.stdout.isatty():
        raise OptionError("pictures need a terminal; -o sheet.png writes a contact sheet")
    found = preview(
        arguments.table,
        options,
        count=count,
        side=_TERMINAL_SIDE if in_terminal else _SIDE,
        **of_names(arguments, "root", "unique"),
    )
    if in_terminal:
        columns, _ = shutil.get_terminal_size()
        print("\n".join([*terminal_rows(found.tiles, columns), *map(plain_text, found.title)]))
        return 0
    write_file(arguments.output, png_bytes(contact_sheet(found.tiles, found.title)))
    print("\n".join(map(plain_text, [f"{arguments.output}: {found.title[0]}", *found.title[1:]])))
    return 0
