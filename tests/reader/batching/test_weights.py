from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reader import open_shards
from reader.order.alias import fill_alias_table
from reader.order.draw import drawn_order
from reader.sets import kept_array, record_columns
from shardio.errors import DatasetError, OptionError
from tests.reader.datasets import OTHER_KINDS, Made, write_dataset

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=12
)
WRONG = {"y0": {1: 2.0}}
WEIGHTS = np.random.default_rng(4).random(37)


def rows(batches: Any, count: int | None = None) -> list[int]:
    """Take `count` batches, or all, and return their rows."""
    taken = [next(batches) for _ in range(count)] if count is not None else list(batches)
    return [int(row) for batch in taken for row in batch[2]]


def drawn(weights: NDArray[np.float64], made: Made, seed: int, epoch: int) -> list[int]:
    """Return the rows of an epoch, of a table that is made here."""
    table = np.empty((len(weights), 2), dtype=np.uint32)
    fill_alias_table(table, lambda start, stop: weights[start:stop], str)
    order = drawn_order(table, seed).ids(epoch, 0, len(weights))
    return [int(row) for row in made.rows[order]]


@FIXTURE
@given(st.integers(1, 37), st.integers(0, 99), st.integers(0, 3), st.booleans())
def test_batches_are_the_draws(made: Made, size: int, seed: int, epoch: int, drop: bool) -> None:
    batches = open_shards(made.glob).batches(
        size, seed=seed, start_epoch=epoch, rows=True, weights=WEIGHTS, drop_remainder=drop
    )
    found = rows(batches)
    assert found == drawn(WEIGHTS, made, seed, epoch)[: len(found)]
    assert len(found) == (37 // size * size if drop else 37)


@FIXTURE
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 9), st.integers(1, 3))
def test_restored_at_any_step_with_another_batch_size_and_world(
    made: Made, before: int, after: int, steps: int, world: int
) -> None:
    shards = open_shards(made.glob)
    first = shards.batches(before, rows=True, seed=9, weights=WEIGHTS, epochs=None)
    seen = rows(first, steps)
    state = json.loads(json.dumps(first.state_dict()))
    workers = [
        shards.batches(after, rows=True, worker=(rank, world), weights=WEIGHTS, epochs=None)
        for rank in range(world)
    ]
    for worker in workers:
        worker.load_state_dict(state)
    whole = drawn(WEIGHTS, made, 9, 0) + drawn(WEIGHTS, made, 9, 1) + drawn(WEIGHTS, made, 9, 2)
    epoch, samples = state["epoch"], state["samples"]
    # Positions are disjoint: each worker takes the next part of the one order.
    while samples + after * world <= 37:
        part = [row for worker in workers for row in rows(worker, 1)]
        assert part == whole[epoch * 37 + samples :][: len(part)]
        samples += len(part)
    assert (
        seen
        == [
            row
            for number in range(3)
            for row in whole[number * 37 : number * 37 + 37 // before * before]
        ][: len(seen)]
    )


def test_a_state_of_other_weights_is_refused(made: Made) -> None:
    shards = open_shards(made.glob)
    state = shards.batches(5, weights=WEIGHTS).state_dict()
    with pytest.raises(OptionError, match="a stream with other weights"):
        shards.batches(5, weights=WEIGHTS[::-1]).load_state_dict(state)
    with pytest.raises(OptionError, match="of a stream with weights, and this one has none"):
        shards.batches(5).load_state_dict(state)
    plain = shards.batches(5).state_dict()
    assert "weights" not in plain
    with pytest.raises(OptionError, match="of a stream without weights, and this one has weights"):
        shards.batches(5, weights=WEIGHTS).load_state_dict(plain)
    # The same ones, said otherwise.
    shards.batches(5, weights=WEIGHTS.tolist()).load_state_dict(state)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0] * 36, "weights has 36 values, and the set 37 records"),
        (np.ones((37, 1)), r"of float64 of shape \(37, 1\)"),
        (["a"] * 37, "an array of numbers, one for each record"),
        ([1] * 36 + [-1], "the weight of .*00004-of-00005.tfrecord: record 22 is -1.0"),
        ([np.nan] * 37, "record 0 is nan"),
        (np.full(37, np.inf), "record 0 is inf"),
        ([0] * 37, "all weights are 0"),
        ("balanced", "weights are by class"),
        ({}, "names no label"),
        ({"y1": "even"}, 'the weights of y1 must be "balanced" or a weight for some of its'),
        ({"y1": {30: 1}}, "weights of y1: there is no class 30; it has 30 classes, from 0"),
        ({"y1": {-1: 1}}, "there is no class -1"),
        ({"y1": {1.5: 1}}, "a class is a whole number, not 1.5"),
        ({"y1": {"a": 1}}, "weights of y1: 'a' is a text, and its classes are numbers"),
        ({"y1": {3: -2.0}}, "the weight of y1 3 is -2.0: weights are numbers from 0 on"),
        ({"y1": {3: np.nan}}, "the weight of y1 3 is nan"),
        ({"y1": {3: "x"}}, "the weight of y1 3 is 'x'"),
        ({"y1": dict.fromkeys(range(30), 0)}, "all weights are 0"),
        ({"y7": "balanced"}, "weights: the set has no label 'y7'; it has y0, y1"),
    ],
)
def test_wrong_weights_are_named(made: Made, weights: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        open_shards(made.glob).batches(5, weights=weights)


@pytest.mark.parametrize(
    ("shuffle", "words"),
    [("window", "a request of its own. Give open_shards cache="), ("none", "at random")],
)
def test_orders_without_draws_are_refused(made: Made, shuffle: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        open_shards(made.glob).batches(5, weights=WEIGHTS, shuffle=shuffle)


def by_class(made: Made, head: int, weights: dict[int, float]) -> NDArray[np.float64]:
    """Give each record the weight of its class, one after the other."""
    return np.array([weights.get(int(label), 1.0) for label in made.labels[:, head]])


@FIXTURE
@given(
    st.dictionaries(st.integers(0, 6), st.floats(0.1, 9)),
    st.dictionaries(st.integers(0, 29), st.floats(0.1, 9)),
)
def test_weights_of_classes_are_those_of_their_records(
    made: Made, first: dict[int, float], second: dict[int, float]
) -> None:
    """Of several heads the product."""
    shards = open_shards(made.glob)
    one = shards.batches(37, rows=True, weights={"y0": first})
    assert rows(one) == drawn(by_class(made, 0, first), made, 1, 0)
    both = shards.batches(37, rows=True, weights={"y1": second, "y0": first})
    product = by_class(made, 0, first) * by_class(made, 1, second)
    assert rows(both) == drawn(product, made, 1, 0)


def test_balanced_classes_come_equally_often(large: Made) -> None:
    """Each class that is there; chi-square over epochs."""
    labels = large.labels[:, 0]
    shards = open_shards(large.glob)
    counts = np.bincount(labels, minlength=7)
    found = np.concatenate(
        [ys[0] for _, ys in shards.batches(1000, weights={"y0": "balanced"}, epochs=30)]
    )
    seen = np.bincount(found, minlength=7)
    assert len(found) == 30_000
    expected = 30_000 / np.count_nonzero(counts)
    assert float(((seen - expected) ** 2 / expected).sum()) < 6 + 5 * 12**0.5
    wanted = 1000 / (np.count_nonzero(counts) * counts)
    assert np.allclose(shards.class_weights("y0"), wanted)


def test_class_weights_are_those_of_a_loss(made: Made) -> None:
    shards = open_shards(made.glob)
    weights = shards.class_weights("y1")
    assert weights.shape == (30,)
    assert weights.dtype == np.float32
    counts = np.bincount(made.labels[:, 1], minlength=30)
    assert not weights[counts == 0].any()
    seen = counts > 0
    assert np.allclose(weights[seen], 37 / (seen.sum() * counts[seen]))
    # Together the records have the weight of as many of weight 1.
    assert np.isclose(weights[made.labels[:, 1]].sum(), 37)
    with pytest.raises(OptionError, match="class_weights: the set has no label 'y9'"):
        shards.class_weights("y9")


def test_other_kinds_of_labels_and_unknown_classes_are_refused(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "kinds", more=OTHER_KINDS)
    shards = open_shards(made.glob)
    with pytest.raises(OptionError, match=r"score is float, and .*; give an array with the weight"):
        shards.batches(5, weights={"score": "balanced"})
    with pytest.raises(OptionError, match="class_weights by class takes labels of one integer"):
        shards.class_weights("box")
    (made.folder / "dataset.json").unlink()
    bare = open_shards(made.glob, shape=(2, 3, 3))
    with pytest.raises(OptionError, match="class_weights needs the number of classes of y0"):
        bare.class_weights("y0")
    most = int(made.labels[:, 0].max())
    with pytest.raises(OptionError, match=f"there is no class {most + 1}; no record has more than"):
        bare.batches(5, weights={"y0": {most + 1: 2}})
    weighted = bare.batches(37, weights={"y0": {most: 2}}, rows=True)
    assert rows(weighted) == drawn(by_class(made, 0, {most: 2.0}), made, 1, 0)


def test_classes_are_named_by_their_text_too(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "texts", heads=1)
    (label,) = made.manifest.labels
    named = replace(label, vocabulary=tuple("abcdefg"))
    manifest = replace(made.manifest, labels=(named,))
    (made.folder / "dataset.json").write_bytes(manifest.to_json())
    shards = open_shards(made.glob)
    by_text = rows(shards.batches(37, weights={"y0": {"c": 5.0}}, rows=True))
    assert by_text == drawn(by_class(made, 0, {2: 5.0}), made, 1, 0)
    assert rows(shards.batches(37, weights={"y0": {2: 5}}, rows=True)) == by_text
    with pytest.raises(OptionError, match="no class is called 'z'"):
        shards.batches(5, weights={"y0": {"z": 1}})
    with pytest.raises(OptionError, match="class 2 of y0 has two weights"):
        shards.batches(5, weights={"y0": {"c": 1, 2: 1}})


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.jobs)])
def test_processes_of_a_loader_draw_each_position_once(made: Made, method: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    data = open_shards(made.glob).to_torch(3, weights=WEIGHTS, rows=True)
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context=method
    )
    assert rows(loader) == drawn(WEIGHTS, made, 1, 0)[:36]
    assert rows(loader) == drawn(WEIGHTS, made, 1, 1)[:36]


