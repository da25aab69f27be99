from __future__ import annotations

import os
import warnings
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.batching.options import Shuffle
from reader.fetch.skipped import SkippedRecordWarning
from shardio.errors import CorruptRecordError, DatasetError, OptionError
from tests.reader.datasets import Made

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)
STARTS = (0, 5, 5, 13, 14)


def damage(made: Made, shard: int, record: int, byte: int = 60) -> None:
    path = made.shard(shard)
    data = bytearray(path.read_bytes())
    data[record * made.layout.stride + byte] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_damaged_records_are_counted_named_and_replaced(made: Made, shuffle: Shuffle) -> None:
    bad = [(0, 0), (2, 7), (4, 5), (4, 22)]
    for shard, record in bad:
        damage(made, shard, record)
    ids = {STARTS[shard] + record for shard, record in bad}
    by_row = {int(row): index for index, row in enumerate(made.rows)}
    options: dict[str, Any] = {"shuffle": shuffle, "rows": True, "drop_remainder": False}
    if shuffle == "window":
        options |= {"block": 6, "window": 2}
    options |= {"on_error": "skip", "max_skipped": 4}
    batches = open_shards(made.glob).batches(8, dtype="uint8", **options)
    seen: list[int] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for x, ys, rows in batches:
            at = [by_row[int(row)] for row in rows]
            assert np.array_equal(x, made.images[at])
            assert np.array_equal(ys[1], made.labels[at, 1])
            seen += at
    assert len(seen) == 37
    assert set(seen) == set(range(37)) - ids
    assert batches.skipped == 4
    texts = [str(w.message) for w in caught if w.category is SkippedRecordWarning]
    for shard, record in bad:
        assert sum(f"{made.shard(shard)}: record {record} at byte" in text for text in texts) == 1


@FIXTURE
@given(st.sets(st.integers(0, 36), min_size=1, max_size=36), st.integers(1, 37))
def test_the_other_records_of_a_batch_are_untouched(made: Made, bad: set[int], size: int) -> None:
    whole = [made.shard(index).read_bytes() for index in range(5)]
    try:
        for id_ in bad:
            shard = max(s for s in (0, 2, 3, 4) if STARTS[s] <= id_)
            damage(made, shard, id_ - STARTS[shard])
        batches = open_shards(made.glob).batches(
            size,
            shuffle="none",
            dtype="uint8",
            on_error="skip",
            max_skipped=1.0,
            drop_remainder=False,
            rows=True,
        )
        by_row = {int(row): index for index, row in enumerate(made.rows)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = 0
            for x, ys, rows in batches:
                found = [by_row[int(row)] for row in rows]
                assert np.array_equal(x, made.images[found])
                assert np.array_equal(ys[0], made.labels[found, 0])
                ids = range(start, start + len(x))
                good = [i for i in ids if i not in bad]
                assert [found[i - start] for i in good] == good
                others = Counter(found[i - start] for i in ids if i in bad)
                # Those of the batch, and where it has none, others that are whole.
                assert others.keys() <= ({*good} or {*range(37)} - bad)
                # No record takes more than its share of the places.
                assert max(others.values(), default=0) <= 1 + sum(others.values()) // max(
                    1, len(good) or len(others)
                )
                start += len(x)
            assert start == 37
    finally:
        for index, data in enumerate(whole):
            made.shard(index).write_bytes(data)


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_a_set_without_a_whole_record_is_an_error(made: Made, shuffle: Shuffle) -> None:
    for shard, count in ((0, 5), (2, 8), (3, 1), (4, 23)):
        for record in range(count):
            damage(made, shard, record)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CorruptRecordError):
            list(
                open_shards(made.glob).batches(8, shuffle=shuffle, on_error="skip", max_skipped=1.0)
            )


@pytest.mark.parametrize(
    ("most", "ends"), [(0.01, True), (2, True), (0.08, True), (3, False), (0.09, False)]
)
@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_more_damage_than_allowed_ends_the_run_with_the_places(
    made: Made, shuffle: Shuffle, most: float, ends: bool
) -> None:
    bad = [(0, 4), (2, 7), (4, 5)]
    for shard, record in bad:
        damage(made, shard, record)
    batches = open_shards(made.glob).batches(
        4, shuffle=shuffle, on_error="skip", max_skipped=most, epochs=3, drop_remainder=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not ends:  # each epoch counts for itself
            assert len(list(batches)) == 30
            return
        with pytest.raises(CorruptRecordError, match=r"max_skipped allows [012]:") as caught:
            list(batches)
    named = [f"{made.shard(shard)}: record {record} at byte" in str(caught.value)
             for shard, record in bad]  # fmt: skip
    # A share of 1 % of 37 records allows none: the first batch with a damaged one ends the run.
    assert sum(named) >= 1 if most == 0.01 else all(named)
    assert "epoch 0" in str(caught.value)


def test_the_limit_is_that_of_all_four_faces(made: Made) -> None:
    damage(made, 4, 5)
    options: dict[str, Any] = {"on_error": "skip", "shuffle": "none"}
    options |= {"drop_remainder": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for face in ("batches", "to_torch", "to_keras", "to_tf_dataset"):
            if face == "to_torch":
                pytest.importorskip("torch", reason="PyTorch is not installed")
            make = getattr(open_shards(made.glob), face)
            assert len(list(make(8, max_skipped=1, **options))) == 5
            error: type[Exception] = CorruptRecordError
            if face == "to_tf_dataset":
                error = pytest.importorskip("tensorflow").errors.UnknownError
            with pytest.raises(error, match=r"max_skipped allows 0: .*: record 5 at byte"):
                list(make(8, **options))


def test_a_limit_that_is_none_is_refused(made: Made) -> None:
    wrong: list[Any] = [-1, 1.5, -0.1, "1%", True, None, float("nan")]
    for most in wrong:
        with pytest.raises(OptionError, match="max_skipped must be a number of records"):
            open_shards(made.glob).batches(5, on_error="skip", max_skipped=most)


def test_skipping_needs_the_checksums(made: Made) -> None:
    with pytest.raises(OptionError, match="verify=True"):
        open_shards(made.glob).batches(5, on_error="skip", verify=False)
    with pytest.raises(OptionError, match="on_error must be one of 'raise', 'skip'"):
        open_shards(made.glob).batches(5, on_error="ignore")  # type: ignore[arg-type]


def test_a_replaced_shard_is_no_damage_that_is_skipped(made: Made, tmp_path: Path) -> None:
    from tests.reader.datasets import write_dataset

    other = write_dataset(tmp_path / "other", seed=5)
    made.shard(4).write_bytes(other.shard(4).read_bytes())
    with pytest.raises(DatasetError, match=r"not the shard that dataset\.json describes"):
        list(open_shards(made.glob).batches(5, on_error="skip"))


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_a_shard_that_is_replaced_between_epochs_is_noticed(made: Made, shuffle: Shuffle) -> None:
    shards = open_shards(made.glob)
    # A window that does not hold the whole set, or nothing would have to be read again.
    small: dict[str, Any] = {"block": 2, "window": 2} if shuffle == "window" else {}
    batches = shards.batches(5, epochs=None, shuffle=shuffle, **small)
    for _ in range(7):
        next(batches)
    path = made.shard(4)
    copy = path.with_suffix(".copy")
    copy.write_bytes(path.read_bytes())
    os.replace(copy, path)
    with pytest.raises(DatasetError, match=f"{path} was replaced or written to since"):
        list(islice(batches, 30))
