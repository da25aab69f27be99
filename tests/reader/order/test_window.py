from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.blocks.block_fetch import BlockFetcher
from reader.blocks.block_grid import BlockGrid
from reader.core.compiled import has_core
from reader.fetch.fixed_records import FixedFetcher
from reader.order.window import WindowOrder
from shardio.errors import CorruptRecordError, OptionError
from shardio.format.layout import RecordLayout
from tests.reader.datasets import Made
from tests.reader.mounts import wait_until

KINDS = ["numpy", "compiled"]
LAWS = settings(deadline=None, max_examples=80)
FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30
)


@dataclass(frozen=True)
class Case:
    records: int
    block: int
    window: int
    world: int
    lanes: int
    step: int
    epoch: int

    def order(self) -> WindowOrder:
        return WindowOrder(self.records, 5, self.block, self.window, self.lanes)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    world = draw(st.integers(1, 4))
    lanes = world * draw(st.integers(1, 3))
    return Case(
        draw(st.integers(1, 600)),
        draw(st.integers(1, 40)),
        draw(st.integers(1, 6)),
        world,
        lanes,
        lanes * draw(st.integers(1, 6)),
        draw(st.integers(0, 2)),
    )


@LAWS
@given(cases())
def test_an_epoch_holds_every_record_once(case: Case) -> None:
    whole = case.order().share(case.epoch, 0, case.records, 0, 1)
    assert np.array_equal(np.sort(whole), np.arange(case.records))


