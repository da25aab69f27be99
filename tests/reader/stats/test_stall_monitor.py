"""What a stream says of itself, and the share of a loop that waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice

import pytest

from reader import StallMonitor, open_shards
from tests.reader.datasets import Made


def test_a_stream_counts_what_it_gave(made: Made) -> None:
    stream = open_shards(made.glob).batches(5, pad=True, rows=True, epochs=2)
    assert stream.stats().batches == 0
    given = list(islice(stream, 9))
    stats = stream.stats()
    assert (stats.batches, stats.images, stats.skipped) == (9, 45, 0)
    arrays = [array for x, ys, *more in given for array in (x, *ys, *more)]
    assert stats.bytes == sum(array.nbytes for array in arrays)
    assert stats.waited is not None
    assert stats.waited >= 0
    assert stats.ahead >= 0
    list(stream)
    assert stream.stats().batches == 2 * len(stream)
    assert stream.stats().ahead == 0


def test_waiting_and_work_are_told_apart() -> None:
    def batches() -> Iterator[int]:
        for number in range(4):
            time.sleep(0.03)
            yield number

    monitor = StallMonitor(batches())
    seen = []
    for number in monitor:
        seen.append(number)
        time.sleep(0.01)
    assert seen == [0, 1, 2, 3]
    assert monitor.steps == 4
    # Sleeping takes at least as long as it was told to.
    assert monitor.waited >= 0.12
    assert monitor.worked >= 0.04
    assert monitor.utilisation == pytest.approx(monitor.worked / (monitor.worked + monitor.waited))
    assert "4 steps" in str(monitor)
    monitor.reset()
    assert (monitor.steps, monitor.waited) == (0, 0)


def test_it_goes_around_every_stream(made: Made) -> None:
    shards = open_shards(made.glob)
    for stream in (shards.batches(5, epochs=2), shards.to_tf_dataset(5, epochs=2)):
        monitor = StallMonitor(stream)
        assert sum(1 for _ in monitor) == monitor.steps == 14
