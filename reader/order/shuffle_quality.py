"""How well the `window` order shuffles: how many blocks a batch mixes, against an exact shuffle.

Records that stand near each other may be alike: of one source, one day, one class. A batch of an
exact shuffle takes its records from nearly as many blocks as it has records; one of the `window`
order takes them from the blocks of a window of each lane. With k records drawn from w blocks of b
records, without putting any back, the expected number of distinct blocks is

    distinct(w) = w * (1 - C((w - 1) * b, k) / C(w * b, k))

and the quality is distinct(blocks of the windows) / distinct(blocks of the set): 1 is as good as
exact, and 1 / distinct(blocks of the set) is no shuffle within blocks at all. A batch at the edge
of two windows mixes more, and that is not counted. It says nothing of whole epochs: over one, every
record comes once, and blocks come in random order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma


@dataclass(frozen=True)
class ShuffleQuality:
    """The expected number of blocks in a batch: of this order, and of an exact shuffle."""

    mixed: float
    exact: float

    @property
    def ratio(self) -> float:
        """The quality, 0 to 1."""
        return self.mixed / self.exact if self.exact else 1.0


def window_quality(
    records: int, batch_size: int, block: int, window: int, lanes: int
) -> ShuffleQuality:
    """Compute the quality of a step of `batch_size` records over all workers."""
    blocks = -(-records // block)
    size = min(batch_size, records)
    exact = _distinct(blocks, min(block, records), size)
    lane_blocks = min(window, blocks / lanes)
    mixed = lanes * _distinct(lane_blocks, min(block, records), size / lanes)
    return ShuffleQuality(min(mixed, exact), exact)


def _distinct(blocks: float, block: int, drawn: float) -> float:
    """Return the expected number of distinct blocks among `drawn` records."""
    all_ = blocks * block
    drawn = min(drawn, all_)
    if all_ - block < drawn:
        return blocks
    none = _log_choose(all_ - block, drawn) - _log_choose(all_, drawn)
    return blocks * (1 - exp(none))


def _log_choose(n: float, k: float) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
