"""What a conversion did, and where its time went."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from converter.label_statistics import HeadStatistics
from converter.shard import Times
from shardio.format.done import Reject
from shardio.format.manifest import Versions

# Of a shorter run nobody asks how it could be quicker.
_LONG_SECONDS = 60.0
HINTS = {
    "reading": "most time went into waiting for files: more --workers, or files on a faster disk",
    "decoding": "most time went into decoding: more --workers on more cores; of JPEG and PNG that"
    " are not progressive or interlaced only what the crop needs is decoded",
    "resizing": "most time went into resizing: more --workers on more cores, a smaller --size, or"
    " --resample bilinear",
    "encoding": "most time went into encoding: more --workers on more cores, or --encode raw",
    "writing": "most time went into writing: OUT on a faster disk, or fewer and larger shards",
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
    heads: list[HeadStatistics] = field(default_factory=list)
    indexes_made: int = 0
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
                f"{self.shards} shards. Nothing to do. The images themselves were not compared: if "
                "they have changed, --overwrite makes it again."
            ]
        if self.dry_run:
            return [
                f"{self.rows:,} rows would become {self.shards} shards in {self.folder}, "
                f"{_size(self.bytes)} in all. Nothing was written.",
                *(f"label     {head.line()}" for head in self.heads),
            ]
        lines = [
            f"{self.folder}: {self.records:,} records in {self.shards} shards, {_size(self.bytes)}",
            f"rows      {self.rows:,} read = {self.records:,} written + {self.rejected:,} rejected"
            + (" (see rejects.csv)" if self.rejected else ""),
        ]
        lines += [f"label     {head.line()}" for head in self.heads]
        if self.shards_kept:
            lines.append(f"resumed   {self.shards_kept} shards were finished before")
        if self.indexes_made:
            lines.append(f"repaired  {self.indexes_made} indexes of other shards were made again")
        if self.images and self.seconds:
            rate = self.images / self.seconds
            lines.append(f"speed     {rate:,.0f} images/s, {self.seconds:.1f} s")
            lines.append(f"time      {self._shares()}")
            lines += [hint] if self.seconds > _LONG_SECONDS and (hint := self._hint()) else []
        if self.versions is not None:
            lines.append(f"decoders  Pillow {self.versions.pillow}, {self.versions.libjpeg}")
        return lines

    def warnings(self) -> list[str]:
        """Return what is odd about the labels."""
        return [warning for head in self.heads for warning in head.warnings]

    def to_json(self) -> dict[str, Any]:
        """Return the summary for programs."""
        return {
            "folder": self.folder,
            "state": "planned" if self.dry_run else "complete",
            "rows": {"read": self.rows, "written": self.records, "rejected": self.rejected},
            "shards": {"all": self.shards, "made": self.shards_made, "kept": self.shards_kept},
            "indexes_made": self.indexes_made,
            "bytes": self.bytes,
            "images": self.images,
            "seconds": round(self.seconds, 3),
            "work_seconds": {name: round(spent, 3) for name, spent in vars(self.times).items()},
            "labels": [head.to_json() for head in self.heads],
            "versions": None if self.versions is None else asdict(self.versions),
        }

    def _hint(self) -> str:
        """Return what would help most, where one part of the work stands out."""
        times = vars(self.times)
        name = max(times, key=lambda part: times[part])
        if times[name] < 0.5 * sum(times.values()):
            return ""
        return f"hint      {HINTS[name]}"

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
