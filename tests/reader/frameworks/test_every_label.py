"""Labels of every kind and images of 1, 3 and 4 channels, in every face and in models."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from reader import ShardSet, open_shards
from shardio.format.label import Label
from tests.reader.datasets import CLASSES, OTHER_KINDS, write_dataset

TEXT = Label("text", 3, ("cat", "dog", "ibex"))
HEADS = ("y0", "y1", "ids", "score", "box", "text")
FACES = ("batches", "to_tf_dataset", "to_keras", "to_torch", "jax")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ShardSet]:
    """Sets of images with so many channels, and labels of every kind."""
    more = (*OTHER_KINDS, TEXT)
    folder = tmp_path_factory.mktemp("kinds")
    made = [write_dataset(folder / str(n), more=more, channels=n) for n in (1, 3, 4)]
    return {each.images.shape[-1]: open_shards(each.glob) for each in made}


def by_hand(opened: ShardSet, ids: Any, options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """Make a batch of single records: images, and the labels that the options want."""
    records = [opened[int(i)] for i in ids]
    x = np.stack([image for image, _ in records])
    if options["dtype"] == "float32":
        x = (x / np.float32(255)).astype(np.float32)
    heads = [label.name for label in opened.labels]
    labels = []
    for name in options["labels"]:
        label = opened.labels[heads.index(name)]
        y = np.array([ys[heads.index(name)] for _, ys in records])
        y = y.astype(np.float32 if label.kind.is_float else np.int32)
        if options["one_hot"] and label.kind.is_class:
            y = np.eye(label.classes, dtype=np.float32)[y]
        labels.append(y)
    return x, labels


def elements(opened: ShardSet, face: str, options: dict[str, Any]) -> list[Any]:
    """Return all batches of an epoch as a face gives them, weights and rows left out."""
    if face == "to_keras":
        batches = opened.to_keras(5, **options)
        return [batches[index] for index in range(len(batches))]
    if face == "jax":
        jax = pytest.importorskip("jax", reason="JAX is not installed")
        return [jax.device_put(batch) for batch in opened.batches(5, **options)]
    return list(getattr(opened, face)(5, **options))


@pytest.mark.parametrize("face", FACES)
@given(
    channels=st.sampled_from([1, 3, 4]),
    labels=st.lists(st.sampled_from(HEADS), unique=True),
    dtype=st.sampled_from(["uint8", "float32"]),
    shuffle=st.sampled_from(["exact", "window", "none"]),
    one_hot=st.booleans(),
    drop=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_batches_are_the_records_by_hand(
    sets: dict[int, ShardSet],
    face: str,
    channels: int,
    labels: list[str],
    dtype: str,
    shuffle: str,
    one_hot: bool,
    drop: bool,
) -> None:
    if face == "to_torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    opened = sets[channels]
    one_hot = one_hot and bool({"y0", "y1", "text"} & set(labels))
    options: dict[str, Any] = {
        "labels": labels,
        "dtype": dtype,
        "shuffle": shuffle,
        "one_hot": one_hot,
        "drop_remainder": drop,
    }
    row_of = [int(row) for *_, rows in stored(opened) for row in rows]
    rows = [batch[-1] for batch in opened.batches(5, rows=True, **options)]
    found = elements(opened, face, options)
    assert len(found) == len(rows) == (7 if drop else 8)
    for batch, ids in zip(found, rows, strict=True):
        x, ys = by_hand(opened, [row_of.index(row) for row in ids.tolist()], options)
        if not labels:
            (image,) = (batch,) if face in ("to_tf_dataset", "to_keras") else batch
            got = []
        else:
            image, got = batch
            got = [got] if len(labels) == 1 else list(got)
        assert np.asarray(image).dtype == x.dtype
        assert np.array_equal(np.asarray(image), x)
        assert len(got) == len(ys)
        for y, wanted in zip(got, ys, strict=True):
            y = np.asarray(y)
            if face == "to_torch" and wanted.dtype == np.int32:
                wanted = wanted.astype(np.int64)
            assert y.dtype == wanted.dtype
            assert np.array_equal(y, wanted)


def stored(opened: ShardSet) -> Any:
    return opened.batches(37, shuffle="none", rows=True)


def test_tensorflow_knows_the_shape_of_every_kind(sets: dict[int, ShardSet]) -> None:
    x, ys = sets[4].to_tf_dataset(5, one_hot=True, as_dict=True).element_spec
    assert x == tf.TensorSpec((5, 2, 3, 4), tf.float32)
    assert ys == {
        "y0": tf.TensorSpec((5, 7), tf.float32),
        "y1": tf.TensorSpec((5, 30), tf.float32),
        "ids": tf.TensorSpec((5, 3), tf.int32),
        "score": tf.TensorSpec((5,), tf.float32),
        "box": tf.TensorSpec((5, 4), tf.float32),
        "text": tf.TensorSpec((5, 3), tf.float32),
    }
    x, ys = (
        sets[1]
        .to_tf_dataset(5, labels=["box", "ids"], drop_remainder=False, dtype="uint8")
        .element_spec
    )
    assert x == tf.TensorSpec((None, 2, 3, 1), tf.uint8)
    assert ys == (tf.TensorSpec((None, 4), tf.float32), tf.TensorSpec((None, 3), tf.int32))


def test_torch_gets_the_types_that_its_losses_want(sets: dict[int, ShardSet]) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    (x, ys), *_ = sets[3].to_torch(37, channels_first=True)
    integer, float_ = torch.int64, torch.float32
    assert [y.dtype for y in ys] == [integer, integer, integer, float_, float_, integer]
    y0, _, ids, score, box, _ = ys
    features = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(18, 7 + 27 + 5))(x)
    logits, letters, floats = features.split((7, 27, 5), dim=1)
    loss = torch.nn.functional.cross_entropy(logits, y0)
    loss = loss + torch.nn.functional.cross_entropy(letters.reshape(-1, 9, 3), ids)
    loss = loss + torch.nn.functional.mse_loss(floats, torch.cat([score[:, None], box], dim=1))
    loss.backward()


def model(channels: int, *, named: bool = False, heads: tuple[str, ...] = HEADS) -> Any:
    """Return a model with an output for each head, and a loss that suits it."""
    keras.utils.set_random_seed(3)
    image = keras.Input((2, 3, channels))
    flat = keras.layers.Flatten()(image)
    units = {"y0": 7, "y1": 30, "ids": 27, "score": 1, "box": 4, "text": 3}
    outputs, losses = {}, {}
    for name in heads:
        out = keras.layers.Dense(units[name], name=name)(flat)
        losses[name] = "mse"
        if name == "ids":
            out = keras.layers.Reshape((3, 9))(out)
        if name not in ("score", "box"):
            losses[name] = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        outputs[name] = out
    made = keras.Model(image, outputs if named else list(outputs.values()))
    # A graph would take longer to make than all steps do.
    chosen = losses if named else list(losses.values())
    made.compile(keras.optimizers.SGD(0.05), chosen, run_eagerly=True)
    return made


@pytest.mark.parametrize(
    ("face", "named", "channels"), [("to_tf_dataset", True, 1), ("to_keras", False, 4)]
)
def test_fit_trains_on_every_kind(
    sets: dict[int, ShardSet], face: str, named: bool, channels: int
) -> None:
    opened = sets[channels]
    wanted = model(channels, named=named)
    batches = getattr(opened, face)(5, shuffle="none", as_dict=named)
    history = wanted.fit(batches, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]
    # The same, from arrays.
    ours = model(channels, named=named)
    x, ys = next(opened.batches(35, shuffle="none", as_dict=False))
    y = dict(zip(HEADS, ys, strict=True)) if named else ys
    by_arrays = ours.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0)
    assert np.allclose(history, by_arrays.history["loss"], rtol=1e-4)


@pytest.mark.parametrize(
    ("face", "head"),
    [("to_tf_dataset", "ids"), ("to_tf_dataset", "score"), ("to_keras", "box")],
)
def test_fit_trains_on_a_single_head(sets: dict[int, ShardSet], face: str, head: str) -> None:
    made = model(3, heads=(head,))
    batches = getattr(sets[3], face)(5, labels=[head])
    history = made.fit(batches, epochs=4, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]


class Encoder(keras.Model):  # type: ignore[misc]
    """Learns to give back its images, without a target."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.dense = keras.layers.Dense(18)

    def call(self, x: Any) -> Any:
        return self.dense(self.flat(x))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        assert y is None or len(y) == 0
        loss = keras.ops.mean(keras.ops.square(y_pred - self.flat(x)), axis=-1)
        return keras.ops.mean(loss if sample_weight is None else loss * sample_weight)


