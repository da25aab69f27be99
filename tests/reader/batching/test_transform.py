"""A transform: what it is given, when, with which random numbers, and what it may return."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.batching.transform import batch_rng
from shardio.errors import OptionError, TransformError
from tests.collected import collect
from tests.layers import ROOT
from tests.reader.datasets import CLASSES, OTHER_KINDS, Made, write_dataset

Array = NDArray[Any]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return open_shards(write_dataset(tmp_path_factory.mktemp("shards"), more=OTHER_KINDS).glob)


def noise(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
    """Change the images in place, and the labels, by random numbers."""
    x += rng.integers(0, 100, x.shape).astype(x.dtype)
    return x, ys


def by_hand(
    shards: ShardSet, function: Any, options: dict[str, Any]
) -> list[tuple[Array, list[Array]]]:
    """Make the batches of an epoch from those without a transform."""
    plain = {name: value for name, value in options.items() if name != "transform_threads"}
    plain["one_hot"] = False
    rank, world = options["worker"]
    found = []
    for number, (x, ys, *_) in enumerate(shards.batches(**plain)):
        position = number * options["batch_size"] * world + rank * options["batch_size"]
        # Words of 32 bits, the low one first.
        seed = [options["seed"] & (2**32 - 1), options["seed"] >> 32]
        rng = np.random.default_rng([*seed, options["start_epoch"], 0, position, 0])
        x, ys = function(x.copy(), [y.copy() for y in ys], rng)
        if options["one_hot"]:
            ones = [
                np.eye(classes, dtype=np.float32)[y]
                for y, classes in zip(ys, CLASSES, strict=False)
            ]
            ys = [*ones, *ys[2:]]
        found.append((x, ys))
    return found


STREAMS = {
    "batch_size": st.integers(1, 9),
    "shuffle": st.sampled_from(["exact", "window", "none"]),
    "dtype": st.sampled_from(["uint8", "float32"]),
    "seed": st.integers(0, 2**63 - 1),
    "start_epoch": st.integers(0, 3),
    "one_hot": st.booleans(),
    "pad": st.booleans(),
    "worker": st.sampled_from([(0, 1), (0, 2), (1, 2)]),
    "transform_threads": st.integers(1, 3),
}


@given(options=st.fixed_dictionaries(STREAMS))
@settings(max_examples=40, deadline=None)
def test_batches_are_transformed_as_by_hand(shards: ShardSet, options: dict[str, Any]) -> None:
    wanted = by_hand(shards, noise, options)
    found = list(shards.batches(transform=noise, **options))
    assert len(found) == len(wanted) > 0
    for (x, ys, *_), (image, labels) in zip(found, wanted, strict=True):
        assert x.dtype == image.dtype
        assert np.array_equal(x, image)
        for y, label in zip(ys, labels, strict=True):
            assert y.dtype == label.dtype
            assert np.array_equal(y, label)


@given(
    shuffle=st.sampled_from(["exact", "window", "none"]),
    threads=st.integers(1, 3),
    size=st.integers(2, 9),
)
@settings(max_examples=8, deadline=None)
def test_a_stream_that_is_resumed_at_any_step_gives_the_same_bytes(
    shards: ShardSet, shuffle: str, threads: int, size: int
) -> None:
    options: dict[str, Any] = {
        "batch_size": size,
        "shuffle": shuffle,
        "transform": noise,
        "transform_threads": threads,
        "epochs": 2,
        "drop_remainder": False,
    }
    whole = [x.tobytes() for x, _ in shards.batches(**options)]
    first = shards.batches(**options)
    for step in range(len(whole)):
        with shards.batches(**options) as again:
            again.load_state_dict(first.state_dict())
            assert next(again)[0].tobytes() == whole[step]
        next(first)


def test_the_random_numbers_are_pinned() -> None:
    """They are part of what a resumed stream gives."""
    assert batch_rng(1, 0, 0).integers(0, 1000, 4).tolist() == PINNED[0]
    assert batch_rng(2**63 - 1, 2**40, 2**33).integers(0, 1000, 4).tolist() == PINNED[1]


PINNED = [[680, 881, 38, 894], [890, 435, 123, 785]]


def test_seeds_epochs_and_positions_have_other_numbers() -> None:
    values = [0, 1, 2, 2**32, 2**32 + 1]
    found = {batch_rng(*each).bytes(8) for each in itertools.product(values, repeat=3)}
    assert len(found) == len(values) ** 3


def test_labels_have_the_form_of_those_of_a_batch(shards: ShardSet) -> None:
    seen: list[Any] = []

    def look(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        seen.append(ys)
        return x, ys

    forms: tuple[dict[str, Any], ...] = ({}, {"labels": ["box"]}, {"labels": []}, {"as_dict": True})
    for options in forms:
        plain = next(shards.batches(5, rows=True, **options))
        with shards.batches(5, rows=True, transform=look, **options) as batches:
            same(next(batches), plain)
    found = {len(ys) if isinstance(ys, list) else type(ys) for ys in seen}
    assert found == {5, np.ndarray, 0, dict}


def same(found: Any, wanted: Any) -> None:
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        found, wanted = list(found.values()), list(wanted.values())
    if isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    else:
        assert found.dtype == wanted.dtype
        assert np.array_equal(found, wanted)


def test_labels_may_be_changed_added_renamed_and_left_out(shards: ShardSet) -> None:
    def rename(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        return x, {"double": ys["score"] * 2, "y1": ys["y1"], "mask": x[..., 0] > 0.5}

    options: dict[str, Any] = {"as_dict": True, "rows": True, "pad": True, "one_hot": True}
    for batch, plain in zip(
        shards.batches(5, transform=rename, **options), shards.batches(5, **options), strict=True
    ):
        assert list(batch) == ["image", "double", "y1", "mask", "weight", "row"]
        assert np.array_equal(batch["double"], 2 * plain["score"])
        assert np.array_equal(batch["y1"], plain["y1"])
        assert batch["mask"].shape == (5, 2, 3)
        for name in ("image", "weight", "row"):
            assert np.array_equal(batch[name], plain[name])

    def add(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        return x, (*ys, x.mean(axis=(1, 2, 3)))

    x, ys = next(shards.batches(5, transform=add))
    assert len(ys) == 6
    assert np.array_equal(ys[5], x.mean(axis=(1, 2, 3)))
    x, y = next(shards.batches(5, transform=lambda x, ys, rng: (x, ys[3])))
    assert y.shape == (5,)


def test_one_hot_takes_what_are_still_integers(shards: ShardSet) -> None:
    def mix_up(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        share = rng.beta(0.2, 0.2)
        once = np.eye(7, dtype=np.float32)[ys[0]]
        return x, [(share * once + (1 - share) * once[::-1]).astype(np.float32), ys[1]]

    _, (y0, y1) = next(shards.batches(5, labels=["y0", "y1"], one_hot=True, transform=mix_up))
    assert y0.shape == (5, 7)
    assert np.allclose(y0.sum(axis=1), 1)
    assert y1.shape == (5, 30)
    assert set(np.unique(y1)) == {0.0, 1.0}


def test_images_of_another_size_and_dtype(shards: ShardSet) -> None:
    def views(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        return np.stack([x, x[:, ::-1, ::-1]], axis=1).astype(np.float16), ys

    for (x, _), (plain, _) in zip(
        shards.batches(5, transform=views), shards.batches(5), strict=True
    ):
        assert x.shape == (5, 2, 2, 3, 3)
        assert np.array_equal(x[:, 0], plain.astype(np.float16))

    flipped = next(shards.batches(5, transform=lambda x, ys, rng: (x[:, :, ::-1], ys)))[0]
    assert flipped.flags["C_CONTIGUOUS"]
    repeated = shards.batches(5, transform=lambda x, ys, rng: (np.broadcast_to(x[:1], x.shape), ys))
    x, _ = next(repeated)
    x[0] = 2  # a batch is the caller's to change
    assert not (x[1] == 2).any()


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": (lambda x, ys, rng: None, "it is None, and not the pair"),
    "images alone": (lambda x, ys, rng: x, "it is of type ndarray, and not the pair"),
    "a list for x": (lambda x, ys, rng: ([1, 2], ys), "x is of type list, and has to be a NumPy"),
    "fewer samples": (lambda x, ys, rng: (x[1:], ys), r"x has the shape \(4, 2, 3, 3\), and the"),
    "a number": (lambda x, ys, rng: (x, 3), r"ys\[0\] is of type int, and has to be"),
    "a label of another length": (
        lambda x, ys, rng: (x, [*ys, ys[0][:2]]),
        r"ys\[5\] has the shape \(2,\), and the batch 5 samples",
    ),
    "objects": (
        lambda x, ys, rng: (x, [ys[0].astype(object)]),
        r"ys\[0\] has the dtype object, and has to be an array of numbers",
    ),
    "a dict without as_dict": (lambda x, ys, rng: (x, {"y": ys[0]}), r"ys\[0\] is of type dict"),
    "an error": (lambda x, ys, rng: 1 / 0, r"ZeroDivisionError: division by zero \(.*test_transf"),
    "the end": (lambda x, ys, rng: next(iter(())), "StopIteration"),
}


@pytest.mark.parametrize(("function", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_is_no_batch_is_refused_with_its_step(
    shards: ShardSet, function: Any, said: str
) -> None:
    def late(x: Array, ys: Any, rng: np.random.Generator) -> Any:
        calls.append(1)
        return function(x, ys, rng) if len(calls) > 2 else (x, ys)

    calls: list[int] = []
    batches = shards.batches(5, transform=late, worker=(1, 2), start_epoch=4)
    next(batches)
    next(batches)
    place = "transform failed at step 2 of epoch 4, whose batch begins with sample 25 of the epoch"
    with pytest.raises(TransformError, match=f"{place}: .*{said}") as raised:
        next(batches)
    if said.startswith("Zero"):
        assert isinstance(raised.value.__cause__, ZeroDivisionError)


AS_DICT_WRONG: dict[str, tuple[Any, str]] = {
    "a list": (lambda x, ys, rng: (x, [ys["y0"]]), "ys is of type list; with as_dict it has to"),
    "the images' name": (lambda x, ys, rng: (x, {"image": x}), "'image' cannot be the name"),
    "no name": (lambda x, ys, rng: (x, {3: x}), "3 cannot be the name of a label"),
}


@pytest.mark.parametrize(("function", "said"), AS_DICT_WRONG.values(), ids=AS_DICT_WRONG.keys())
def test_wrong_names_are_refused(shards: ShardSet, function: Any, said: str) -> None:
    with pytest.raises(TransformError, match=said):
        next(shards.batches(5, as_dict=True, transform=function))


def test_one_hot_refuses_what_is_no_class(shards: ShardSet) -> None:
    for value in (7, -1):

        def change(
            x: Array, ys: Any, rng: np.random.Generator, value: int = value
        ) -> tuple[Array, Any]:
            ys[3] = value
            return x, ys

        with pytest.raises(TransformError, match=f"label y0 is {value}, but it has 7 classes"):
            next(shards.batches(5, labels=["y0"], one_hot=True, transform=change))
    fewer = shards.batches(5, one_hot=True, transform=lambda x, ys, rng: (x, ys[1:]))
    with pytest.raises(TransformError, match="ys has 4 labels, and was given with 5: with one_hot"):
        next(fewer)


def test_an_error_leaves_out_no_batch(shards: ShardSet) -> None:
    whole = [x.tobytes() for x, _ in shards.batches(5, transform=noise)]
    fails = iter([False, False, True, False, True, True])

    def sometimes(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        if next(fails, False):
            raise OSError("not now")
        return noise(x, ys, rng)

    found: list[bytes] = []
    causes: list[BaseException | None] = []
    batches = shards.batches(5, transform=sometimes)
    while len(found) < len(whole):
        try:
            found.append(next(batches)[0].tobytes())
        except TransformError as error:
            causes.append(error.__cause__)
    assert found == whole
    assert {type(cause) for cause in causes} == {OSError}


def test_images_that_the_function_keeps_are_never_overwritten(shards: ShardSet) -> None:
    kept: list[Array] = []
    copies: list[Array] = []

    def keep(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        kept.append(x[1:])
        copies.append(x.copy())
        return x * 2, ys

    for _ in shards.batches(5, epochs=4, transform=keep):
        pass
    collect()
    assert all(np.array_equal(x, copy[1:]) for x, copy in zip(kept, copies, strict=True))


def test_memory_that_the_function_uses_again_is_refused(shards: ShardSet) -> None:
    """Batches are made ahead: the one that the caller works on would change under it."""
    buffers = [np.empty((5, 2, 3, 3), dtype=np.float32) for _ in range(2)]
    turns = itertools.cycle(buffers)

    def into_buffer(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        out = next(turns)
        np.multiply(x, 2, out=out)
        return out, ys

    with pytest.raises(TransformError, match="x lies in the memory of an earlier batch"):
        list(shards.batches(5, transform=into_buffer))
    zeros = np.zeros(5, dtype=np.float32)
    with pytest.raises(TransformError, match=r"ys\[0\] lies in the memory of an earlier batch"):
        list(shards.batches(5, transform=lambda x, ys, rng: (x, zeros)))


@pytest.mark.parametrize("threads", [1, 3])
def test_so_many_threads_call_it_at_once_and_batches_keep_their_order(
    shards: ShardSet, threads: int
) -> None:
    lock, running, most = threading.Lock(), 0, 0
    together = threading.Barrier(threads, timeout=60)  # of 48 batches

    def slow(x: Array, ys: Any, rng: np.random.Generator) -> tuple[Array, Any]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait()
        with lock:
            running -= 1
        return x, ys

    options: dict[str, Any] = {"rows": True, "epochs": 4}
    found = [
        rows.tolist()
        for *_, rows in shards.batches(3, transform=slow, transform_threads=threads, **options)
    ]
    assert found == [rows.tolist() for *_, rows in shards.batches(3, **options)]
    assert most == threads


def test_the_memory_plan_counts_the_threads(shards: ShardSet) -> None:
    plans = [
        shards.batches(5, transform=noise, transform_threads=threads).memory for threads in (1, 4)
    ]
    assert plans[1].alive == plans[0].alive + 3
    assert plans[1].parts["buffers"] > plans[0].parts["buffers"]
    plain = shards.batches(5, transform_threads=4).memory
    assert plain == shards.batches(5).memory == plans[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transform": 3}, "transform must be a function, not 3"),
        ({"transform": noise, "transform_threads": 0}, "transform_threads must be at least 1"),
        ({"transform_threads": 1.5}, "transform_threads must be a whole number"),
    ],
)
def test_wrong_options(shards: ShardSet, options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        shards.batches(5, **options)


def test_damaged_records_are_replaced_before(tmp_path: Path) -> None:
    made: Made = write_dataset(tmp_path / "shards")
    path = made.shard(4)
    damaged = bytearray(path.read_bytes())
    damaged[40] ^= 1
    path.write_bytes(damaged)
    opened = open_shards(made.glob)
    options: dict[str, Any] = {"on_error": "skip", "max_skipped": 5, "worker": (0, 1)}
    options |= {"batch_size": 5, "seed": 1, "start_epoch": 0, "one_hot": False}
    with pytest.warns(UserWarning, match="skipped a damaged record"):
        wanted = by_hand(opened, noise, options)
    with pytest.warns(UserWarning, match="skipped a damaged record"):
        found = list(opened.batches(transform=noise, **options))
    for (x, _), (image, _) in zip(found, wanted, strict=True):
        assert np.array_equal(x, image)


def test_the_function_of_the_documentation_does_what_it_says(shards: ShardSet) -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    code = text.partition("## Augmentation")[2].partition("```python\n")[2].partition("\n\n\n")[0]
    known: dict[str, Any] = {"np": np}
    exec(code, known)
    images = np.random.default_rng(3).random((6, 9, 11, 3), dtype=np.float32)
    rng = np.random.default_rng(5)
    x, _ = known["augment"](images.copy(), [], rng)
    assert x.shape == (6, 5, 7, 3)
    assert x.dtype == np.float32
    assert x.min() >= 0
    assert x.max() <= 1
    # Each image is a part of its own, as bright as its factor says, but for the noise.
    rng = np.random.default_rng(5)
    top, left = rng.integers(0, 5, (2, 6, 1))[..., 0]
    factors = rng.uniform(0.8, 1.2, 6)
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 1
    for one, image, factor, at, to in zip(x, images, factors, top, left, strict=True):
        part = image[at : at + 5, to : to + 7] * factor
        assert np.abs(one - np.clip(part, 0, 1)).max() < 0.15