def write_table(made: Made, labels: NDArray[np.int64], *, wrong: bool = False) -> None:
    """Write a records.parquet that has these labels, in small row groups."""
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet

    columns = {"row": made.rows, "y0": labels[:, 0].astype(np.int32), "label.path": labels[:, 1]}
    path = made.folder / "records.parquet"
    parquet.write_table(pa.table(columns), path, row_group_size=7)
    digest = hashlib.sha256(path.read_bytes() + b"x" * wrong).hexdigest()
    heads = (made.manifest.labels[0], replace(made.manifest.labels[1], name="path"))
    manifest = replace(made.manifest, records=digest, labels=heads)
    (made.folder / "dataset.json").write_bytes(manifest.to_json())


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
@pytest.mark.parametrize("wrong", [False, True])
def test_labels_come_from_the_table_of_the_records(
    tmp_path: Path, scheme: str, wrong: bool
) -> None:
    """Where its digest is right: here it says something else than the shards."""
    record_columns._known.clear()
    made = write_dataset(tmp_path / "set", names=("y0", "path"))
    others = np.roll(made.labels, 1, axis=0)
    write_table(made, others, wrong=wrong)
    source = made.glob
    if scheme == "memory://":
        fsspec = pytest.importorskip("fsspec")
        memory = fsspec.filesystem("memory")
        memory.put(f"{made.folder}/", f"/{tmp_path.name}/", recursive=True)
        source = f"/{tmp_path.name}/train-*.tfrecord"
    shards = open_shards(f"{scheme}{source}")
    wanted = made.labels if wrong else others
    for head, name in enumerate(("y0", "path")):
        assert shards.labels_of(name).tolist() == wanted[:, head].tolist()
    # Of some shards, those between others.
    part = open_shards([f"{scheme}{source.replace('*', '00002*')}"])
    assert part.labels_of("y0").tolist() == wanted[5:13, 0].tolist()


