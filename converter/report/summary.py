"""What a conversion did, and where its time went."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from converter.report.first_look import look_lines
from converter.report.image_totals import ImageTotals
from converter.shards.accounts import SplitAccount
from converter.shards.first_look import FirstLook
from converter.shards.image_sample import ImageSample
from converter.table.cells.label_statistics import HeadStatistics, SequenceStatistics
from shardio.format.manifest import Versions
from shardio.format.times import Times
from shardio.format.transform import Transform
from shardio.grammar import agreeing, counted
from shardio.sizes import measured

# Of a shorter run nobody asks how it could be quicker.
_LONG_SECONDS = 5.0
_TRAIN = "train"
_MORE = "use more cores (--workers, or executors of Spark)"
HINTS = {
    "reading": "more --workers, or executors of Spark, wait for more files at once; or put the"
    " files on a faster disk",
    "decoding": f"{_MORE}, or smaller files; progressive JPEG and interlaced PNG take longest",
    "resizing": f"{_MORE}, a smaller --size, or --resample bilinear",
    "encoding": f"{_MORE}, or --encode raw",
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
    # Of the rejected rows, those that --drop has left out.
    dropped: int = 0
    bytes: int = 0
    images: int = 0
    seconds: float = 0.0
    times: Times = field(default_factory=Times)
    versions: Versions | None = None
    transform: Transform | None = None
    image_totals: ImageTotals = field(default_factory=ImageTotals)
    # How the table was read.
    table: str = ""
    heads: list[HeadStatistics | SequenceStatistics] = field(default_factory=list)
    splits: list[SplitAccount] = field(default_factory=list)
    # Vectors and floats are read by `batches` alone.
    only_classes: bool = True
    # Splits that shares were given for, and that no row was dealt to.
    empty_splits: list[str] = field(default_factory=list)
    dropped_splits: list[str] = field(default_factory=list)
    # What was read from the table as it is written, but may be meant in another way.
    notes: list[str] = field(default_factory=list)
    indexes_made: int = 0
    # Images that an earlier run had rejected and this one opened again.
    looked_at: int = 0
    # What the images of some rows are, where that was looked at.
    look: FirstLook | None = None
    # The first rows as they were understood, for a dry run.
    first_rows: list[str] = field(default_factory=list)
    # Of a set that was complete, or of shards that were finished before.
    sample: ImageSample | None = None
    dry_run: bool = False
    complete_before: bool = False

    def lines(self) -> list[str]:
        """Return the summary for people."""
        if self.indexes_made and self.complete_before:
            return [
                f"{self.folder} is complete: {counted(self.records, 'record')} in "
                f"{counted(self.shards, 'shard')}; "
                f"{counted(self.indexes_made, 'index', 'was')} made again."
            ]
        if self.complete_before:
            return [
                f"{self.folder} is complete already: {counted(self.records, 'record')} in "
                f"{counted(self.shards, 'shard')}. Nothing to do. {self._compared()}"
            ]
        if self.dry_run:
            return [
                f"{counted(self.rows, 'row')}{self._left_out()} would become "
                f"{counted(self.shards, 'shard')} in {self.folder}, "
                f"{measured(self.bytes)} in all. Nothing was written.",
                *self._table(),
                f"images    {self.image_line()}",
                *([] if self.look is None else look_lines(self.look, self.rows - self.dropped)),
                *(f"row       {row}" for row in self.first_rows),
                *(f"label     {head.line()}" for head in self.heads),
                *(f"note      {note}" for note in self.notes),
                "next      the same command without --dry-run",
            ]
        lines = [
            f"{self.folder}: {counted(self.records, 'record')} in {counted(self.shards, 'shard')}, "
            f"{measured(self.bytes)}",
            f"rows      {self.rows:,} read = {self.records:,} written + {self.rejected:,} rejected"
            + (f", {self.dropped:,} of them by --drop" if self.dropped else "")
            + (" (see rejects.csv)" if self.rejected else ""),
            *self._table(),
            *([] if self.transform is None else [f"images    {self.image_line()}"]),
            *self.image_totals.lines(self.records),
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
            same = self.sample.same if self.sample else 0
            lines.append(
                f"resumed   {counted(self.shards_kept, 'shard', 'was')} finished before"
                + (f"; the {_are_same(same)}" if same else "")
            )
        if self.looked_at:
            lines.append(f"rejects   looked at again: {self.looked_at:,} of earlier runs")
        if self.indexes_made:
            lines.append(
                f"repaired  {counted(self.indexes_made, 'index')} of other shards "
                f"{agreeing(self.indexes_made, 'was')} made again"
            )
        if self.images and self.seconds:
            rate = self.images / self.seconds
            lines.append(f"speed     {rate:,.0f} images/s, {self.seconds:.1f} s")
            lines.append(f"time      {self._shares()}")
            lines += [f"hint      {hint}"] if (hint := self.hint()) else []
        if self.versions is not None:
            lines.append(f"decoders  Pillow {self.versions.pillow}, {self.versions.libjpeg}")
        return [*lines, f"next      {self.next_step()}"]

    def next_step(self) -> str:
        """Return the code that trains with the set."""
        splits = [split.split for split in self.splits]
        name = min(splits, key=_TRAIN.__ne__, default=None)
        split = f", split={name!r}" if len(splits) > 1 else ""
        # A smaller set has no batch of 128.
        records = sum(split.written for split in self.splits if split.split == name)
        batch_size = min(128, records) or 128
        method = "to_tf_dataset" if self.only_classes else "batches"
        return (
            f"in Python: from reader import open_shards; open_shards({self.folder!r}{split})"
            f".{method}(batch_size={batch_size})"
        )

    def image_line(self) -> str:
        """Return what is done to the images."""
        assert self.transform is not None
        return self.transform.line("" if self.look is None else self.look.sources)

    def _compared(self) -> str:
        """Say what is known of the images of a set that was complete before."""
        again = "; if they have changed, --overwrite makes it again."
        sample = self.sample
        if sample is None or not sample.looked_at:
            text = f"The images themselves were not compared{again}"
        elif sample.same:
            text = f"The {_are_same(sample.same)}, the others were not{again}"
        else:
            text = (
                "Whether it was made from the images that the table names now is not known: "
                f"{sample.looked_at} {agreeing(sample.looked_at, 'was')} looked at and none "
                f"can be used ({sample.example})."
            )
        if unusable := self.rejected - self.dropped:
            text += f" {counted(unusable, 'image', 'was')} rejected: --repair looks at "
            text += f"{agreeing(unusable, 'it')} again."
        return text

    def warnings(self) -> list[str]:
        """Return what is odd about the splits, the images and the labels."""
        return [
            *self.image_totals.warnings(
                self.transform, "" if self.transform is None else self.image_line()
            ),
            *(
                f"split {split.split} is empty: all of its {counted(split.read, 'row')} "
                f"{agreeing(split.read, 'was')} rejected"
                for split in self.splits
                if split.rejected and not split.written and split.split not in self.dropped_splits
            ),
            *(f"split {name} is empty: no row was dealt to it" for name in self.empty_splits),
            *(f"split {name} is empty: --drop leaves no row of it" for name in self.dropped_splits),
            *(warning for head in self.heads for warning in head.warnings),
        ]

    def _left_out(self) -> str:
        return f", {self.dropped:,} of them left out by --drop," if self.dropped else ""

    def _table(self) -> list[str]:
        return [f"table     {self.table}"] if self.table else []

    def to_json(self) -> dict[str, Any]:
        """Return the summary for programs."""
        return {
            "folder": self.folder,
            "state": "planned" if self.dry_run else "complete",
            "table": self.table,
            "rows": {
                "read": self.rows,
                "written": self.records,
                "rejected": self.rejected,
                "dropped": self.dropped,
            },
            "shards": {"all": self.shards, "made": self.shards_made, "kept": self.shards_kept},
            "indexes_made": self.indexes_made,
            "rejects_looked_at": self.looked_at,
            "images_compared": {
                "same": 0 if self.sample is None else self.sample.same,
                "unusable": 0 if self.sample is None else self.sample.unusable,
            },
            "bytes": self.bytes,
            "transform": None if self.transform is None else self.transform.to_json(),
            "sample": None if self.look is None else self.look.to_json(),
            "colours": self.image_totals.to_json(),
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


def _are_same(records: int) -> str:
    """Say that so many records were compared with their images, and agree."""
    noun, verb = agreeing(records, "image"), agreeing(records, "is")
    return f"{noun} of {counted(records, 'record', 'was')} compared and {verb} the same"