@LAWS
@given(cases())
def test_workers_together_take_each_step_of_the_one_order(case: Case) -> None:
    whole = case.order().share(case.epoch, 0, case.records, 0, 1)
    order = case.order()
    for start in range(0, case.records - case.step + 1, case.step):
        stop = start + case.step
        parts = [
            order.share(case.epoch, start, stop, rank, case.world) for rank in range(case.world)
        ]
        assert {len(part) for part in parts} == {case.step // case.world}
        assert sorted(np.concatenate(parts)) == sorted(whole[start:stop])


@LAWS
@given(cases())
def test_no_block_is_read_by_two_workers_before_the_tail(case: Case) -> None:
    order = case.order()
    owners: dict[int, set[int]] = {}
    # The shortest lane is shorter than the others by less than a block and the short block.
    blocks = case.records // case.block
    even = (blocks // case.lanes - 1) * case.block * case.lanes
    for start in range(0, even - case.step + 1, case.step):
        for rank in range(case.world):
            for id_ in order.share(case.epoch, start, start + case.step, rank, case.world):
                owners.setdefault(int(id_) // case.block, set()).add(rank)
    assert all(len(ranks) == 1 for ranks in owners.values())


@LAWS
@given(cases())
def test_a_lane_needs_one_window_of_blocks_at_a_time(case: Case) -> None:
    order = WindowOrder(case.records, 5, case.block, case.window, 1)
    blocks = order.share(case.epoch, 0, case.records, 0, 1) // case.block
    last = {int(block): place for place, block in enumerate(blocks)}
    held: set[int] = set()
    for place, block in enumerate(blocks.tolist()):
        held.add(block)
        assert len(held) <= case.window
        if last[block] == place:
            held.discard(block)


def test_epochs_and_seeds_differ_and_a_window_mixes_its_blocks() -> None:
    orders = {
        tuple(WindowOrder(500, seed, 10, 4, 1).share(epoch, 0, 500, 0, 1))
        for seed in (1, 2)
        for epoch in (0, 1)
    }
    assert len(orders) == 4
    assert all(len({id_ // 10 for id_ in order[:40]}) == 4 for order in orders)
    assert all(len({id_ // 10 for id_ in order[:10]}) > 1 for order in orders)


def test_the_order_is_pinned() -> None:
    # A change here is a change of the format: a run that is resumed would see other samples.
    ids = WindowOrder(14, 1, 3, 2, 2).share(0, 0, 14, 0, 1)
    assert ids.tolist() == [13, 0, 12, 10, 5, 9, 3, 2, 4, 11, 7, 1, 8, 6]


def of_kind(kind: str, shards: ShardSet) -> FixedFetcher:
    """Return a source whose blocks are decoded by NumPy, or by compiled code."""
    assert isinstance(shards.layout, RecordLayout)
    compiled = kind == "compiled"
    if compiled and not has_core():
        pytest.skip("the compiled core is not built")
    return FixedFetcher(shards.files(), shards.layout, verify=True, compiled=compiled)


def images_for(ids: Any, dtype: str = "uint8") -> NDArray[Any]:
    return np.zeros((len(ids), 18), dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_floats_are_made_from_blocks(made: Made, kind: str) -> None:
    source = of_kind(kind, open_shards(made.glob))
    blocks = BlockFetcher(source, BlockGrid(37, 5), 4)
    images = images_for(range(37), "float32")
    blocks.fetch(np.arange(37), images)
    wanted = made.images.reshape(37, -1) / np.float32(255)
    assert images.tobytes() == wanted.tobytes()


@FIXTURE
@given(st.lists(st.integers(0, 36), min_size=1, max_size=60), st.integers(1, 40), st.integers(1, 5))
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_give_any_records_in_any_order(
    made: Made, kind: str, ids: list[int], block: int, held: int
) -> None:
    shards = open_shards(made.glob)
    source = of_kind(kind, shards)
    blocks = BlockFetcher(source, BlockGrid(len(shards), block), held)
    images = images_for(ids)
    for _ in range(2):
        integers = blocks.fetch(np.array(ids), images)
        assert (images.reshape(-1, 2, 3, 3) == made.images[ids]).all()
        assert (integers[:, :-1] == made.labels[ids]).all()
        assert (integers[:, -1] == made.rows[ids]).all()


class Slow:
    """A source that tells which blocks are read, and reads when it may."""

    def __init__(self, source: FixedFetcher) -> None:
        self._source = source
        self.read: list[int] = []
        self.may = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def block_memory(self, rows: int) -> Any:
        memory = self._source.block_memory(rows)
        fill = memory.fill

        def slow(row: int, first: int, count: int) -> None:
            self.read.append(first)
            assert self.may.wait(120)
            fill(row, first, count)

        memory.fill = slow  # type: ignore[method-assign]
        return memory


def test_what_is_wanted_is_read_first_and_pushed_out_by_nothing_that_is_prepared(
    made: Made,
) -> None:
    shards = open_shards(made.glob)
    source: Any = Slow(of_kind("numpy", shards))
    # Ten blocks of four records, of which five are held: two are read at once.
    blocks = BlockFetcher(source, BlockGrid(len(shards), 4), 5, threads=2)
    blocks.want(np.arange(0, 12))
    blocks.prepare(np.arange(12, 28))
    wait_until(lambda: len(source.read) == 2)
    time.sleep(0.1)
    assert set(source.read) <= {0, 4, 8}
    source.may.set()
    # Two more have room; the others would push out what is wanted.
    wait_until(lambda: len(source.read) == 5)
    time.sleep(0.1)
    assert sorted(source.read) == [0, 4, 8, 12, 16]
    images = images_for(range(12))
    blocks.fetch(np.arange(0, 12), images)
    assert (images.reshape(-1, 2, 3, 3) == made.images[:12]).all()
    assert len(source.read) == 5
    # Once others are wanted, those may go.
    blocks.want(np.arange(12, 20))
    blocks.fetch(np.arange(12, 20), images)
    blocks.prepare(np.arange(20, 37))
    wait_until(lambda: len(source.read) == 8)
    assert sorted(source.read)[5:] == [20, 24, 28]
    blocks.fetch(np.arange(12, 20), images)
    assert (images[:8].reshape(-1, 2, 3, 3) == made.images[12:20]).all()
    assert len(source.read) == 8


@FIXTURE
@given(data=st.data(), held=st.integers(1, 6), threads=st.integers(1, 4))
def test_wishes_change_nothing_that_is_fetched(
    made: Made, data: st.DataObject, held: int, threads: int
) -> None:
    """Whatever is wanted and prepared, by several threads at once."""
    shards = open_shards(made.glob)
    source = of_kind(KINDS[-1], shards)
    blocks = BlockFetcher(source, BlockGrid(len(shards), 4), held, threads)
    ids = st.lists(st.integers(0, 36), min_size=1, max_size=20)
    turns = data.draw(st.lists(st.tuples(ids, ids, ids), min_size=1, max_size=6))

    def work(number: int) -> bool:
        right = True
        for wanted, prepared, fetched in turns[number:] + turns[:number]:
            images = images_for(fetched)
            blocks.want(np.array(wanted))
            blocks.prepare(np.array(prepared))
            integers = blocks.fetch(np.array(fetched), images)
            right &= bool((images.reshape(-1, 2, 3, 3) == made.images[fetched]).all())
            right &= bool((integers[:, -1] == made.rows[fetched]).all())
        return right

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(work, range(3)))
    blocks.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_block_is_named_again_and_harms_no_other(made: Made, kind: str) -> None:
    path = made.shard(4)
    damaged = bytearray(path.read_bytes())
    damaged[5 * made.layout.stride + 40] ^= 1
    path.write_bytes(damaged)
    shards = open_shards(made.glob)
    source = of_kind(kind, shards)
    blocks = BlockFetcher(source, BlockGrid(len(shards), 4), 3)
    images = images_for(range(37))
    for _ in range(5):
        with pytest.raises(CorruptRecordError, match=f"{path}: record 5 at byte"):
            blocks.fetch(np.arange(37), images)
        blocks.fetch(np.arange(16), images)
        assert (images[:16].reshape(-1, 2, 3, 3) == made.images[:16]).all()


@pytest.mark.parametrize("world", [1, 2, 3])
def test_batches_of_all_workers_hold_the_records_of_the_order(made: Made, world: int) -> None:
    shards = open_shards(made.glob)
    by_row = {int(row): index for index, row in enumerate(made.rows)}
    options: dict[str, Any] = {"shuffle": "window", "block": 4, "window": 2, "rows": True}
    seen: list[int] = []
    for rank in range(world):
        for x, ys, rows in shards.batches(3, dtype="uint8", worker=(rank, world), **options):
            ids = [by_row[int(row)] for row in rows]
            assert np.array_equal(x, made.images[ids])
            assert np.array_equal(ys[1], made.labels[ids, 1])
            seen += ids
    assert len(seen) == len(set(seen)) == 37 // (3 * world) * 3 * world


@FIXTURE
@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3))
def test_a_state_goes_on_with_fewer_workers(made: Made, size: int, steps: int, more: int) -> None:
    shards = open_shards(made.glob)
    options: dict[str, Any] = {"shuffle": "window", "block": 3, "window": 2, "rows": True}
    whole = shards.batches(1, lanes=1, **options)
    two = [shards.batches(2 * size, worker=(rank, 2), **options) for rank in range(2)]
    seen: list[int] = []
    for _ in range(min(steps, len(two[0]))):
        seen += [int(row) for worker in two for row in next(worker)[2]]
    one = shards.batches(2 * (more + 1), **options)
    one.load_state_dict(two[0].state_dict())
    if 37 - len(seen) < 2 * (more + 1):
        return  # no batch is left of this pass: the next one begins
    rest = [int(row) for batch in one for row in batch[2]]
    everything = seen + rest
    assert len(set(everything)) == len(everything)
    assert 37 - len(everything) < 2 * (more + 1)
    assert len(list(whole)) == 37


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"block": 0}, "block must be at least 1"),
        ({"window": 0}, "window must be at least 1"),
        ({"lanes": 3, "worker": (0, 2)}, "multiple of the 2 workers"),
        ({"lanes": 3}, "divisor of the 4 records of a step"),
    ],
)
def test_a_wrong_option_is_named(made: Made, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        open_shards(made.glob).batches(4, shuffle="window", **options)
