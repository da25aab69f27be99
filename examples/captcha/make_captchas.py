"""Make a data set of captchas with four Chinese characters each.

OUT gets images/000/000123.jpg and the like (1000 files per folder), labels.csv with the
columns path,y0,y1,y2,y3 (path relative to OUT, one label per character from left to right)
and classes.txt (line i, counted from 0, is the character of label i). labels.csv is written
last: a folder without it is unfinished. The files depend only on the options and the seed,
not on the number of workers.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from breakage import Breakage
from captcha import BOX
from dataset import Options, write_dataset
from glyphs import COUNT


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"The characters are in the box left, top, right, bottom = {BOX} of each image.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to make; new or empty")
    parser.add_argument(
        "--images", metavar="N", type=_positive, default=4000, help="images (default %(default)s)"
    )
    parser.add_argument(
        "--classes",
        metavar="N",
        type=_class_count,
        default=50,
        help=f"different characters, 1..{COUNT}, spread evenly over U+4E00..U+9FA5"
        " (default %(default)s)",
    )
    parser.add_argument(
        "--png",
        metavar="FRACTION",
        type=_fraction,
        default=0.5,
        help="part of the files that are RGBA PNG, the others being JPEG (default %(default)s)",
    )
    parser.add_argument(
        "--broken",
        metavar="FRACTION",
        type=_fraction,
        default=0.0,
        help="part of the files that are broken: in turn cut short, empty, text instead of an"
        " image, missing, too small for the box (default %(default)s)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=_whole_number,
        default=1,
        help="any whole number; another seed gives other images (default %(default)s)",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=_positive,
        default=usable_cores(),
        help="processes (default: one per usable core, here %(default)s)",
    )
    return parser


def main() -> None:
    """Run the command line."""
    parser = make_parser()
    arguments = parser.parse_args()
    out: Path = arguments.out
    # Files of an earlier run with other options would pass for part of this one.
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        parser.error(f"{out} exists and is not an empty folder; remove it or name another one")
    options = Options(
        out=out,
        images=arguments.images,
        classes=arguments.classes,
        png=arguments.png,
        broken=arguments.broken,
        seed=arguments.seed,
    )
    plan = write_dataset(options, arguments.workers)
    broken = int((plan.breakage != Breakage.NONE).sum())
    print(
        f"{out}: {options.images:,} images ({int(plan.is_png.sum()):,} PNG, {broken:,} broken),"
        f" {options.classes} classes"
    )


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _positive(text: str) -> int:
    number = _whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def _class_count(text: str) -> int:
    number = _whole_number(text)
    if not 1 <= number <= COUNT:
        raise argparse.ArgumentTypeError(
            f"{number} is not in 1..{COUNT}; there are bitmaps for {COUNT} characters"
        )
    return number


def _fraction(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in 0..1")
    return number


if __name__ == "__main__":
    main()
