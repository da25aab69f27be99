"""What `doctor` has measured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from shardio.measure.measured import Measured

ORDERS = "exact", "window", "none"


@dataclass(frozen=True)
class Demand:
    """How fast batches are wanted: images a second, and by whom in words."""

    rate: float
    of: str


@dataclass(frozen=True)
class ModelPass:
    """A model's steps: alone, on a batch in memory; fed by a stream; and the stream without it.

    `held` is the share of the time in which no other thread of Python could run, while the model
    was alone. `face` is how it is fed, as `adaptors` names it.
    """

    alone: Measured
    fed: Measured
    read: Measured
    held: float
    face: str

    def plus(self, other: ModelPass) -> ModelPass:
        """Return this pass and another one together."""
        return ModelPass(
            self.alone.plus(other.alone),
            self.fed.plus(other.fed),
            self.read.plus(other.read),
            (self.held + other.held) / 2,
            self.face,
        )


@dataclass
class Findings:
    """Rates by name; what could not be had is not there.

    `storage` has "cold, in sequence" and so on; `cold` and `warm` the orders; `decoding` is that of
    records in memory. `bare` is the default order in uint8 where `dtype` is float32. `why_not` says
    why storage could not be measured cold.
    """

    order: str
    dtype: str
    batch_size: int
    encoded: bool
    ours: bool
    is_local: bool
    fits: bool
    sampled: int = 0
    why_not: str = ""
    others: float = 0.0
    """The share of the CPU time of all cores that other programs took meanwhile, 0 to 1."""
    unsteady: list[str] = field(default_factory=list)
    """What was measured several times, and never twice alike."""
    left_out: list[str] = field(default_factory=list)
    """What there was no time for."""
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    storage: dict[str, Measured] = field(default_factory=dict)
    decoding: Measured | None = None
    warm: dict[str, Measured] = field(default_factory=dict)
    cold: dict[str, Measured] = field(default_factory=dict)
    bare: Measured | None = None
    adaptors: dict[str, Measured] = field(default_factory=dict)
    model: ModelPass | None = None
    demand: Demand | None = None

    def stages(self) -> Mapping[tuple[str, str], Measured]:
        """Return all rates: stage and name, in the order of the table."""
        found = {("storage", name): rate for name, rate in self.storage.items()}
        if self.decoding is not None:
            found["decoding", "in memory"] = self.decoding
        for ending, rates in ((", cold", self.cold), ("", self.warm)):
            found |= {("order", f"{name}{ending}"): rates[name] for name in ORDERS if name in rates}
        if self.bare is not None:
            found["order", f"{self.order}, uint8"] = self.bare
        found |= {("adaptor", name): rate for name, rate in self.adaptors.items()}
        if self.model is not None:
            found["model", "alone"] = self.model.alone
            found["model", f"fed by {self.model.face}"] = self.model.fed
        return found
