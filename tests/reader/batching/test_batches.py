from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import open_shards
from reader.batching.options import Dtype, Shuffle
from shardio.errors import DatasetError, OptionError
from tests.reader.datasets import Made

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)


@FIXTURE
@given(
    batch_size=st.integers(1, 40),
    shuffle=st.sampled_from(["exact", "window", "none"]),
    drop=st.booleans(),
    dtype=st.sampled_from(["uint8", "float32"]),
    one_hot=st.booleans(),
    epochs=st.integers(1, 3),
    start=st.integers(0, 3),
)
def test_every_batch_holds_what_the_order_says(
    made: Made,
    batch_size: int,
    shuffle: Shuffle,
    drop: bool,
    dtype: Dtype,
    one_hot: bool,
    epochs: int,
    start: int,
) -> None:
    if drop and batch_size > 37:
        batch_size = 37
    by_row = {int(row): index for index, row in enumerate(made.rows)}
    batches = open_shards(made.glob).batches(
        batch_size,
        shuffle=shuffle,
        block=4,
        window=3,
        drop_remainder=drop,
        dtype=dtype,
        one_hot=one_hot,
        epochs=epochs,
        start_epoch=start,
        rows=True,
    )
    steps = 37 // batch_size if drop else -(-37 // batch_size)
    assert len(batches) == steps
    seen: list[int] = []
    sizes: list[int] = []
    for x, ys, rows in batches:
        ids = [by_row[int(row)] for row in rows]
        seen += ids
        sizes.append(len(ids))
        expected: NDArray[Any] = made.images[ids]
        if dtype == "float32":
            expected = expected / np.float32(255)
        assert x.dtype == np.dtype(dtype)
        assert np.array_equal(x, expected)
        for head, y in enumerate(ys):
            labels = made.labels[ids, head]
            if one_hot:
                assert y.dtype == np.float32
                assert np.array_equal(y, np.eye((7, 30)[head], dtype=np.float32)[labels])
            else:
                assert y.dtype == np.int32
                assert np.array_equal(y, labels)
    assert len(sizes) == steps * epochs
    per_epoch = 37 // batch_size * batch_size if drop else 37
    for epoch in range(epochs):
        part = seen[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert len(set(part)) == per_epoch
        if shuffle == "none":
            assert part == list(range(per_epoch))


def test_epochs_have_different_orders_and_start_epoch_goes_on_with_them(made: Made) -> None:
    shards = open_shards(made.glob)

    def rows(**options: Any) -> list[int]:
        batches = shards.batches(5, rows=True, **options)
        return [int(row) for batch in batches for row in batch[2]]

    three = rows(epochs=3)
    assert three[:35] != three[35:70] != three[70:]
    assert rows(start_epoch=1, epochs=2) == three[35:]
    assert rows(seed=2) != three[:35]
    assert rows() == three[:35]


def test_an_endless_stream_goes_on(made: Made) -> None:
    with open_shards(made.glob).batches(37, epochs=None) as batches:
        orders = [tuple(next(batches)[1][1]) for _ in range(10)]
    assert len(set(orders)) == 10


def test_batches_that_are_kept_are_never_overwritten(made: Made) -> None:
    for dtype in ("uint8", "float32"):
        shards = open_shards(made.glob)
        kept = list(shards.batches(3, dtype=dtype, epochs=9, shuffle="none"))
        for number, batch in enumerate(kept):
            first = number % 12 * 3
            expected: NDArray[Any] = made.images[first : first + 3]
            if dtype == "float32":
                expected = expected / np.float32(255)
            assert np.array_equal(batch[0], expected)


def test_a_batch_may_be_changed_without_harm(made: Made) -> None:
    shards = open_shards(made.glob)
    for batch in shards.batches(37, dtype="uint8", epochs=8, shuffle="none"):
        assert np.array_equal(batch[0], made.images)
        batch[0][:] = 0


def test_memory_is_used_again(made: Made) -> None:
    batches = open_shards(made.glob).batches(4, epochs=20)
    addresses = {batch[0].ctypes.data for batch in batches}
    assert len(addresses) <= 6


def stream_threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if t.name.startswith("shardio-batches")}


