"""Progress of a command: a bar on a terminal, and in a log a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

# A log gets a line so often, and none for what is done sooner.
LINE_SECONDS = 10.0


@contextmanager
def progress(total: int, unit: str, *, quiet: bool = False) -> Iterator[Callable[[int], object]]:
    """Give a function that is told how much more is done, of `total`; one call at a time.

    The unit `B` is one of bytes. With `quiet` nothing is shown.
    """
    if quiet:
        yield lambda more: None
        return
    stream = sys.stderr
    if stream.isatty():
        is_bytes = unit == "B"
        with tqdm(
            total=total, unit=unit if is_bytes else f" {unit}", unit_scale=is_bytes, file=stream
        ) as bar:
            yield bar.update
        return
    start = told = time.monotonic()
    done = 0

    def count(more: int) -> None:
        nonlocal done, told
        done += more
        now = time.monotonic()
        if now - told < LINE_SECONDS:
            return
        told = now
        share = done / total if total else 1.0
        stream.write(
            f"{_in_words(done, unit)} of {_in_words(total, unit)} ({share:.0%}), "
            f"{_in_words(int(done / (now - start)), unit)}/s\n"
        )
        stream.flush()

    yield count


def _in_words(number: int, unit: str) -> str:
    return f"{number / 1e6:,.1f} MB" if unit == "B" else f"{number:,} {unit}"
