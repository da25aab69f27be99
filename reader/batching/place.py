"""Where a stream of batches is: in which pass, in which epoch, and at which sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from reader.batching.options import BatchOptions


class Place(NamedTuple):
    """The next sample of a stream; `first` is the first epoch of the pass that it belongs to.

    `begun` is False after the end of a pass, until `iter` begins this one.
    """

    first: int
    epoch: int
    samples: int
    begun: bool = True

    @classmethod
    def of(cls, options: BatchOptions, epoch: int, samples: int) -> Place:
        """Return the place of a sample; without an end all epochs are of one pass."""
        first = options.start_epoch
        if options.epochs is not None:
            first += (epoch - first) // options.epochs * options.epochs
        return cls(first, epoch, samples)

    def steps(self, options: BatchOptions, records: int) -> Iterator[tuple[int, int]]:
        """Yield epoch and position of every step that is left of the pass."""
        epoch, start, size = self.epoch, self.samples, options.step_size
        while options.epochs is None or epoch < self.first + options.epochs:
            left = records - start
            rest = options.pad or not options.drop_remainder
            if left >= size or (left > 0 and rest):
                yield epoch, start
                start += min(size, left)
            else:
                epoch, start = epoch + 1, 0

    def ends_pass(self, options: BatchOptions, records: int) -> bool:
        """Whether no step is left of the pass."""
        return next(self.steps(options, records), None) is None

    def next_pass(self, options: BatchOptions) -> Place:
        """Return where the pass after this one begins."""
        first = self.first + (options.epochs or 0)
        return Place(first, first, 0)
