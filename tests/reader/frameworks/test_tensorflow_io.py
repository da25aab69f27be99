from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from reader import ShardSet, open_shards
from reader.batching.batch_maker import BatchMaker
from shardio.errors import OptionError
from tests.collected import collect
from tests.converter.inputs import wait_until
from tests.reader.datasets import Made


def orders(batches: Any) -> list[int]:
    return [int(row) for *_, rows in batches for row in rows]


def test_elements_are_those_of_the_numpy_batches(made: Made) -> None:
    shards = open_shards(made.glob)
    for options in ({}, {"dtype": "uint8"}, {"one_hot": True, "drop_remainder": False}):
        ours = list(shards.batches(5, seed=3, rows=True, **options))
        theirs = list(shards.to_tf_dataset(5, seed=3, rows=True, **options))
        assert len(ours) == len(theirs)
        for (x, ys, rows), (tx, tys, _, trows) in zip(ours, theirs, strict=True):
            assert tx.dtype == x.dtype
            assert np.array_equal(tx, x)
            assert isinstance(tys, tuple)
            for y, ty in zip(ys, tys, strict=True):
                assert ty.dtype == y.dtype
                assert np.array_equal(ty, y)
            assert np.array_equal(trows, rows)


def test_the_shapes_are_known_to_a_graph(made: Made) -> None:
    shards = open_shards(made.glob)
    x, ys = shards.to_tf_dataset(5, one_hot=True).element_spec
    assert x == tf.TensorSpec((5, 2, 3, 3), tf.float32)
    assert ys == (tf.TensorSpec((5, 7), tf.float32), tf.TensorSpec((5, 30), tf.float32))
    x, ys = shards.to_tf_dataset(5, drop_remainder=False, dtype="uint8").element_spec
    assert x == tf.TensorSpec((None, 2, 3, 3), tf.uint8)
    assert ys == (tf.TensorSpec((None,), tf.int32),) * 2


def test_the_cardinality_is_known(made: Made) -> None:
    shards = open_shards(made.glob)
    assert len(shards.to_tf_dataset(5)) == 7
    assert len(shards.to_tf_dataset(5, drop_remainder=False)) == 8
    assert len(shards.to_tf_dataset(5, epochs=3)) == 21
    endless = shards.to_tf_dataset(5, epochs=None)
    assert endless.cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(list(endless.take(20))) == 20


def test_each_pass_is_the_next_epoch(made: Made) -> None:
    shards = open_shards(made.glob)
    epochs = orders(shards.batches(5, rows=True, epochs=4))
    dataset = shards.to_tf_dataset(5, rows=True)
    assert orders(dataset) == epochs[:35]
    assert orders(dataset) == epochs[35:70]
    assert orders(shards.to_tf_dataset(5, rows=True).repeat(4)) == epochs
    assert orders(shards.to_tf_dataset(5, rows=True, epochs=4)) == epochs
    assert orders(shards.to_tf_dataset(5, rows=True, start_epoch=2, epochs=2)) == epochs[70:]
    endless = shards.to_tf_dataset(5, rows=True, epochs=None).take(28)
    assert orders(endless) == epochs


def test_a_forgotten_dataset_gives_back_its_memory(made: Made) -> None:
    def makers() -> list[BatchMaker]:
        collect()
        return [found for found in gc.get_objects() if type(found) is BatchMaker]

    # Those of other tests in this process: TensorFlow keeps what a strategy has traced.
    others = makers()
    shards = open_shards(made.glob)
    for _ in range(3):
        assert len(list(shards.to_tf_dataset(5).take(2))) == 2

    def are_gone() -> bool:
        return all(any(found is other for other in others) for found in makers())

    # A thread of TensorFlow may be making a batch that nobody waits for any more.
    wait_until(are_gone)


def test_a_dataset_that_is_forgotten_while_it_is_read_leaves_nothing(made: Made) -> None:
    """Its threads go on for a moment, and made a new reader, which was never freed."""
    shards = open_shards(made.glob)

    def makers() -> int:
        collect()
        return sum(type(found) is BatchMaker for found in gc.get_objects())

    before = makers()
    for _ in range(40):
        for _batch in shards.to_tf_dataset(1, epochs=None):
            break
    wait_until(lambda: makers() <= before)


def test_forgotten_datasets_leave_no_maps(made: Made) -> None:
    def maps() -> int:
        collect()
        return Path("/proc/self/maps").read_text().count(str(made.folder))

    shards = open_shards(made.glob)
    for endless in (False, True):
        for _ in range(2):
            opened = open_shards(made.glob)
            batches = opened.to_tf_dataset(5, epochs=None if endless else 1)
            for _ in batches.take(3):
                pass
            if not endless:
                assert len(list(batches)) == 7
            assert maps() > 0
            del opened, batches
        wait_until(lambda: maps() == 0)
    assert len(list(shards.to_tf_dataset(5))) == 7


