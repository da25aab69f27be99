from __future__ import annotations

import weakref

import pytest

from reader.fetch.pool import ALIGNMENT, Pool, aligned
from tests.collected import collect


@pytest.mark.parametrize("size", [1, 63, 64, 65, 1_572_864])
def test_memory_is_aligned(size: int) -> None:
    memory = aligned(size)
    assert memory.size == size
    assert memory.ctypes.data % ALIGNMENT == 0


def test_memory_comes_back_only_when_the_last_view_of_a_view_is_gone() -> None:
    pool = Pool(2, 12, "uint8", 1)
    piece = pool.take()
    lease = pool.lease(piece)
    view = lease.reshape(24)[2:].reshape(2, 11)[1][3:5]
    del lease
    collect()
    other = pool.take()
    assert other is not piece
    del view
    collect()
    assert pool.take() is piece


def test_no_more_is_kept_than_asked_for() -> None:
    pool = Pool(2, 12, "uint8", 1)
    pieces = [pool.take() for _ in range(3)]
    for piece in pieces:
        pool.give(piece)
    assert pool.take() is pieces[0]
    other = pool.take()
    assert all(other is not piece for piece in pieces)


def test_what_is_kept_of_a_stream_does_not_keep_its_other_memory() -> None:
    pool = Pool(2, 12, "uint8", 3)
    lease, other = pool.lease(pool.take()), pool.take()
    pool.give(other)
    gone = weakref.ref(other)
    del pool, other
    collect()
    assert gone() is None
    assert not lease.any()
    del lease
