"""What is odd about the images of a set, added up over its shards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shardio.format.done import COUNTS, DoneRecord
from shardio.format.transform import ENLARGED, KEEP, Transform
from shardio.grammar import agreeing, counted

# A larger share of records of one colour is most often a box beside what is in the images.
_BLANK_SHARE = 0.01


@dataclass
class ImageTotals:
    """What is known of `counted` records: how many are odd in some way, and the images' sizes."""

    counted: int = 0
    one_colour: int = 0
    transparent: int = 0
    turned: int = 0
    grey: int = 0
    enlarged: int = 0
    truncated: int = 0
    several: int = 0
    sizes: set[str] = field(default_factory=set)

    def add(self, done: Iterable[DoneRecord]) -> None:
        """Add up what the done-records say of the pixels."""
        for record in done:
            counts = [getattr(record, name) for name in COUNTS]
            if None not in counts:
                self.counted += record.records
                for name, count in zip(COUNTS, counts, strict=True):
                    setattr(self, name, getattr(self, name) + count)
                self.sizes.update(record.sizes or ())

    def lines(self, records: int) -> list[str]:
        """Return the counts for people, of a set of so many records."""
        lines = []
        if self.sizes:
            known = {
                "transparent": self.transparent,
                "turned by EXIF": self.turned,
                "grey": self.grey,
                f"enlarged more than {ENLARGED} times": self.enlarged,
                "truncated": self.truncated,
                "of several in a file": self.several,
            }
            odd = [f"{count:,} {what}" for what, count in known.items() if count]
            lines.append(f"sources   {', '.join([counted(len(self.sizes), 'size'), *odd])}")
        if self.counted:
            lines.append(
                f"colours   {self.one_colour:,} of {counted(self.counted, 'record')} "
                f"{agreeing(self.one_colour, 'has')} one colour"
            )
        if self.counted < records:
            rest = counted(records - self.counted, "record")
            lines.append(f"colours   not counted in {rest} of shards that were kept")
        return lines

    def warnings(self, transform: Transform | None, done: str) -> list[str]:
        """Return what should be looked at; `done` says what was done to the images."""
        found = []
        is_cut = transform is None or transform.is_cut
        if self.one_colour > _BLANK_SHARE * self.counted:
            see = "See whether --crop cuts out what you mean: `shardio-convert show TABLE` draws"
            see = f"{see} the box into images" if is_cut else "See them: `shardio-read show OUT`"
            found.append(
                f"{self._share(self.one_colour)} {agreeing(self.one_colour, 'has')} one colour in "
                f"all pixels{f'; what was done: {done}' if done else ''}. {see}"
            )
        if self.transparent:
            found.append(
                f"{self._share(self.transparent)} {agreeing(self.transparent, 'is')} of images "
                "with transparent parts, whose alpha was dropped: such parts show the colour "
                "stored in them, or black once resized; --background 255,255,255 lays the images "
                "on white"
            )
        if self.turned and transform is not None and transform.orientation == KEEP:
            found.append(
                f"{self._share(self.turned)} {agreeing(self.turned, 'is')} of images that EXIF "
                "says are turned, which was not applied: --orientation apply sets them upright"
            )
        if self.several:
            found.append(
                f"{self._share(self.several)} {agreeing(self.several, 'is')} of files that hold "
                "several images (frames, pages or sizes), of which one was taken: the first, of "
                "ICO the largest. Where others are wanted, write each to a file of its own"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the counts for programs."""
        return {**vars(self), "sizes": len(self.sizes)}

    def _share(self, number: int) -> str:
        return f"{number:,} of {counted(self.counted, 'record')} ({number / self.counted:.1%})"