@pytest.mark.parametrize("how", ["close", "forget", "end", "with"])
def test_the_thread_ends_with_the_iterator(made: Made, how: str) -> None:
    before = stream_threads()
    # One-hot labels are made by a thread; all else here is begun by the caller.
    batches = open_shards(made.glob).batches(1, epochs=1 if how == "end" else None, one_hot=True)
    next(batches)
    (thread,) = stream_threads() - before
    if how == "close":
        batches.close()
        assert list(batches) == []
    elif how == "end":
        assert len(list(batches)) == 36
    elif how == "with":
        with batches:
            next(batches)
        assert list(batches) == []
    else:
        del batches
    thread.join(120)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 38}, "37 records, not one batch of 38"),
        ({"shuffle": "random"}, "shuffle must be one of 'exact', 'window', 'none'"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"start_epoch": -1}, "start_epoch"),
        ({"seed": 1.0}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be 0"),
        ({"batch_size": 4.0}, "batch_size must be a whole number"),
        ({"worker": 3}, "worker must be"),
        ({"dtype": "float64"}, "dtype must be one of"),
    ],
)
def test_a_wrong_option_is_named(made: Made, options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        open_shards(made.glob).batches(**options)


def test_an_option_that_is_not_there_is_named(made: Made) -> None:
    shards = open_shards(made.glob)
    with pytest.raises(TypeError, match=r"no option 'batchsize'; did you mean batch_size\?"):
        shards.batches(batchsize=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"no option 'foo'; it has batch_size, .*seed"):
        shards.batches(4, foo=1)  # type: ignore[call-arg]


def test_what_is_no_state_is_refused(made: Made) -> None:
    stream = open_shards(made.glob).batches(4)
    states: list[Any] = [None, 3, {}]
    for state in states:
        with pytest.raises(OptionError, match="state"):
            stream.load_state_dict(state)


def test_numbers_of_numpy_count_as_python_s_own(made: Made) -> None:
    shards = open_shards(made.glob)
    stream = shards.batches(np.uint8(4), seed=np.int64(3), start_epoch=np.int32(1))  # type: ignore[arg-type]
    assert all(type(value) in (int, str) for value in stream.state_dict().values())


def test_a_stream_serves_several_threads(made: Made) -> None:
    batches = open_shards(made.glob).batches(1, epochs=20, rows=True)
    seen: list[int] = []

    def take() -> None:
        # Not by `for`: in a thread that begins late it would begin the next pass.
        while (batch := next(batches, None)) is not None:
            seen.append(int(batch[2][0]))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(seen) == sorted(list(range(37)) * 20)


def test_a_forked_child_goes_on_by_itself(made: Made) -> None:
    script = """
import os, sys
from reader import open_shards
batches = open_shards(sys.argv[1]).batches(1, rows=True)
whole = [int(b[2][0]) for b in open_shards(sys.argv[1]).batches(1, rows=True)]
seen = [int(next(batches)[2][0]) for _ in range(5)]
child = os.fork()
rest = [int(b[2][0]) for b in batches]
assert seen + rest == whole
if child:
    assert os.waitpid(child, 0)[1] == 0
else:
    os._exit(0)
"""
    command = [sys.executable, "-c", script, made.glob]
    subprocess.run(command, check=True, timeout=300)


def test_one_hot_without_the_number_of_classes_is_refused(made: Made) -> None:
    (made.folder / "dataset.json").unlink()
    shards = open_shards(made.glob, shape=(2, 3, 3))
    with pytest.raises(OptionError, match="number of classes of y0, y1"):
        shards.batches(4, one_hot=True)
    wrong = open_shards(made.glob, shape=(2, 3, 3), classes=(7, 3))
    with pytest.raises(DatasetError, match=r"label y1 is .* but it has 3 classes"):
        list(wrong.batches(37, one_hot=True))


def test_records_are_found_by_number(made: Made) -> None:
    shards = open_shards(made.glob)
    image, labels = shards[-1]
    assert image.dtype == np.uint8
    assert (image == made.images[36]).all()
    assert labels == made.labels[36].tolist()
    for index in (37, -38):
        with pytest.raises(IndexError):
            shards[index]


@pytest.mark.parametrize("dtype", [np.uint8, np.dtype("uint8"), "uint8"])
def test_dtypes_may_be_those_of_numpy_and_flags_are_flags(made: Made, dtype: Any) -> None:
    assert next(open_shards(made.glob).batches(4, dtype=dtype))[0].dtype == np.uint8
    for name in ("one_hot", "drop_remainder", "pad", "rows", "as_dict", "verify"):
        untyped: Any = {name: "no"}
        with pytest.raises(OptionError, match=f"{name} must be True or False, not 'no'"):
            open_shards(made.glob).batches(4, **untyped)
