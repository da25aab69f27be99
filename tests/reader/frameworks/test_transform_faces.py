"""A transform in TensorFlow, Keras and PyTorch: the same batches as in NumPy, and errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from shardio.errors import OptionError, TransformError
from tests.reader.datasets import OTHER_KINDS, write_dataset

Array = NDArray[Any]
STEP = "transform failed at step 3 of epoch 0, whose batch begins with sample 15 of the epoch"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return open_shards(write_dataset(tmp_path_factory.mktemp("shards"), more=OTHER_KINDS).glob)


def augment(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
    """Cut a part out of the images, at a random place, and flip it."""
    left = int(rng.integers(0, 2))
    x = x[:, :, left : left + 2][:, :, ::-1]
    return x, {**ys, "score": ys["score"] + np.float32(rng.random()), "left": ys["y0"] * 0 + left}


def arrays(value: Any) -> Any:
    """Turn tensors into arrays, whatever holds them."""
    if isinstance(value, dict):
        return {name: arrays(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [arrays(part) for part in value]
    return np.asarray(value)


def passes(shards: ShardSet, face: str, options: dict[str, Any]) -> list[list[Any]]:
    """Return the batches of two passes of a face, weights and rows left out, as (x, ys)."""
    if face == "to_keras":
        batches, found = shards.to_keras(5, **options), []
        for _ in range(2):
            found.append([batches[index][:2] for index in range(len(batches))])
            batches.on_epoch_end()
        return found
    if face == "to_tf_dataset":
        dataset = shards.to_tf_dataset(5, **options)
        return [[batch[:2] for batch in dataset] for _ in range(2)]
    torch_set = shards.to_torch(5, **options)
    found = [list(torch_set) for _ in range(2)]
    return [[(batch.pop("image"), batch) for batch in epoch] for epoch in found]


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras", "to_torch"])
@given(
    dtype=st.sampled_from(["uint8", "float32"]),
    shuffle=st.sampled_from(["exact", "window", "none"]),
    drop=st.booleans(),
    one_hot=st.booleans(),
    worker=st.sampled_from([(0, 1), (1, 2)]),
    threads=st.integers(1, 3),
)
@settings(max_examples=8, deadline=None)
def test_batches_are_those_of_numpy(
    shards: ShardSet,
    face: str,
    dtype: str,
    shuffle: str,
    drop: bool,
    one_hot: bool,
    worker: tuple[int, int],
    threads: int,
) -> None:
    if face == "to_torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    options: dict[str, Any] = {
        "dtype": dtype,
        "shuffle": shuffle,
        "drop_remainder": drop or worker[1] > 1,
        "one_hot": one_hot,
        "as_dict": True,
        "worker": worker,
        "transform": augment,
    }
    found = passes(shards, face, {**options, "transform_threads": threads})
    for epoch in range(2):
        wanted = list(shards.batches(5, start_epoch=epoch, **options))
        assert len(found[epoch]) == len(wanted)
        for (x, ys), plain in zip(found[epoch], wanted, strict=True):
            assert np.array_equal(np.asarray(x), plain["image"])
            assert x.shape[1:] == (2, 2, 3)
            del plain["image"]
            ys = arrays(ys)
            assert set(ys) == set(plain) == {"y0", "y1", "ids", "score", "box", "left"}
            for name, y in plain.items():
                integers = face == "to_torch" and y.dtype == np.int32
                assert ys[name].dtype == (np.int64 if integers else y.dtype)
                assert np.array_equal(ys[name], y)


def test_tensorflow_learns_the_shapes_of_the_first_batch(shards: ShardSet) -> None:
    calls: list[int] = []

    def half(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        calls.append(1)
        return x[:, :1].astype(np.float16), [ys[0], x[..., 0] > 0.5]

    dataset = shards.to_tf_dataset(5, labels=["y0", "y1"], transform=half)
    assert len(calls) == 1
    x, ys = dataset.element_spec
    assert x == tf.TensorSpec((5, 1, 3, 3), tf.float16)
    assert ys == (tf.TensorSpec((5,), tf.int32), tf.TensorSpec((5, 2, 3), tf.bool))
    plain = list(shards.batches(5, labels=["y0", "y1"], transform=half))
    for (image, labels), (tx, tys) in zip(plain, dataset, strict=True):
        assert np.array_equal(tx, image)
        assert all(np.array_equal(ty, y) for ty, y in zip(tys, labels, strict=True))
    x, *_ = shards.to_tf_dataset(5, drop_remainder=False, transform=half, pad=False).element_spec
    assert x == tf.TensorSpec((None, 1, 3, 3), tf.float16)


def late(function: Any) -> Any:
    """Change each batch whose first sample is the 15th of its epoch."""

    def changed(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        is_late = rng.random() == np.random.default_rng([1, 0, 0, 0, 15, 0]).random()
        return function(x, ys) if is_late else (x, ys)

    return changed


WRONG: dict[str, tuple[Any, str]] = {
    "another size": (
        lambda x, ys: (x[:, 1:], ys),
        r"x is float32 \(batch, 1, 3, 3\), and in the first batch it was float32 \(batch, 2,",
    ),
    "another dtype": (
        lambda x, ys: (x, [ys[0], ys[1] * 0.5]),
        r"y1 is float64 \(batch\), and in the first batch it was int32 \(batch\)",
    ),
    "fewer labels": (
        lambda x, ys: (x, ys[:1]),
        r"ys has 1 labels \(ys\[0\]\), and in the first batch it had 2 labels \(y0, y1\)",
    ),
    "an error": (lambda x, ys: [][1], "IndexError: list index out of range"),
}


@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
@pytest.mark.parametrize(("function", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_later_batch_of_another_shape_is_an_error_that_names_its_step(
    shards: ShardSet, face: str, function: Any, said: str
) -> None:
    batches = getattr(shards, face)(5, labels=["y0", "y1"], transform=late(function))
    if face == "to_keras":
        batches[2]
        with pytest.raises(TransformError, match=f"{STEP}: {said}") as raised:
            batches[3]
        if said.startswith("Index"):
            assert isinstance(raised.value.__cause__, IndexError)
    else:
        with pytest.raises(tf.errors.OpError, match=f"TransformError: {STEP}: {said}"):
            list(batches)


def test_an_error_in_the_first_batch_is_seen_at_once(shards: ShardSet) -> None:
    for face in (shards.to_tf_dataset, shards.to_keras):
        with pytest.raises(TransformError, match=r"step 0 of epoch 2, .*: KeyError: 'y9'"):
            face(5, as_dict=True, start_epoch=2, transform=lambda x, ys, rng: (x, ys["y9"]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("face", ["to_tf_dataset", "to_keras"])
def test_fit_trains_on_transformed_batches(shards: ShardSet, face: str, threads: int) -> None:
    def noisy(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        x += rng.standard_normal(x.shape, dtype=np.float32) / 100
        return x[:, :, 1:], ys

    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(7)])
    model.compile(
        keras.optimizers.Adam(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    options: dict[str, Any] = {"labels": ["y0"], "transform": noisy, "transform_threads": threads}
    history = model.fit(getattr(shards, face)(5, **options), epochs=3, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.input_shape == (5, 2, 2, 3) or model.input_shape == (None, 2, 2, 3)


def named(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
    """Change the images; a function of a module."""
    return x * np.float32(rng.random()), ys


torch_data = pytest.mark.parametrize(
    ("workers", "start"),
    [(0, None), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.jobs)],
)


@torch_data
def test_processes_of_a_loader_see_the_same_augmentations(
    shards: ShardSet, workers: int, start: str | None
) -> None:
    loaders = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")
    batches = loaders.DataLoader(
        shards.to_torch(5, transform=named, channels_first=True),
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=start,
    )
    wanted = [x.transpose(0, 3, 1, 2) for x, _ in shards.batches(5, transform=named)]
    found = [np.asarray(x) for x, _ in batches]
    assert len(found) == len(wanted)
    assert all(map(np.array_equal, found, wanted))


def test_a_lambda_is_refused_where_processes_are_spawned(shards: ShardSet) -> None:
    loaders = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed")
    batches = shards.to_torch(5, transform=lambda x, ys, rng: (x, ys))
    assert len(list(copy.deepcopy(batches))) == 7
    loader = loaders.DataLoader(
        batches, batch_size=None, num_workers=1, multiprocessing_context="spawn"
    )
    with pytest.raises(OptionError, match="cannot be sent to a process that is started anew"):
        next(iter(loader))
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(batches)


def test_channels_first_is_for_images(shards: ShardSet) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    batches = shards.to_torch(
        5, channels_first=True, transform=lambda x, ys, rng: (x.reshape(len(x), -1), ys)
    )
    with pytest.raises(OptionError, match=r"channels_first is for .* x of shape \(5, 18\)"):
        next(iter(batches))


@pytest.mark.parametrize("options", [{}, {"rows": True}, {"rows": True, "pad": True}], ids=str)
def test_labels_of_many_dtypes_keep_their_order_in_tensorflow(
    shards: ShardSet, options: dict[str, Any]
) -> None:
    """Those of one dtype travel in one array."""

    def many(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        y0, y1, ids, score, _ = ys
        dark = x.mean(axis=(1, 2, 3)) < 0.5
        drawn = np.full(len(x), rng.integers(5), dtype=np.uint8)
        return x, [y0, dark, score, y1, x.mean(axis=(1, 2, 3)), ids, y0 % 2, drawn, ~dark]

    ours = list(shards.batches(5, transform=many, **options))
    theirs = list(shards.to_tf_dataset(5, transform=many, **options))
    for wanted, found in zip(ours, theirs, strict=True):
        assert len(found[1]) == 9
        for y, label in zip(found[1], wanted[1], strict=True):
            assert y.dtype == label.dtype
            assert np.array_equal(y, label)
        if options:
            assert np.array_equal(found[3], wanted[-1])
