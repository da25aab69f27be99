"""A part of a set does all that a set does, and holds just the records that NumPy would choose."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.sets import kept_array
from reader.sets.choice import ListChoice, RangeChoice
from shardio.errors import CorruptRecordError, DatasetError, OptionError
from tests.reader.datasets import Made, write_dataset

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)
COUNTS = (5, 0, 8, 1, 23)
TOTAL = sum(COUNTS)
Index = slice | NDArray[Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_dataset(tmp_path_factory.mktemp("subset") / "set", COUNTS)


def slices() -> st.SearchStrategy[slice]:
    place = st.none() | st.integers(-50, 50)
    return st.builds(slice, place, place, st.none() | st.integers(-5, 5).filter(bool))


def indexes(count: int) -> st.SearchStrategy[Index]:
    """What chooses some of `count` records."""
    masks = st.lists(st.booleans(), min_size=count, max_size=count)
    numbers = st.lists(st.integers(0, max(0, count - 1)), unique=True, max_size=count)
    return st.one_of(
        slices(),
        masks.map(lambda mask: np.array(mask, dtype=np.bool_)),
        numbers.map(lambda chosen: np.array(chosen, dtype=np.int64)),
    )


def rows_of(shards: ShardSet, **options: Any) -> list[int]:
    options = {"batch_size": 4, "rows": True, "drop_remainder": False, **options}
    return [int(row) for batch in shards.batches(**options) for row in batch[2]]


@FIXTURE
@given(data=st.data())
def test_a_part_of_a_part_is_what_numpy_has(made: Made, small: bool, data: st.DataObject) -> None:
    wanted, shards = np.arange(TOTAL), open_shards(made.glob)
    for _ in range(data.draw(st.integers(1, 3))):
        index = data.draw(indexes(len(wanted)))
        if len(wanted) == 0 and not isinstance(index, slice):
            index = slice(None)
        wanted, shards = wanted[index], shards[index]
    assert len(shards) == len(wanted)
    for number in range(-len(wanted), len(wanted)):
        image, labels = shards[number]
        assert np.array_equal(image, made.images[wanted[number]])
        assert labels == made.labels[wanted[number]].tolist()
    for number in (len(wanted), -len(wanted) - 1):
        with pytest.raises(IndexError, match=f"record {number} of {len(wanted)}"):
            shards[number]
    assert pickle.loads(pickle.dumps(shards)).fingerprint == shards.fingerprint
    arrays = shards.labels_array()
    assert np.array_equal(arrays["y1"], made.labels[wanted, 1])
    assert np.array_equal(arrays["row"], made.rows[wanted])
    if len(wanted):
        assert rows_of(shards, shuffle="none") == made.rows[wanted].tolist()


def parts(made: Made) -> dict[str, Callable[[ShardSet], ShardSet]]:
    return {
        "range": lambda shards: shards[2:35:2],
        "backwards": lambda shards: shards[::-3],
        "list": lambda shards: shards[np.random.default_rng(3).permutation(TOTAL)[:20]],
        "where": lambda shards: shards.where(lambda labels: labels["y1"] % 3 != 0),
        "one": lambda shards: shards[[7]],
    }


ORDERS: dict[str, dict[str, Any]] = {
    "exact": {"shuffle": "exact"},
    "none": {"shuffle": "none"},
    "window": {"shuffle": "window", "block": 3, "window": 2, "lanes": 4},
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("part", ["range", "backwards", "list", "where", "one"])
def test_every_epoch_has_each_record_once(made: Made, small: bool, part: str, order: str) -> None:
    shards = parts(made)[part](open_shards(made.glob))
    wanted = sorted(shards.labels_array()["row"].tolist())
    for epoch in range(3):
        assert sorted(rows_of(shards, start_epoch=epoch, **ORDERS[order])) == wanted
    for image, labels, rows in shards.batches(
        4, dtype="uint8", rows=True, drop_remainder=False, **ORDERS[order]
    ):
        for pixels, label, row in zip(image, labels[0], rows, strict=True):
            place = int(np.flatnonzero(made.rows == row)[0])
            assert np.array_equal(pixels, made.images[place])
            assert label == made.labels[place, 0]


@FIXTURE
@given(
    part=st.sampled_from(["range", "backwards", "list", "where"]),
    order=st.sampled_from(["exact", "none", "window"]),
    before=st.integers(1, 3).map(lambda n: 4 * n),
    after=st.integers(1, 3).map(lambda n: 4 * n),
    steps=st.integers(0, 6),
    world=st.sampled_from([1, 2, 4]),
)
def test_restored_at_any_step_with_another_batch_size_and_world(
    made: Made, part: str, order: str, before: int, after: int, steps: int, world: int
) -> None:
    shards = parts(made)[part](open_shards(made.glob))
    options = {"rows": True, "epochs": None, **ORDERS[order]}
    first = shards.batches(before, **options)
    seen = [int(row) for _ in range(steps) for row in next(first)[2]]
    state = json.loads(json.dumps(first.state_dict()))
    if after * world > len(shards):
        return
    workers = [shards.batches(after, worker=(rank, world), **options) for rank in range(world)]
    for worker in workers:
        worker.load_state_dict(state)
    left = len(shards) - state["samples"]
    rest: list[int] = []
    for _ in range(left // (after * world)):
        given = [next(worker)[2].tolist() for worker in workers]
        if order == "window":
            lanes = np.concatenate([np.reshape(rows, (-1, 4 // world)) for rows in given], axis=1)
            rest += lanes.ravel().tolist()
        else:
            rest += [row for rows in given for row in rows]
    epoch = rows_of(shards, start_epoch=state["epoch"], **ORDERS[order])
    now = epoch[state["samples"] : state["samples"] + len(rest)]
    # In the tail of the window order workers take slices.
    assert sorted(rest) == sorted(now) if order == "window" else rest == now
    assert len(set(rest)) == len(rest)
    assert {*seen[len(seen) - state["samples"] :]}.isdisjoint(rest)


def test_a_state_of_another_part_is_refused(made: Made) -> None:
    shards = open_shards(made.glob)
    state = shards[:20].batches(4).state_dict()
    for other in (shards, shards[:21], shards[1:21], shards[[*range(19), 20]]):
        with pytest.raises(DatasetError, match="another set of shards"):
            other.batches(4).load_state_dict(state)
    shards[:20].batches(4).load_state_dict(state)
    assert shards[:].fingerprint == shards.fingerprint == shards[np.arange(TOTAL)].fingerprint


@pytest.mark.parametrize(
    ("index", "error", "words"),
    [
        ([37], IndexError, "record 37 of 37"),
        ([0, -38], IndexError, "record -38 of 37"),
        ([1, 2, 1], OptionError, "record 1 is chosen twice"),
        ([1, -36], OptionError, "record 1 is chosen twice"),
        ([True, False], OptionError, "the mask has 2 values, and the set 37 records"),
        ([1.0], OptionError, "whole numbers or a mask, not by float64"),
        ("y0", OptionError, "not by str"),
        ([[1, 2]], OptionError, "of one dimension"),
        ([[1], [2, 3]], OptionError, "a list of numbers or a mask"),
        (True, OptionError, "not by True or False"),
        (None, OptionError, "not by NoneType"),
        (np.array([2**64 - 1], dtype=np.uint64), IndexError, f"record {2**64 - 1} of 37"),
    ],
)
def test_what_is_no_index_is_refused(
    made: Made, index: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_shards(made.glob)[index]


def test_ranges_stay_ranges(made: Made) -> None:
    shards = open_shards(made.glob)
    assert shards[[2, 4, 6]].choice == RangeChoice(2, 3, 2)
    assert shards[np.arange(37) % 2 == 1].choice == RangeChoice(1, 18, 2)
    assert shards[5:].where(lambda labels: labels["row"] >= 0).choice == RangeChoice(5, 32, 1)


def test_damage_is_named_and_replaced_within_the_part(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set", COUNTS)
    data = bytearray(made.shard(2).read_bytes())
    data[3 * made.layout.stride + 40] ^= 1
    made.shard(2).write_bytes(data)
    part = open_shards(made.glob)[1::7]  # 1, 8, ...: the damaged one is record 8
    with pytest.raises(CorruptRecordError, match=rf"{made.shard(2)}: record 3 at byte"):
        part[1]
    with pytest.raises(CorruptRecordError, match=rf"{made.shard(2)}: record 3 at byte"):
        rows_of(part)
    inside = {*made.rows[1::7].tolist()} - {int(made.rows[8])}
    for size in (1, 3):
        with pytest.warns(UserWarning, match="record 3"):
            rows = rows_of(part, batch_size=size, on_error="skip", max_skipped=1)
        assert len(rows) == len(part)
        assert {*rows} <= inside


def test_labels_out_of_range_are_named_by_their_place(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set", COUNTS)
    (made.folder / "dataset.json").unlink()
    shards = open_shards(made.glob, shape=(2, 3, 3), classes=(7, int(made.labels[30, 1])))
    with pytest.raises(DatasetError, match=rf"{made.shard(4)}: record 16: label y1 is"):
        shards[30:][0]


def test_a_part_keeps_the_rest_of_a_set(made: Made) -> None:
    shards = open_shards(made.glob)
    part = shards[3:9]
    assert repr(part).startswith("<ShardSet of 6 records of 37 in 5 shards, 2x3x3")
    assert part.splits == {"train": 6}
    assert len(shards[9:3]) == 0
    with pytest.raises(OptionError, match="the set has 0 records, not one batch"):
        shards[9:3].batches(1)


def test_a_file_of_other_records_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_array, "SMALL_BYTES", 0)
    made = write_dataset(tmp_path / "set", (30,))
    part = open_shards(made.folder)[[7, 2, 19, 4]]
    assert isinstance(part.choice, ListChoice)
    assert part.choice.kept.path is not None
    path = Path(part.choice.kept.path)
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.unlink()  # another file, as a process finds it that has not compared this one
    path.write_bytes(data + b"")
    kept_array._compared.clear()
    with pytest.raises(DatasetError, match="SHA-256 differs"):
        next(pickle.loads(pickle.dumps(part)).batches(2))
