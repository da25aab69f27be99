"""The arguments that say how a table is read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from converter.options import parse_names, parse_sequences
from converter.table.cells.splits import SplitShares
from converter.table.reading import parse_delimiter, parse_split_names
from shardio.errors import OptionError

_T = TypeVar("_T")


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the group of them."""
    table = parser.add_argument_group("table")
    table.add_argument(
        "--labels",
        type=kind(parse_names),
        metavar="y0,y1,..",
        help="the label columns in order; '' for none (default: all columns called y and a number)",
    )
    table.add_argument(
        "--float-labels",
        type=kind(parse_names),
        default=(),
        metavar="a,b,..",
        help="label columns of floats, one in each row, or as many, such as `0.5 2 1e3` or a list",
    )
    table.add_argument(
        "--vector",
        type=kind(parse_names),
        default=(),
        metavar="a,b,..",
        help="label columns of several integers, as many in each row, such as `80 84 68` or a list",
    )
    table.add_argument(
        "--sequence",
        type=kind(parse_sequences),
        default=(),
        metavar="text:16",
        help="label columns of texts of at most so many characters: `text` becomes that many ids, "
        "from 1 on, and 0 where the text has ended, and `text_length` the number of characters; "
        "--vocabulary may say which ones there are",
    )
    table.add_argument(
        "--classes",
        type=int,
        metavar="N",
        help="number of classes of every label; labels are 0 to N-1 (default: the largest label "
        "of each column + 1)",
    )
    table.add_argument(
        "--text-labels",
        action="store_true",
        help="the labels are texts, and their classes numbered in the order of code points",
    )
    table.add_argument(
        "--characters",
        metavar="COLUMN",
        help="make a label of each character of the texts in this column, y0, y1, ..., with one "
        "vocabulary; all texts must be of one length",
    )
    table.add_argument(
        "--missing",
        metavar="N",
        help="the class of labels that are empty or -1; with --text-labels the text of those that "
        "are empty (default: they are errors)",
    )
    words = table.add_mutually_exclusive_group()
    words.add_argument(
        "--vocabulary-of",
        metavar="DATASET",
        help="take the vocabulary of a finished dataset, so that both have the same classes",
    )
    words.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="a text on each line: the classes of text labels, in this order",
    )
    table.add_argument(
        "--split",
        type=kind(SplitShares.parse),
        metavar="train=0.98,val=0.02",
        help="deal the images to splits, each path to one, or without paths each image of "
        "--image-column; for a table without a column split",
    )
    table.add_argument(
        "--image-column",
        metavar="NAME",
        help="the column of a Parquet table that holds the image files themselves, the ending of a "
        "WebDataset's images or the feature of a TFRecord's (default: found, where there is one "
        "that looks so); images of Parquet are copied to OUT's disk for the time of the run",
    )
    table.add_argument(
        "--root", metavar="FOLDER", help="what paths are relative to (default: TABLE's folder)"
    )
    table.add_argument(
        "--unique",
        action="store_true",
        help="refuse a table in which a path has different labels in different rows",
    )

    table.add_argument(
        "--delimiter",
        type=parse_delimiter,
        metavar="CHAR",
        help="what divides the cells of a line: a character, or tab, comma, semicolon, space "
        "(default: found from the table)",
    )
    table.add_argument(
        "--encoding",
        metavar="NAME",
        help="the encoding of the table's text, such as gb18030, utf-16 or latin-1 (default: found "
        "from the table: UTF-8, UTF-16 or GB18030)",
    )
    table.add_argument(
        "--columns",
        type=kind(parse_names),
        metavar="path,y0,..",
        help="the names of the columns of a list without header",
    )
    table.add_argument(
        "--path-column", metavar="NAME", help="the column of the paths (default: path)"
    )
    table.add_argument(
        "--split-column",
        metavar="NAME",
        help="the column of the splits; '' for none (default: split, where there is one)",
    )
    table.add_argument(
        "--split-names",
        type=kind(parse_split_names),
        default=(),
        metavar="0=train,1=val",
        help="what the splits of the table are called in the dataset",
    )
    table.add_argument(
        "--extension",
        metavar=".png",
        help="the ending of images that the table names without one (default: the only file that "
        "is there)",
    )
    table.add_argument(
        "--name-pattern",
        metavar="REGEX",
        help=r"columns from the names of images: '(?P<text>[^_]+)_\d+' fits names without their "
        "ending and makes a column text; with a slash in it, it fits whole paths",
    )


def kind(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Turn a parser of ours into one for argparse, which shows the message of this error only."""

    def wrapped(text: str) -> _T:
        try:
            return parse(text)
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return wrapped