@pytest.mark.parametrize(
    ("face", "options"),
    [
        ("to_tf_dataset", {}),
        ("to_tf_dataset", {"pad": True}),
        ("to_keras", {}),
        ("to_keras", {"pad": True}),
        ("to_keras", {"as_dict": True}),
    ],
    ids=str,
)
def test_fit_trains_without_a_target(
    sets: dict[int, ShardSet], face: str, options: dict[str, Any]
) -> None:
    made = Encoder()
    made.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
    batches = getattr(sets[3], face)(8, labels=[], **options)
    history = made.fit(batches, epochs=2, shuffle=False, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_a_column_may_hold_the_weights_of_samples(sets: dict[int, ShardSet]) -> None:
    opened = sets[3]
    made = model(3, heads=("y0",))
    made.compile(keras.optimizers.SGD(0.0), made.loss, run_eagerly=True)
    batches = opened.to_tf_dataset(5, labels=["y0", "score"], shuffle="none")
    weighted = batches.map(lambda x, ys: (x, ys[0], ys[1]))
    (loss,) = made.fit(weighted, shuffle=False, verbose=0).history["loss"]
    x, (y0, score) = next(opened.batches(35, labels=["y0", "score"], shuffle="none"))
    logits = made.predict(x, verbose=0)
    each = keras.ops.convert_to_numpy(
        keras.losses.sparse_categorical_crossentropy(y0, logits, from_logits=True)
    )
    assert CLASSES[0] == logits.shape[1]
    assert np.isclose(loss, np.mean(each * score), rtol=1e-4)


def test_each_output_may_have_weights_from_a_column(sets: dict[int, ShardSet]) -> None:
    opened = sets[3]
    made = model(3, heads=("y0", "y1"))
    made.compile(keras.optimizers.SGD(0.0), made.loss, run_eagerly=True)
    batches = opened.to_tf_dataset(5, labels=["y0", "y1", "score"], shuffle="none")
    weighted = batches.map(lambda x, ys: (x, ys[:2], (ys[2], ys[2])))
    (loss,) = made.fit(weighted, shuffle=False, verbose=0).history["loss"]
    x, (*ys, score) = next(opened.batches(35, labels=["y0", "y1", "score"], shuffle="none"))
    each = [
        keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True).numpy()
        for y, logits in zip(ys, made.predict(x, verbose=0), strict=True)
    ]
    assert np.isclose(loss, np.mean(sum(each) * score), rtol=1e-4)
