"""Counts of the streams of a set, a few additions a batch and stream."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from reader.stats.shared_counts import SharedCounts
from reader.stats.stream_stats import StreamStats, Sums, stats_of
from shardio.storage.waiting import retries

_T = TypeVar("_T")
_now = time.perf_counter
# So many of the first batches are measured, and of the others each so many-th, which stands for
# as many: to ask the kernel for a thread's time takes as long as all else that is counted.
_EACH = 16
# The place of `retries` among the sums.
_RETRIES = 8
# Threads that only read: what others do is counted where they ask for a batch.
_OURS = ("shardio-decode", "shardio-requests", "shardio-blocks")


class _Skipped(Protocol):
    """Counts damaged records."""

    count: int


class StreamCounts:
    """What a stream has given, or all streams of a set; any thread may count what reading takes.

    Those of a set are the sum over its `stream`s in this process, also those that have ended, and
    what the processes of a DataLoader have added to `shared`. `is_fixed` says that all samples have
    the same size.
    """

    def __init__(
        self,
        *,
        sees_wait: bool = True,
        whole: StreamCounts | None = None,
        adds_to: SharedCounts | None = None,
    ) -> None:
        self.pid = os.getpid()
        self.sees_wait, self.is_fixed = sees_wait, False
        self.skipped: _Skipped | None = None
        self.queue: Sized = ()
        self.batches = self.images = self.bytes = self.cached = 0
        self.waited = self._reading = self._decoding = self._transform = self._cpu = 0.0
        # A collection of garbage may end a stream within.
        self._lock = threading.RLock()
        self._whole, self._streams = whole, WeakSet[StreamCounts]()
        self._ended: Sums = (0,) * 11
        self._sample_bytes = self._measured = 0
        self._retried = len(retries)
        self._adds_to = adds_to
        self._added: Sums = self._ended
        self._shared: SharedCounts | None = None

    @property
    def shared(self) -> SharedCounts:
        """Where the processes of a DataLoader count what they read of a set."""
        if self._shared is None:
            self._shared = SharedCounts()
        return self._shared

    def stream(
        self, *, sees_wait: bool = True, adds_to: SharedCounts | None = None
    ) -> StreamCounts:
        """Return the counts of a new stream of this set; `adds_to` counts it, where it is given."""
        whole = None if adds_to is not None else self
        counts = StreamCounts(sees_wait=sees_wait, whole=whole, adds_to=adds_to)
        if whole is not None:
            with self._lock:
                self._streams.add(counts)
        return counts

    def add(self, reading: float = 0.0, decoding: float = 0.0, cpu: float = 0.0) -> None:
        """Count seconds."""
        with self._lock:
            self._reading += reading
            self._decoding += decoding
            self._cpu += cpu

    @contextmanager
    def read(self) -> Iterator[None]:
        """Count what is done within as reading; for pieces of work that take a while."""
        is_ours = threading.current_thread().name.startswith(_OURS)
        cpu = time.thread_time() if is_ours else 0.0
        begun = time.perf_counter()
        try:
            yield
        finally:
            taken = time.perf_counter() - begun
            self.add(reading=taken, cpu=time.thread_time() - cpu if is_ours else 0.0)

    def decoded(self, seconds: float) -> None:
        """Count a part of what is counted as reading as decoding instead."""
        self.add(reading=-seconds, decoding=seconds)

    @contextmanager
    def transforms(self) -> Iterator[None]:
        """Count what is done within as the caller's function."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._transform += time.perf_counter() - begun

    def wait(self, result: Callable[[], Any]) -> Any:
        """Wait for the parts of a batch that the caller gets, and count it."""
        asked = _now()
        parts = result()
        self.waited += _now() - asked
        self.gave(parts)
        return parts

    def gave(self, parts: Any) -> None:
        """Count a batch that the caller gets."""
        images = len(parts.images)
        self.batches += 1
        self.images += images
        if self._sample_bytes:
            return  # the images are enough to know
        arrays = (parts.images, *parts.labels, parts.weights, parts.rows)
        size = sum(array.nbytes for array in arrays if array is not None)
        self.bytes += size
        if self.is_fixed and images:
            self._sample_bytes = size // images

    def measured(self, work: Callable[..., _T], *arguments: Any) -> _T:
        """Do what makes a batch, or a part of it, and count the CPU seconds of this thread."""
        weight = _weight(self._measured)
        self._measured += 1
        return self._weighed(weight, work, *arguments)

    def given(self, take: Callable[[], _T]) -> _T:
        """Take the batch that is given next, with the CPU seconds, and hand on what was counted."""
        adds_to, weight = self._adds_to, _weight(self.batches)
        if adds_to is None and not weight:
            return take()
        try:
            return self._weighed(weight, take)
        finally:
            if adds_to is not None:
                now, before = self.sums(), self._added
                adds_to.add([a - b for a, b in zip(now, before, strict=True)])
                self._added = now

    def _weighed(self, weight: int, work: Callable[..., _T], *arguments: Any) -> _T:
        if not weight:
            return work(*arguments)
        begun = time.thread_time()
        try:
            return work(*arguments)
        finally:
            self.add(cpu=(time.thread_time() - begun) * weight)

    def sums(self) -> Sums:
        """Return the numbers that may be added up."""
        skipped = 0 if self.skipped is None else self.skipped.count
        size = self.images * self._sample_bytes or self.bytes
        return (
            self.batches, self.images, size, self.waited, self._reading, self._decoding,
            self._transform, self.cached, len(retries) - self._retried, skipped, self._cpu,
        )  # fmt: skip

    def stats(self) -> StreamStats:
        """Return what was counted, of a set the sum."""
        with self._lock:
            streams = [self, *self._streams]
            sees_wait = self.sees_wait and all(
                counts.sees_wait or not counts.batches for counts in streams
            )
            total = _sum([self._ended, *(counts.sums() for counts in streams)])
        # All streams of this process see the same retries.
        again = len(retries) - self._retried
        total = (*total[:_RETRIES], again, *total[_RETRIES + 1 :])
        if self._shared is not None:
            total = _sum([total, self._shared.sums()])
        return stats_of(total, sum(len(each.queue) for each in streams), sees_wait=sees_wait)

    def __del__(self) -> None:
        whole = self._whole
        if whole is not None:
            sums = self.sums()
            with whole._lock:
                before = None
                while whole._ended is not before:  # the end of another stream came in between
                    before = whole._ended
                    after = _sum([before, sums])
                whole._ended = after
                whole.sees_wait &= self.sees_wait or not self.batches


def _weight(turn: int) -> int:
    return 1 if turn < _EACH else 0 if turn % _EACH else _EACH


def _sum(each: list[Sums]) -> Sums:
    return tuple(map(sum, zip(*each, strict=True)))