def test_a_dataset_within_a_graph_reads_on(made: Made) -> None:
    shards = open_shards(made.glob)

    @tf.function  # type: ignore[untyped-decorator]
    def total() -> Any:
        count = 0
        for x, _ in shards.to_tf_dataset(5):
            count += tf.shape(x)[0]
        return count

    assert int(total()) == 35


@pytest.mark.jobs
def test_the_process_ends_with_an_iterator_open(made: Made) -> None:
    script = """
import sys
from reader import open_shards
batches = iter(open_shards(sys.argv[1]).to_tf_dataset(1, epochs=None))
next(batches)
"""
    for _ in range(2):
        command = [sys.executable, "-c", script, made.glob]
        subprocess.run(command, check=True, timeout=300, capture_output=True)


def test_rows_are_not_for_keras(made: Made) -> None:
    with pytest.raises(OptionError, match="rows=True is not for Keras"):
        open_shards(made.glob).to_keras(5, rows=True)


def test_an_error_keeps_its_words(made: Made) -> None:
    path = made.shard(4)
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(tf.errors.OpError, match=f"CorruptRecordError: {path}: record 22 at"):
        list(open_shards(made.glob).to_tf_dataset(5))


class Watched(keras.Model):  # type: ignore[misc]
    """Keeps the labels of the second head, whose 30 classes tell batches apart."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.heads = [keras.layers.Dense(c, activation="softmax") for c in (7, 30)]
        self.seen: list[list[int]] = []

    def call(self, x: Any) -> Any:
        return tuple(head(self.flat(x)) for head in self.heads)

    def train_step(self, data: Any) -> Any:
        self.seen.append(data[1][1].numpy().tolist())
        return super().train_step(data)


def watched(built: bool) -> Watched:
    """Make a model; one that is not built has `fit` look at a batch to find the shapes."""
    model = Watched()
    if built:
        model(np.zeros((1, 2, 3, 3), dtype=np.float32))
    model.compile("sgd", loss=["sparse_categorical_crossentropy"] * 2, run_eagerly=True)
    return model


def labels(shards: ShardSet, epochs: int) -> list[list[int]]:
    return [batch[1][1].tolist() for batch in shards.batches(5, epochs=epochs)]


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("kind", ["to_tf_dataset", "to_keras"])
def test_fit_sees_every_batch_of_every_epoch_once(made: Made, kind: str, built: bool) -> None:
    shards = open_shards(made.glob)
    model = watched(built)
    model.fit(getattr(shards, kind)(5), epochs=2, shuffle=False, verbose=0)
    assert model.seen == labels(shards, 2)
    assert model.seen[:7] != model.seen[7:]


@pytest.mark.filterwarnings("ignore:the evaluation leaves out:UserWarning")
def test_fit_again_goes_on_with_the_next_epoch(made: Made) -> None:
    shards = open_shards(made.glob)
    model = watched(True)
    batches = shards.to_keras(5)
    for _ in range(3):
        model.fit(batches, epochs=1, shuffle=False, verbose=0, validation_data=batches)
    epochs = labels(shards, 5)
    # The validation is a pass of its own each time.
    assert model.seen == epochs[:7] + epochs[14:21] + epochs[28:]


def test_keras_items_follow_the_users_own_loop(made: Made) -> None:
    shards = open_shards(made.glob)
    batches = shards.to_keras(5, one_hot=True)
    assert len(batches) == 7
    x, ys = batches[0]
    assert x.shape == (5, 2, 3, 3)
    assert x.dtype == np.float32
    assert isinstance(ys, tuple)
    assert [y.shape for y in ys] == [(5, 7), (5, 30)]
    epochs = [batch[0] for batch in shards.batches(5, epochs=3)]
    for epoch in range(3):
        for index in range(7):
            assert np.array_equal(batches[index][0], epochs[epoch * 7 + index])
        batches.on_epoch_end()
    with pytest.raises(IndexError):
        batches[7]


def test_one_look_and_the_end_of_an_epoch_change_the_order(made: Made) -> None:
    batches = open_shards(made.glob).to_keras(5)
    first = batches[0][0].copy()
    batches.on_epoch_end()
    assert not np.array_equal(batches[0][0], first)


def test_keras_gives_what_the_generator_of_images_gave(made: Made) -> None:
    # The stored order stands for the generator's own; values and types are compared.
    batches = open_shards(made.glob).to_keras(5, one_hot=True, shuffle="none")
    for index in range(len(batches)):
        at = slice(5 * index, 5 * index + 5)
        x, ys = batches[index]
        assert np.array_equal(x, (made.images[at] / 255.0).astype(np.float32))
        for head, y in enumerate(ys):
            assert np.array_equal(
                y, keras.utils.to_categorical(made.labels[at, head], (7, 30)[head])
            )
