"""Storage is slow when its readers wait for it, not when they have to share the processor."""

from __future__ import annotations

import time

from reader.fetch.waiting import Stopwatch, Waiting

RECORDS = 128


def step(waiting: Waiting, *, waits: int, seconds: float = 0.004) -> bool:
    """Take the time of slow storage, and wait as often; returns whether it turned out slow."""
    watch = Stopwatch()
    end = time.perf_counter() + seconds
    for _ in range(waits):
        time.sleep(1e-5)
    while time.perf_counter() < end:
        pass
    return waiting.saw(watch.taken(), RECORDS)


def test_a_busy_processor_is_not_slow_storage() -> None:
    waiting = Waiting()
    for _ in range(20):
        assert not step(waiting, waits=2)
        assert not waiting.is_slow
        assert waiting.is_quick


def test_storage_that_is_waited_for_is_slow_until_it_is_measured_again() -> None:
    waiting = Waiting()
    assert not waiting.is_quick  # that is not known yet
    believed = []
    for _ in range(4):
        assert step(waiting, waits=RECORDS)
        count = 0
        while waiting.is_slow:
            assert not waiting.is_quick
            assert not step(waiting, waits=0, seconds=0)
            count += 1
        believed.append(count)
    assert believed == [8, 16, 32, 64]
    assert not step(waiting, waits=0, seconds=0)  # quick: it begins anew
    assert step(waiting, waits=RECORDS)
    assert sum(not step(waiting, waits=0, seconds=0) for _ in range(8)) == 8
    assert not waiting.is_slow
