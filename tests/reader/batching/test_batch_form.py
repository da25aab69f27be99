"""The parts of a batch are the same in all four faces, in the form that each one's callers take."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from reader import ShardSet, open_shards
from shardio.errors import OptionError
from tests.reader.datasets import write_dataset
from tests.reader.foreign_files import example, write_records

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

NAMES = ("zeta", "alpha")


@pytest.fixture(scope="module", params=[0, 1, 2], ids=lambda heads: f"{heads} heads")
def shards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    folder = tmp_path_factory.mktemp("shards")
    return open_shards(write_dataset(folder, heads=request.param, names=NAMES).glob)


def numpy(batch: Any) -> Any:
    """Turn tensors into arrays, whatever holds them."""
    if isinstance(batch, dict):
        return {name: numpy(part) for name, part in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(numpy(part) for part in batch)
    return np.asarray(batch)


def same(found: Any, wanted: Any) -> bool:
    """Whether the containers and all the arrays in them are equal."""
    if isinstance(wanted, np.ndarray):
        return isinstance(found, np.ndarray) and np.array_equal(found, wanted)
    if type(found) is not type(wanted) or len(found) != len(wanted):
        return False
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(same(found[k], wanted[k]) for k in wanted)
    return all(map(same, found, wanted))


def wanted_batches(shards: ShardSet, pad: bool) -> Iterator[tuple[Any, ...]]:
    """Yield images, labels, weights and rows of the batches of 8, by what the records hold."""
    numbers = np.arange(40 if pad else 32)
    for ids in numbers.reshape(-1, 8):
        real = ids < len(shards)
        records = [shards[int(i)] for i in ids[real]]
        x = np.zeros((8, *shards.shape), dtype=np.uint8)
        x[real] = [record[0] for record in records]
        ys = np.zeros((len(shards.labels), 8), dtype=np.int64)
        if len(shards.labels) > 1:
            ys[:, real] = np.array([record[1] for record in records]).T
        elif shards.labels:
            ys[0, real] = [record[1] for record in records]
        yield x, list(ys), real * np.float32(40 / 37), ids


@pytest.mark.parametrize("as_dict", [False, True])
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("pad", [False, True])
def test_all_faces_give_the_same_parts_each_in_its_form(
    shards: ShardSet, pad: bool, rows: bool, as_dict: bool
) -> None:
    options: dict[str, Any] = {"pad": pad, "rows": rows, "as_dict": as_dict}
    options |= {"shuffle": "none", "dtype": "uint8"}
    row_of = np.concatenate([batch[-1] for batch in shards.batches(1, rows=True, shuffle="none")])
    row_of = np.append(row_of, [-1] * 3)
    heads = len(shards.labels)
    arrays: list[Any] = []
    pairs: list[Any] = []
    for x, ys, weights, ids in wanted_batches(shards, pad):
        names = dict(zip(NAMES, ys, strict=False))
        after = [weights] * pad + [row_of[ids]] * rows
        # Keras takes a third element for weights, so that rows are always the fourth.
        ones = [np.ones(8, dtype=np.float32)] * (rows and not pad)
        if as_dict:
            more = dict(zip(["weight"] * pad + ["row"] * rows, after, strict=True))
            arrays.append({"image": x, **names, **more})
            pairs.append((x, names, *ones, *after))
        elif not heads and not after:
            arrays.append((x,))
            pairs.append(x)
        else:
            arrays.append((x, ys[0] if heads == 1 else ys, *after))
            pairs.append((x, ys[0] if heads == 1 else tuple(ys), *ones, *after))

    def check(found: Any, wanted: list[Any]) -> None:
        for batch, expected in itertools.zip_longest(found, wanted):
            assert same(numpy(batch), expected), (batch, expected)

    check(shards.batches(8, **options), arrays)
    check(shards.to_torch(8, **options), arrays)
    check(shards.to_tf_dataset(8, **options), pairs)
    spec = shards.to_tf_dataset(8, **options).element_spec
    tf.nest.map_structure(lambda a, b: a.shape.assert_is_compatible_with(b.shape), spec, pairs[0])
    if rows:
        with pytest.raises(OptionError, match="rows=True is not for Keras"):
            shards.to_keras(8, **options)
    else:
        items = shards.to_keras(8, **options)
        check((items[index] for index in range(len(items))), pairs)


def test_one_record_has_the_form_of_a_batch(tmp_path: Path) -> None:
    for heads in range(3):
        made = write_dataset(tmp_path / str(heads), heads=heads)
        record = open_shards(made.glob)[3]
        labels: list[int] = made.labels[3].tolist()
        assert np.array_equal(record[0], made.images[3])
        assert record[1:] == [(), (*labels,), (labels,)][heads]


@pytest.mark.parametrize("name", ["row", "weight"])
def test_names_that_other_parts_have_are_refused(tmp_path: Path, name: str) -> None:
    write_records(tmp_path / "a", [example(**{"image_raw": bytes(18), name: 3})] * 4)
    shards = open_shards(tmp_path / "a", shape=(2, 3, 3), image="image_raw", labels=[name])
    for face in (shards.batches, shards.to_torch, shards.to_tf_dataset, shards.to_keras):
        face(2)
        with pytest.raises(OptionError, match=f"no place for a label called '{name}'"):
            face(2, as_dict=True)


def model_of(shards: ShardSet, **options: Any) -> keras.Model:
    """Make a small model with as many heads, always with the same weights."""
    keras.utils.set_random_seed(1)
    image = keras.Input(shards.shape)
    flat = keras.layers.Flatten()(image)
    heads = [
        keras.layers.Dense(label.classes, activation="softmax", name=label.name)(flat)
        for label in shards.labels
    ]
    model = keras.Model(image, heads if len(heads) > 1 else heads[0])
    names = ("metrics", "weighted_metrics")
    chosen = {name: [[options[name]]] * len(heads) for name in names if name in options}
    if len(heads) == 1:
        chosen = {name: value[0] for name, value in chosen.items()}
    loss = ["sparse_categorical_crossentropy"] * len(heads)
    # A graph would take longer to make than all steps do.
    model.compile("sgd", loss=loss, run_eagerly=True, **chosen)
    return model


@pytest.mark.filterwarnings("ignore:the evaluation leaves out:UserWarning")
@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("as_dict", [False, True])
def test_fit_refuses_rows(tmp_path: Path, heads: int, as_dict: bool) -> None:
    shards = open_shards(write_dataset(tmp_path, heads=heads).glob)
    for pad in (False, True):
        dataset = shards.to_tf_dataset(8, rows=True, pad=pad, as_dict=as_dict)
        model = model_of(shards)
        with pytest.raises(ValueError, match=r"\(x, y, sample_weight\)"):
            model.fit(dataset, shuffle=False, verbose=0)
        with pytest.raises(ValueError, match=r"\(x, y, sample_weight\)"):
            model.evaluate(dataset, verbose=0)


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
def test_class_weight_counts_with_one_head(tmp_path: Path, face: str) -> None:
    shards = open_shards(write_dataset(tmp_path, heads=1).glob)

    def losses(**options: Any) -> list[float]:
        batches = getattr(shards, face)(8, shuffle="none", drop_remainder=False)
        fitted = model_of(shards).fit(batches, epochs=2, shuffle=False, verbose=0, **options)
        return [float(loss) for loss in fitted.history["loss"]]

    x = np.stack([shards[i][0] for i in range(37)]) / np.float32(255)
    y = np.array([shards[i][1] for i in range(37)])
    weight = {number: 1.0 + number for number in range(7)}
    judge = model_of(shards).fit(
        x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, class_weight=weight
    )
    assert losses(class_weight=weight) == pytest.approx(judge.history["loss"], rel=1e-4)
    assert losses(class_weight=weight) != pytest.approx(losses(), rel=1e-2)


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
def test_named_outputs_get_their_own_labels(tmp_path: Path, face: str) -> None:
    """Keras sorts the names of outputs, so that labels in the order of the set reach others."""
    shards = open_shards(write_dataset(tmp_path, names=NAMES).glob)
    seen: dict[str, list[int]] = {name: [] for name in NAMES}

    def loss(name: str) -> Any:
        def call(labels: Any, predicted: Any) -> Any:
            seen[name] += np.asarray(labels).reshape(-1).tolist()
            return keras.losses.sparse_categorical_crossentropy(labels, predicted)

        return call

    image = keras.Input(shards.shape)
    flat = keras.layers.Flatten()(image)
    outputs = {
        label.name: keras.layers.Dense(label.classes, activation="softmax", name=label.name)(flat)
        for label in shards.labels
    }
    model = keras.Model(image, outputs)
    model.compile("sgd", loss={name: loss(name) for name in NAMES}, run_eagerly=True)
    batches = getattr(shards, face)(8, shuffle="none", drop_remainder=False, as_dict=True)
    model.fit(batches, shuffle=False, verbose=0)
    assert seen == {
        name: [shards[i][1][head] for i in range(37)] for head, name in enumerate(NAMES)
    }


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
@pytest.mark.parametrize("heads", [1, 2])
def test_a_padded_evaluation_is_that_of_the_records(tmp_path: Path, heads: int, face: str) -> None:
    shards = open_shards(write_dataset(tmp_path, heads=heads).glob)
    metric = "sparse_categorical_crossentropy"
    # One batch: Keras does not weigh the losses of single heads by the size of their batches.
    plain = shards.to_tf_dataset(37, shuffle="none")
    wanted = model_of(shards, metrics=metric).evaluate(plain, verbose=0, return_dict=True)
    model = model_of(shards, weighted_metrics=metric)

    def evaluated(size: int, worker: tuple[int, int]) -> dict[str, float]:
        batches = getattr(shards, face)(size, shuffle="none", pad=True, worker=worker)
        return dict(model.evaluate(batches, verbose=0, return_dict=True))

    for size in (8, 40):
        assert evaluated(size, (0, 1)) == pytest.approx(wanted, rel=1e-5)
    # The mean over the workers, each with its own part of every step.
    parts = [evaluated(4, (rank, 3))["loss"] for rank in range(3)]
    assert np.mean(parts) == pytest.approx(wanted["loss"], rel=1e-5)