def test_a_table_of_another_set_is_refused(made: Made, tmp_path: Path) -> None:
    table = open_shards(made.glob).options(weights=WEIGHTS).weights
    same = open_shards(made.glob).batches(37, weights=table, rows=True)
    assert rows(same) == drawn(WEIGHTS, made, 1, 0)
    other = write_dataset(tmp_path / "other", (38,))
    with pytest.raises(OptionError, match="weights were made for another set"):
        open_shards(other.glob).batches(5, weights=table)


def test_labels_of_shards_that_were_written_anew_are_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a manifest only the storage tells them apart; a large array lies in a file."""
    monkeypatch.setattr(kept_array, "SMALL_BYTES", 0)
    folder = tmp_path / "set"
    for seed in (1, 2):
        made = write_dataset(folder, (40,), seed=seed)
        (folder / "dataset.json").unlink()
        shards = open_shards(made.glob, shape=(2, 3, 3), classes=(7, 30))
        assert shards.labels_of("y1").tolist() == made.labels[:, 1].tolist()
        weighted = shards.batches(40, weights={"y1": {3: 9.0}}, rows=True)
        assert rows(weighted) == drawn(by_class(made, 1, {3: 9.0}), made, 1, 0)


def test_sets_of_others_have_weights_and_a_loss(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    from tests.reader.foreign_files import encode, example, photos, write_records

    images = [encode(photo, "png") for photo in photos(40)]
    records = [example(image=image, label=at % 4) for at, image in enumerate(images)]
    write_records(tmp_path / "x.tfrecord", records)
    shards = open_shards(f"{tmp_path}/*.tfrecord", classes=5)
    assert shards.class_weights("label").tolist() == [1, 1, 1, 1, 0]
    weights = {"label": {0: 0.0, 1: 0.0, 2: 3}}
    found = rows(shards.batches(10, weights=weights, rows=True, epochs=20))
    counts = np.bincount(np.array(found) % 4, minlength=4)
    assert counts[:2].tolist() == [0, 0]
    assert abs(counts[2] - 600) < 5 * (800 * 0.75 * 0.25) ** 0.5
    (weighted,) = [y.numpy() for _, y in shards.to_tf_dataset(40, weights=weights)]
    (plain,) = [y for _, y in shards.batches(40, weights=weights)]
    assert weighted.tolist() == plain.tolist()
    keras = shards.to_keras(40, weights=weights)
    assert keras[0][1].tolist() == plain.tolist()


def test_a_label_that_is_no_class_is_named(made: Made) -> None:
    (made.folder / "dataset.json").unlink()
    shards = open_shards(made.glob, shape=(2, 3, 3), classes=(3, 30))
    first = int(np.flatnonzero(made.labels[:, 0] >= 3)[0])
    words = f"{shards.place(first)}: label y0 is {made.labels[first, 0]}, but it has 3 classes"
    for call in (lambda: shards.class_weights("y0"), lambda: shards.batches(weights=WRONG)):
        with pytest.raises(DatasetError, match=words):
            call()


@pytest.mark.parametrize("index", [slice(30, 4, -2), [3, 36, 1, 20, 7]])
def test_parts_of_a_set_have_weights_of_their_records(made: Made, index: Any) -> None:
    part = open_shards(made.glob)[index]
    ids = np.arange(37)[index]
    table = np.empty((len(ids), 2), dtype=np.uint32)
    weights = by_class(made, 0, {1: 4.0, 2: 0.5})[ids]
    fill_alias_table(table, lambda start, stop: weights[start:stop], str)
    wanted = made.rows[ids[drawn_order(table, 1).ids(0, 0, len(ids))]].tolist()
    for said in (weights, {"y0": {1: 4.0, 2: 0.5}}):
        assert rows(part.batches(len(ids), rows=True, weights=said)) == wanted
    seen = made.labels[ids, 0]
    counts = np.bincount(seen, minlength=7)
    assert np.allclose(part.class_weights("y0")[seen], len(ids) / (counts > 0).sum() / counts[seen])
    wrong = np.where(np.arange(len(ids)) == 2, -1.0, 1.0)
    with pytest.raises(OptionError, match=f"{open_shards(made.glob).place(int(ids[2]))} is -1"):
        part.batches(1, weights=wrong)
