"""A bound of the memory of images that are decoded whole before they are resized."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from shardio.errors import UnsupportedRecordError
from shardio.sizes import in_words

# Bytes a pixel: four of Pillow's, what a progressive JPEG keeps besides, and copies.
_PIXEL = 12
# What is counted at least, some 5 million pixels at once, and at most.
_LEAST, _MOST = 64 << 20, 512 << 20


def budget_of(pixels: int, threads: int) -> int:
    """Return the bytes for as many images of so many pixels as there are threads."""
    alone = _PIXEL * pixels
    return max(_LEAST, alone, min(_MOST, threads * alone))


class SourceMemory:
    """Lets threads decode images together whose memory is at most `budget` bytes.

    One that is larger is decoded alone or, once they are bounded, refused.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._most: int | None = None
        self._start()

    def bound(self, spare: int) -> None:
        """Refuse images that take more than the budget and `spare` bytes."""
        self._most = self._budget + spare

    @contextmanager
    def held(self, pixels: int) -> Iterator[None]:
        """Wait until there is memory for an image of so many pixels, and hold it.

        Raises UnsupportedRecordError for one that is refused.
        """
        if self._process != os.getpid():  # what threads held that a fork did not copy
            self._start()
        changed, size = self._changed, _PIXEL * pixels
        if self._most is not None and size > self._most:
            raise UnsupportedRecordError(
                f"its image has {pixels:,} pixels, which take {in_words(size)} before they are "
                f"resized, and memory= leaves {in_words(self._most)} for that: give it "
                f"{in_words(size - self._most)} more, or make a set of the images with "
                "shardio-convert"
            )
        with changed:
            changed.wait_for(lambda: not self._used or self._used + size <= self._budget)
            self._used += size
        try:
            yield
        finally:
            with changed:
                self._used -= size
                changed.notify_all()

    def _start(self) -> None:
        self._process, self._changed, self._used = os.getpid(), Condition(), 0
