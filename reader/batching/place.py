"""Where a stream of batches is: in which pass, in which epoch, and at which sample."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, NamedTuple

from reader.batching.options import BatchOptions
from shardio.errors import OptionError


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


def start_step_of(start_step: Any, options: BatchOptions) -> int:
    """Return the step that an endless pass begins with, from 0; raises OptionError for no step."""
    if isinstance(start_step, bool) or not isinstance(start_step, Integral) or start_step < 0:
        raise OptionError(f"start_step must be a whole number, at least 0, not {start_step!r}")
    if start_step and options.epochs is not None:
        raise OptionError(
            "start_step needs epochs=None: Keras takes the length of a shorter first epoch for "
            "that of all. reader.resume.fit does the rest"
        )
    return int(start_step)
