"""What is odd about the images of a set, added up over its shards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from shardio.format.done import DoneRecord
from shardio.grammar import agreeing, counted

# A larger share of records of one colour is most often a box beside what is in the images.
_BLANK_SHARE = 0.01


@dataclass
class ImageTotals:
    """Records of which it is known whether they have one colour, or transparent parts."""

    counted: int = 0
    one_colour: int = 0
    transparent: int = 0

    def add(self, done: Iterable[DoneRecord]) -> None:
        """Add up what the done-records say of the pixels."""
        for record in done:
            if record.one_colour is not None and record.transparent is not None:
                self.counted += record.records
                self.one_colour += record.one_colour
                self.transparent += record.transparent

    def lines(self, records: int) -> list[str]:
        """Return the counts for people, of a set of so many records."""
        lines = []
        if self.counted:
            lines.append(
                f"colours   {self.one_colour:,} of {counted(self.counted, 'record')} "
                f"{agreeing(self.one_colour, 'has')} one colour"
            )
        if self.counted < records:
            rest = counted(records - self.counted, "record")
            lines.append(f"colours   not counted in {rest} of shards that were kept")
        return lines

    def warnings(self, done: str) -> list[str]:
        """Return what should be looked at; `done` says what was done to the images."""
        found = []
        if self.one_colour > _BLANK_SHARE * self.counted:
            found.append(
                f"{self._share(self.one_colour)} {agreeing(self.one_colour, 'has')} one colour in "
                f"all pixels{f'; what was done: {done}' if done else ''}. See whether --crop cuts "
                "out what you mean"
            )
        if self.transparent:
            found.append(
                f"{self._share(self.transparent)} {agreeing(self.transparent, 'is')} of images "
                "with transparent parts, whose alpha was dropped: such parts show the colour "
                "stored in them, or black once resized; --background 255,255,255 lays the images "
                "on white"
            )
        return found

    def to_json(self) -> dict[str, int]:
        """Return the counts for programs."""
        return asdict(self)

    def _share(self, number: int) -> str:
        return f"{number:,} of {counted(self.counted, 'record')} ({number / self.counted:.1%})"
