"""show images with their labels, in the terminal or as a contact sheet"""

from __future__ import annotations

import argparse
import shutil
import sys

import numpy as np
from numpy.typing import NDArray

from reader.commands.shard_arguments import add_shard_arguments, add_where_argument, open_named
from reader.look.origins import Origins
from reader.look.records import find_rows, spread
from reader.look.sheet import record_tiles
from reader.look.where import chosen_by
from reader.shardset import ShardSet
from shardio.arguments import positive
from shardio.errors import DatasetError, OptionError
from shardio.grammar import agreeing, counted
from shardio.pictures.captions import heads_line
from shardio.pictures.contact_sheet import contact_sheet
from shardio.pictures.half_blocks import terminal_rows
from shardio.pictures.picture import check_pillow, png_bytes, scale_for
from shardio.plain_text import plain_text
from shardio.storage.whole_file import write_file

_SHEET = 64
# Longer side of an image, in pixels: on a sheet, and in a terminal.
_SIDE = 224
_TERMINAL_SIDE = 38


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "--n",
        type=positive,
        metavar="N",
        help=f"how many images (default: {_SHEET}, in a terminal as many as fit)",
    )
    add_where_argument(parser)
    parser.add_argument(
        "--row",
        type=int,
        action="append",
        metavar="N",
        help="the record of this row of the input table; may be given several times",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which images are drawn (default: 0)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="sheet.png",
        help="write a contact sheet instead of showing the images in the terminal",
    )


def run(arguments: argparse.Namespace) -> int:
    """Show the images."""
    check_pillow()
    if arguments.seed < 0:
        raise OptionError(f"the seed must not be negative: {arguments.seed}")
    if arguments.row and arguments.where:
        raise OptionError("--row names its records itself; give it without --where")
    shards = open_named(arguments)
    if not len(shards):
        raise DatasetError("there are no records to show: all shards are empty")
    columns, lines = shutil.get_terminal_size()
    side = _SIDE if arguments.output else max(8, min(_TERMINAL_SIDE, columns))
    part, said = chosen_by(shards, arguments.where or ())
    # What no terminal would make right is said before.
    if arguments.output is None and (arguments.quiet or not sys.stdout.isatty()):
        raise OptionError("pictures need a terminal; -o sheet.png writes a contact sheet")
    if arguments.row:
        ids = _of_rows(shards, arguments.row)
        how = f"row {', '.join(map(str, arguments.row))}"
    else:
        count = arguments.n or (
            _SHEET if arguments.output else _fitting(shards, side, columns, lines)
        )
        ids = part.chosen.ids(spread(len(part), count, arguments.seed))
        how = "all" if len(ids) == len(part) else f"seed {arguments.seed}"
        how = f"{said}, {how}" if said else how
    tiles = record_tiles(shards, ids, side)
    blank = sum(bool((tile.image == tile.image[:1, :1]).all()) for tile in tiles)
    title = [
        " ".join(arguments.shards),
        f"{counted(len(ids), 'record')} of {len(part):,} ({how}); {heads_line(shards.labels)}",
    ]
    if blank:
        title.append(f"{blank:,} of these {agreeing(blank, 'has')} one colour in all pixels")
    if arguments.output is None:
        print("\n".join([*terminal_rows(tiles, columns), *map(plain_text, title)]))
        return 0
    write_file(arguments.output, png_bytes(contact_sheet(tiles, title)))
    print(plain_text("; ".join([f"{arguments.output}: {title[1]}", *title[2:]])))
    return 0


def _of_rows(shards: ShardSet, rows: list[int]) -> NDArray[np.int64]:
    """Return the records of rows of the table."""
    known = Origins(shards).records_of(rows)
    if known is None or None in known:
        return find_rows(shards, rows)
    return np.array(known, dtype=np.int64)


def _fitting(shards: ShardSet, side: int, columns: int, lines: int) -> int:
    """Return how many images fill a terminal."""
    height, width, _ = shards.shape
    scale = scale_for(width, height, side)
    beside = max(1, (columns + 2) // (int(width * scale) + 2))
    # Under each image there are its labels, its number and an empty line.
    return beside * max(1, (lines - 3) // (int(height * scale + 1) // 2 + 4))
