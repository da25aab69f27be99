"""What a conversion did, and where its time went."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from converter.shards.accounts import SplitAccount
from converter.shards.image_sample import ImageSample
from converter.shards.shard import Times
from converter.table.label_statistics import HeadStatistics
from shardio.format.done import DoneRecord, Reject
from shardio.format.manifest import Versions
from shardio.format.transform import Transform

# A larger share of records of one colour is most often a box beside what is in the images.
_BLANK_SHARE = 0.01
# Of a shorter run nobody asks how it could be quicker.
_LONG_SECONDS = 5.0
HINTS = {
    "reading": "more --workers wait for more files at once, or put the files on a faster disk",
    "decoding": "use more --workers on more cores, or smaller files; of JPEG and PNG that are not"
    " progressive or interlaced only the rows that the crop needs are decoded",
    "resizing": "use more --workers on more cores, a smaller --size, or --resample bilinear",
    "encoding": "use more --workers on more cores, or --encode raw",
    "writing": "put OUT on a faster disk, or make fewer and larger shards",
}


@dataclass
class Summary:
    """The result of a conversion.

    `shards_made` and `images` count this run alone, `shards_kept` what an earlier run had
    finished. `seconds` is the time of this run, `times` the work of all its workers.
    """

    folder: str
    shards: int
    shards_made: int = 0
    shards_kept: int = 0
    rows: int = 0
    records: int = 0
    rejected: int = 0
    bytes: int = 0
    images: int = 0
    seconds: float = 0.0
    times: Times = field(default_factory=Times)
    versions: Versions | None = None
    transform: Transform | None = None
    # Records of which it is known whether they have one colour, or transparent parts.
    counted: int = 0
    one_colour: int = 0
    transparent: int = 0
    # How the table was read.
    table: str = ""
    heads: list[HeadStatistics] = field(default_factory=list)
    splits: list[SplitAccount] = field(default_factory=list)
    # Splits that shares were given for, and that no row was dealt to.
    empty_splits: list[str] = field(default_factory=list)
    # What was read from the table as it is written, but may be meant in another way.
    notes: list[str] = field(default_factory=list)
    indexes_made: int = 0
    # Images that an earlier run had rejected and this one opened again.
    looked_at: int = 0
    # Of a set that was complete before.
    sample: ImageSample | None = None
    dry_run: bool = False
    complete_before: bool = False

    def lines(self) -> list[str]:
        """Return the summary for people."""
        if self.indexes_made and self.complete_before:
            return [
                f"{self.folder} is complete: {self.records:,} records in {self.shards} shards; "
                f"{self.indexes_made} indexes were made again."
            ]
        if self.complete_before:
            return [
                f"{self.folder} is complete already: {self.records:,} records in "
                f"{self.shards} shards. Nothing to do. {self._compared()}"
            ]
        if self.dry_run:
            return [
                f"{self.rows:,} rows would become {self.shards} shards in {self.folder}, "
                f"{_size(self.bytes)} in all. Nothing was written.",
                *self._table(),
                *self._images(),
                *(f"label     {head.line()}" for head in self.heads),
                *(f"note      {note}" for note in self.notes),
            ]
        lines = [
            f"{self.folder}: {self.records:,} records in {self.shards} shards, {_size(self.bytes)}",
            f"rows      {self.rows:,} read = {self.records:,} written + {self.rejected:,} rejected"
            + (" (see rejects.csv)" if self.rejected else ""),
            *self._table(),
            *self._images(),
        ]
        if len(self.splits) > 1:
            lines += [
                f"split     {split.split}: {split.read:,} read = {split.written:,} written + "
                f"{split.rejected:,} rejected"
                for split in self.splits
            ]
        lines += [f"label     {head.line()}" for head in self.heads]
        lines += [f"note      {note}" for note in self.notes]
        if self.shards_kept:
            lines.append(f"resumed   {self.shards_kept} shards were finished before")
        if self.looked_at:
            lines.append(f"rejects   looked at again: {self.looked_at:,} of earlier runs")
        if self.indexes_made:
            lines.append(f"repaired  {self.indexes_made} indexes of other shards were made again")
        if self.images and self.seconds:
            rate = self.images / self.seconds
            lines.append(f"speed     {rate:,.0f} images/s, {self.seconds:.1f} s")
            lines.append(f"time      {self._shares()}")
            lines += [f"hint      {hint}"] if (hint := self.hint()) else []
        if self.versions is not None:
            lines.append(f"decoders  Pillow {self.versions.pillow}, {self.versions.libjpeg}")
        return lines

    def _compared(self) -> str:
        """Say what is known of the images of a set that was complete before."""
        again = "; if they have changed, --overwrite makes it again."
        sample = self.sample
        if sample is None or not sample.looked_at:
            text = f"The images themselves were not compared{again}"
        elif sample.same:
            text = (
                f"The images of {sample.same:,} records were compared and are the same, the others "
                f"were not{again}"
            )
        else:
            text = (
                "Whether it was made from the images that the table names now is not known: "
                f"{sample.looked_at} were looked at and none can be used ({sample.example})."
            )
        if self.rejected:
            text += f" {self.rejected:,} images were rejected: --repair looks at them again."
        return text

    def warnings(self) -> list[str]:
        """Return what is odd about the splits, the images and the labels."""
        return [
            *self._image_warnings(),
            *(f"split {name} is empty: no row was dealt to it" for name in self.empty_splits),
            *(warning for head in self.heads for warning in head.warnings),
        ]

    def count(self, done: Iterable[DoneRecord]) -> None:
        """Add up what the done-records say of the pixels."""
        for record in done:
            if record.one_colour is not None and record.transparent is not None:
                self.counted += record.records
                self.one_colour += record.one_colour
                self.transparent += record.transparent

    def _table(self) -> list[str]:
        return [f"table     {self.table}"] if self.table else []

    def _images(self) -> list[str]:
        """Say what is done to images, and what came of it."""
        lines = [] if self.transform is None else [f"images    {self.transform.line()}"]
        if self.counted:
            lines.append(
                f"colours   {self.one_colour:,} of {self.counted:,} records have one colour"
            )
        if not self.dry_run and self.counted < self.records:
            lines.append(
                f"colours   not counted in {self.records - self.counted:,} records of shards that "
                "were kept"
            )
        return lines

    def _image_warnings(self) -> list[str]:
        found = []
        if self.one_colour > _BLANK_SHARE * self.counted:
            done = "" if self.transform is None else f"; what was done: {self.transform.line()}"
            found.append(
                f"{self.one_colour:,} of {self.counted:,} records "
                f"({self.one_colour / self.counted:.1%}) have one colour in all pixels{done}. See "
                "whether --crop cuts out what you mean"
            )
        if self.transparent:
            found.append(
                f"{self.transparent:,} of {self.counted:,} records "
                f"({self.transparent / self.counted:.1%}) come from images with transparent parts, "
                "whose alpha was dropped: such parts show the colour stored in them, or black once "
                "resized; --background 255,255,255 lays the images on white"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the summary for programs."""
        return {
            "folder": self.folder,
            "state": "planned" if self.dry_run else "complete",
            "table": self.table,
            "rows": {"read": self.rows, "written": self.records, "rejected": self.rejected},
            "shards": {"all": self.shards, "made": self.shards_made, "kept": self.shards_kept},
            "indexes_made": self.indexes_made,
            "rejects_looked_at": self.looked_at,
            "images_compared": {
                "same": 0 if self.sample is None else self.sample.same,
                "unusable": 0 if self.sample is None else self.sample.unusable,
            },
            "bytes": self.bytes,
            "transform": None if self.transform is None else self.transform.to_json(),
            "colours": {
                "counted": self.counted,
                "one_colour": self.one_colour,
                "transparent": self.transparent,
            },
            "images": self.images,
            "seconds": round(self.seconds, 3),
            "work_seconds": {name: round(spent, 3) for name, spent in vars(self.times).items()},
            "hint": self.hint(),
            "splits": {
                split.split: {
                    "read": split.read,
                    "written": split.written,
                    "rejected": split.rejected,
                }
                for split in self.splits
            },
            "labels": [head.to_json() for head in self.heads],
            "notes": self.notes,
            "versions": None if self.versions is None else asdict(self.versions),
        }

    def hint(self) -> str | None:
        """Return what would help most; None for a run so short that nobody asks."""
        times = vars(self.times)
        total = sum(times.values())
        if not self.images or self.seconds < _LONG_SECONDS or not total:
            return None
        name = max(times, key=lambda part: times[part])
        return f"{name} is the largest part, {times[name] / total:.0%}: {HINTS[name]}"

    def _shares(self) -> str:
        times = {name: spent for name, spent in vars(self.times).items() if spent}
        total = sum(times.values()) or 1.0
        return ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in times.items())


def reasons(rejects: list[Reject], most: int = 5) -> list[str]:
    """Return the commonest reasons, each with its count and one row as an example."""
    groups: dict[str, list[Reject]] = {}
    for reject in rejects:
        groups.setdefault(reject.reason, []).append(reject)
    ranked = sorted(groups.items(), key=lambda group: (-len(group[1]), group[1][0].row))
    lines = [
        f"{len(found):,} x {reason} (for example row {found[0].row}, {found[0].path})"
        for reason, found in ranked[:most]
    ]
    if len(ranked) > most:
        lines.append(f"and {len(ranked) - most} other reasons")
    return lines


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
