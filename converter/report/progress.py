"""Progress for people: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, TextIO

from tqdm import tqdm

from converter.engines.protocol import NoProgress
from shardio.command_line import is_unread
from shardio.plain_text import plain_text

# A log gets a line so often, and none for a run that is shorter.
LINE_SECONDS = 10.0
# What is left is told by the speed of so many lines.
_RECENT_LINES = 6
_COLUMNS = 120


def progress_on(stream: TextIO) -> Counted:
    """Return the progress that suits a stream."""
    return Bar(stream) if stream.isatty() else Lines(stream)


class Counted(NoProgress):
    """Counts what a run has done. Bytes, and the speeds, are of this run alone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rows = 0
        self._before = 0
        self._images = 0
        self._read = 0
        self._written = 0
        self._rejected = 0
        self._start = time.monotonic()

    def announce(self, line: str) -> None:
        """Write what is about to be done to the images."""
        if not is_unread(self._stream):  # that is told when all is done
            self._stream.write(f"images: {plain_text(line)}\n")
            self._stream.flush()

    def begin(self, rows: int, done: int, rejected: int) -> None:
        """Set the number of rows, and of those that an earlier run has done."""
        self._rows = rows
        self._before = done
        self._rejected = rejected
        self._start = time.monotonic()
        self.show(0)

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        """Count images that are done."""
        self._images += images
        self._read += bytes_read
        self._written += bytes_written
        self._rejected += rejected
        self.show(images)

    def show(self, images: int) -> None:
        """Show what there is to show, after so many more images."""

    def close(self) -> None:
        """Leave the stream to others."""

    def __enter__(self) -> Counted:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        read, written = self._read / seconds / 1e6, self._written / seconds / 1e6
        return f"{read:,.1f} MB/s in, {written:,.1f} MB/s out, {self._rejected:,} rejected"


class Bar(Counted):
    """A bar that is drawn again and again; nothing is shown before the work begins."""

    _bar: tqdm[Any] | None = None

    def show(self, images: int) -> None:
        """Draw the bar."""
        if self._bar is None:
            self._bar = tqdm(
                total=self._rows,
                initial=self._before,
                file=self._stream,
                unit=" images",
                # A terminal that does not know its size says 0, and would get nothing.
                dynamic_ncols=bool(_columns(self._stream)),
                ncols=_COLUMNS,
                smoothing=0.1,
            )
        if images:
            self._bar.set_postfix_str(self._rates(), refresh=False)
            self._bar.update(images)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


class Lines(Counted):
    """A line of plain ASCII every ten seconds or so."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        # When the last ones were written, and after how many images.
        self._told: deque[tuple[float, int]] = deque()

    def begin(self, rows: int, done: int, rejected: int) -> None:
        """Set the number of rows, and of those that an earlier run has done."""
        super().begin(rows, done, rejected)
        self._told = deque([(self._start, 0)], _RECENT_LINES)

    def show(self, images: int) -> None:
        """Write a line, when it is time."""
        now = time.monotonic()
        if not self._told or now - self._told[-1][0] < LINE_SECONDS:
            return
        since, before = self._told[0]
        speed = (self._images - before) / (now - since)
        self._told.append((now, self._images))
        done = self._before + self._images
        left = _clock((self._rows - done) / speed) if speed else "?"
        self._stream.write(
            f"{done:,} of {self._rows:,} images ({done / self._rows:.0%}), {speed:,.0f} images/s, "
            f"{self._rates()}, {left} left\n"
        )
        self._stream.flush()


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        return 0


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
