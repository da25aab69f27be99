"""How fast the bytes of files come: in sequence and at random, in the page cache or not."""

from __future__ import annotations

import ctypes
import mmap
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Lock

from shardio.measure.measured import Measured
from shardio.storage import RangeReader, storage_for

_PIECE = 1 << 20


def forget(paths: Sequence[str]) -> None:
    """Make the kernel forget the pages of local files; those that are mapped somewhere stay."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system that is read-only has nothing to write
                os.fsync(descriptor)  # pages that are not written yet would stay
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def resident_share(paths: Sequence[str]) -> float:
    """Return which share of the pages of local files is in the page cache."""
    mincore = ctypes.CDLL(None, use_errno=True).mincore
    mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    pages = here = 0
    for path in paths:
        size = os.path.getsize(path)
        if not size:
            continue
        with open(path, "rb") as file:
            # Private, so that its address can be had; nothing is read.
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
        count = -(-size // mmap.PAGESIZE)
        found = ctypes.create_string_buffer(count)
        start = ctypes.c_char.from_buffer(mapped)
        if mincore(ctypes.addressof(start), size, found) == 0:
            pages += count
            here += sum(byte & 1 for byte in found.raw[:count])
        del start
        mapped.close()
    return here / pages if pages else 0.0


def in_sequence(
    paths: Sequence[str], at_once: int, *, seconds: float = float("inf"), most: int | None = None
) -> tuple[int, Measured]:
    """Read files from their start on, some pieces at once, until all, the time or `most` is over.

    Returns how many bytes were read, one after the other, and what it took; `images` is their
    number.
    """
    with _opened(paths) as (readers, sizes):
        places = _places(sizes, most)
        lock, start = Lock(), time.perf_counter()

        def next_place() -> tuple[int, int, int] | None:
            with lock:
                if time.perf_counter() - start >= seconds:
                    return None
                return next(places, None)

        def work() -> int:
            memory, total = memoryview(bytearray(_PIECE)), 0
            while (place := next_place()) is not None:
                number, offset, size = place
                total += readers[number].read_into(offset, memory[:size])
            return total

        return _in_threads(work, at_once)


def at_random(
    paths: Sequence[str],
    size: int,
    at_once: int,
    *,
    most: int | None = None,
    seconds: float = float("inf"),
    reads: int | None = None,
) -> tuple[int, Measured]:
    """Read pieces of `size` bytes at random within the first `most` bytes, some at once.

    Returns the bytes that were read, and what it took.
    """
    with _opened(paths) as (readers, sizes):
        held: dict[int, int] = {}
        for number, offset, taken in _places(sizes, most):
            held[number] = offset + taken
        files, weights = list(held), list(held.values())
        for number in files:
            descriptor = readers[number].descriptor
            if descriptor >= 0:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        seeds = iter(range(at_once))
        each = None if reads is None else max(1, reads // at_once)
        stop = time.perf_counter() + seconds

        def work() -> int:
            chosen, memory, total = random.Random(next(seeds)), memoryview(bytearray(size)), 0
            done = 0
            while (each is None or done < each) and time.perf_counter() < stop:
                number = chosen.choices(files, weights)[0]
                offset = chosen.randrange(max(1, held[number] // size)) * size
                total += readers[number].read_into(offset, memory)
                done += 1
            return total

        return _in_threads(work, at_once)


def _in_threads(work: Callable[[], int], at_once: int) -> tuple[int, Measured]:
    used, start = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(at_once, thread_name_prefix="shardio-measure") as pool:
        total = sum(each.result() for each in [pool.submit(work) for _ in range(at_once)])
    took = max(time.perf_counter() - start, 1e-9)
    return total, Measured(total, took, time.process_time() - used)


def _places(sizes: Sequence[int], most: int | None) -> Iterator[tuple[int, int, int]]:
    """Yield the pieces of files, one after the other: number of the file, offset and size."""
    left = sum(sizes) if most is None else most
    for number, size in enumerate(sizes):
        for offset in range(0, size, _PIECE):
            taken = min(_PIECE, size - offset, left)
            if taken <= 0:
                return
            left -= taken
            yield number, offset, taken


@contextmanager
def _opened(paths: Sequence[str]) -> Iterator[tuple[list[RangeReader], list[int]]]:
    readers: list[RangeReader] = []
    try:
        for path in paths:
            readers.append(storage_for(path).open_ranges(path))
        yield readers, [storage_for(path).stat(path).size for path in paths]
    finally:
        for reader in readers:
            reader.close()
