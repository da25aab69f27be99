"""times.json: where the time of a conversion went.

It stands beside dataset.json and is no part of the set: no reader needs it, and runs that make the
same set write other times.
"""

from __future__ import annotations

import builtins
from dataclasses import asdict, dataclass

from shardio.format.fields import Fields, dump, load, refuse


@dataclass
class Times:
    """Seconds of work, summed over workers."""

    reading: float = 0.0
    decoding: float = 0.0
    resizing: float = 0.0
    encoding: float = 0.0
    writing: float = 0.0

    def add(self, other: object) -> None:
        """Add what another worker, shard or part of the work took."""
        for name, seconds in vars(other).items():
            setattr(self, name, getattr(self, name) + seconds)

    def rounded(self) -> Times:
        """Return the times in whole microseconds."""
        return Times(**{name: round(seconds, 6) for name, seconds in vars(self).items()})

    @classmethod
    def from_fields(cls, fields: Fields) -> Times:
        """Parse the object that `asdict` makes."""
        times = cls(**{name: fields.seconds(name) for name in vars(cls())})
        fields.close()
        return times


@dataclass(frozen=True)
class LastRun:
    """The run that ended a conversion: the images that it opened, and its seconds by the clock.

    `workers` is None where nobody counted them.
    """

    engine: str
    workers: int | None
    images: int
    seconds: float


@dataclass(frozen=True)
class ConversionTimes:
    """All of times.json: the work on the images of all shards, by all runs that made them.

    `plan_sha256` is that of dataset.json, so that nobody takes it for the times of another set.
    """

    plan_sha256: str
    images: int
    work_seconds: Times
    last_run: LastRun

    def to_json(self) -> builtins.bytes:
        """Return the bytes of times.json."""
        fields = asdict(self)
        if self.last_run.workers is None:
            del fields["last_run"]["workers"]
        return dump(fields)

    @classmethod
    def from_json(cls, text: builtins.bytes, name: str) -> ConversionTimes:
        """Parse times.json; `name` stands in the error, which lists all problems."""
        top, problems = load(text, name)
        plan_sha256, images = top.digest("plan_sha256"), top.integer("images")
        work = Times.from_fields(top.child("work_seconds"))
        run = top.child("last_run")
        last = LastRun(
            run.text("engine"),
            run.optional_integer("workers", 0, 2**31),
            run.integer("images"),
            run.seconds("seconds"),
        )
        run.close()
        top.close()
        refuse(problems, name)
        return cls(plan_sha256, images, work, last)
