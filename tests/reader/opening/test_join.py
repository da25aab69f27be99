"""Several datasets as one set: their records in the order of the list."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import ShardSet, mix, open_shards
from shardio.errors import DatasetError, OptionError
from shardio.format.label import Label
from shardio.format.manifest import Manifest
from tests.reader.datasets import Made, write_dataset

COUNTS = {"a": (5, 0, 8), "b": (9,), "c": (3, 4)}
ORDERS: dict[str, dict[str, Any]] = {
    "exact": {"shuffle": "exact"},
    "none": {"shuffle": "none"},
    "window": {"shuffle": "window", "block": 3, "window": 2, "lanes": 2},
}


@pytest.fixture
def sets(tmp_path: Path) -> list[Made]:
    return [
        write_dataset(tmp_path / name, counts, seed=seed)
        for seed, (name, counts) in enumerate(COUNTS.items())
    ]


def pairs_of(shards: ShardSet, **options: Any) -> list[tuple[int, int]]:
    options = {"batch_size": 4, "rows": True, "drop_remainder": False, **options}
    return [(int(m), int(row)) for batch in shards.batches(**options) for m, row in batch[-1]]


def wanted(sets: list[Made]) -> list[tuple[int, int]]:
    return [(number, row) for number, made in enumerate(sets) for row in made.rows.tolist()]


OPENED: dict[str, Callable[[list[Made]], Any]] = {
    "folders": lambda sets: [made.folder for made in sets],
    "globs": lambda sets: [made.glob for made in sets],
    "a tuple": lambda sets: tuple(str(made.folder) for made in sets),
    "sets": lambda sets: [open_shards(made.folder) for made in sets],
    "files": lambda sets: [
        made.folder / entry.file for made in sets for entry in made.manifest.shards
    ],
    "braces": lambda sets: f"{sets[0].folder.parent}/{{a,b,c}}",
    "braces of files": lambda sets: f"{sets[0].folder.parent}/{{a,b,c}}/train-*.tfrecord",
    "both": lambda sets: [open_shards(sets[0].folder), sets[1].glob, sets[2].folder],
    "a join": lambda sets: [open_shards([sets[0].folder, sets[1].folder]), sets[2].folder],
}


@pytest.mark.parametrize("how", OPENED)
def test_records_come_one_set_after_the_other(sets: list[Made], how: str) -> None:
    shards = open_shards(OPENED[how](sets))
    assert len(shards) == 29
    images = np.concatenate([made.images for made in sets])
    labels = np.concatenate([made.labels for made in sets])
    for number in range(29):
        image, found = shards[number]
        assert np.array_equal(image, images[number])
        assert found == labels[number].tolist()
    assert pairs_of(shards, shuffle="none") == wanted(sets)
    assert shards.labels_array()["y0"].tolist() == labels[:, 0].tolist()
    assert pickle.loads(pickle.dumps(shards)).fingerprint == shards.fingerprint


@pytest.mark.parametrize("order", ORDERS)
def test_every_epoch_has_each_record_once_and_goes_on_anywhere(
    sets: list[Made], order: str
) -> None:
    shards = open_shards([made.folder for made in sets])
    options = ORDERS[order]
    whole = pairs_of(shards, **options)
    assert sorted(whole) == wanted(sets)[:0] + sorted(wanted(sets))
    for steps in range(7):
        first = shards.batches(4, rows=True, **options)
        for _ in range(steps):
            next(first)
        again = shards.batches(2, rows=True, drop_remainder=False, **options)
        again.load_state_dict(json.loads(json.dumps(first.state_dict())))
        rest = [(int(m), int(row)) for batch in again for m, row in batch[-1]]
        assert rest == whole[4 * steps :]


def test_parts_of_a_join_and_a_join_of_parts(sets: list[Made]) -> None:
    shards = open_shards([made.folder for made in sets])
    pairs = wanted(sets)
    part = shards[3:25:3]
    assert pairs_of(part, shuffle="none") == pairs[3:25:3]
    firsts = [open_shards(made.folder)[::2] for made in sets]
    joined = open_shards(firsts)
    halves = [pair for number in range(3) for pair in [p for p in pairs if p[0] == number][::2]]
    assert pairs_of(joined, shuffle="none") == halves
    assert joined.fingerprint != shards.fingerprint != part.fingerprint
    state = joined.batches(4).state_dict()
    with pytest.raises(DatasetError, match="another set of shards"):
        joined[:10].batches(4).load_state_dict(state)
    labels = np.concatenate([made.labels for made in sets])
    for y0 in range(7):
        found = shards.where(y0=y0)
        rows = [pairs[n] for n in np.flatnonzero(labels[:, 0] == y0)]
        assert pairs_of(found, shuffle="none") == rows if rows else len(found) == 0
    for order in ORDERS.values():
        assert sorted(pairs_of(joined, **order)) == sorted(halves)


def test_rows_are_dropped_by_member(sets: list[Made]) -> None:
    shards = open_shards([made.folder for made in sets])
    row = int(sets[1].rows[2])
    left = shards.drop(rows=[(1, row)])
    assert pairs_of(left, shuffle="none") == [p for p in wanted(sets) if p != (1, row)]
    for rows, words in (
        ([(1, row)], rf"no record of row \(1, {row}\)"),
        ([row], rf"a row of several sets is a pair, \(member, row\), not {row}"),
        ([(3, 0)], r"no record of row \(3, 0\)"),
        ([(-1, 0)], r"no record of row \(-1, 0\)"),
        ([(1, 2, 3)], "is a pair"),
        ([(1, "x")], "a row is a whole number, not 'x'"),
    ):
        with pytest.raises(OptionError, match=words):
            left.drop(rows=rows)


@given(st.data())
@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_members_share_no_record(sets: list[Made], data: st.DataObject) -> None:
    """Parts of sets are joined where they are disjoint, and refused where they are not."""
    whole = open_shards(sets[0].folder)
    numbers = st.lists(st.integers(0, len(whole) - 1), unique=True, min_size=1)
    first, second = data.draw(numbers), data.draw(numbers)
    members = [whole[first], open_shards(sets[1].folder), whole[second]]
    if {*first} & {*second}:
        with pytest.raises(OptionError, match=r"share records, such as .*record ") as caught:
            open_shards(members)
        assert any(whole.place(number) in str(caught.value) for number in {*first} & {*second})
    else:
        joined = open_shards(members)
        assert sorted(joined.labels_array()["row"].tolist()) == sorted(
            [*whole[first + second].labels_array()["row"], *sets[1].rows]
        )


def test_copies_of_a_dataset_share_its_records(sets: list[Made], tmp_path: Path) -> None:
    shutil.copytree(sets[0].folder, tmp_path / "copy")
    joined = open_shards([sets[1].folder, sets[2].folder])
    tries: list[list[Any]] = [
        [sets[0].folder, tmp_path / "copy"],
        [tmp_path / "copy", joined, sets[0].folder],
        [joined, open_shards(sets[2].folder)[-1:]],
    ]
    for members in tries:
        with pytest.raises(OptionError, match=r"share records, such as .*weights= and mix"):
            open_shards(members)
    mixed = mix([open_shards(sets[0].folder), open_shards(sets[0].folder)[:2]], weights=[1, 1])
    assert mixed.members


def changed(made: Made, **fields: Any) -> None:
    path = made.folder / "dataset.json"
    manifest = Manifest.from_json(path.read_bytes())
    path.write_bytes(replace(manifest, **fields).to_json())


def test_a_vocabulary_may_be_continued(sets: list[Made]) -> None:
    texts = tuple(f"t{number}" for number in range(30))
    for made, count in ((sets[0], 30), (sets[1], 32)):
        more = texts + tuple(f"t{number}" for number in range(30, count))
        labels = made.manifest.labels[0], Label("y1", count, more)
        changed(made, labels=labels)
    shards = open_shards([sets[0].folder, sets[1].folder])
    assert shards.labels[1].classes == 32
    assert shards.labels[1].vocabulary == (*texts, "t30", "t31")
    found = shards.where(y1="t5").labels_array()["y1"]
    assert set(found.tolist()) <= {5}
    labels = sets[1].manifest.labels[0], Label("y1", 30, ("other", *texts[1:]))
    changed(sets[1], labels=labels)
    with pytest.raises(DatasetError, match="for y1 the class 0 = 'other', not 't0'"):
        open_shards([sets[0].folder, sets[1].folder])


def test_what_does_not_fit_is_named(sets: list[Made], tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "one head", heads=1)
    with pytest.raises(DatasetError, match=rf"{other.folder} has labels y0, not y0, y1"):
        open_shards([sets[0].folder, other.folder])
    named = write_dataset(tmp_path / "names", names=("y0", "z1"))
    with pytest.raises(DatasetError, match="has labels y0, z1, not y0, y1"):
        open_shards([sets[0].folder, named.folder])
    with pytest.raises(OptionError, match="split is for shards that are opened"):
        open_shards([open_shards(sets[0].folder), sets[1].folder], "train")
    with pytest.raises(OptionError, match="no shards are named"):
        open_shards([])


def test_joined_sets_are_cached(sets: list[Made], tmp_path: Path) -> None:
    from tests.reader.cached import fill

    urls = [f"file://{made.folder}" for made in sets]
    shards = open_shards(urls, cache=tmp_path / "cache")
    fill(shards)
    assert shards.cached == sum(size > 0 for counts in COUNTS.values() for size in counts)
    assert pairs_of(shards, shuffle="none") == wanted(sets)


def test_images_that_were_cut_in_another_way_are_named(sets: list[Made]) -> None:
    manifest = sets[1].manifest
    other = replace(manifest.transform, crop=(0, 0, 114, 30))
    (sets[1].folder / "dataset.json").write_bytes(replace(manifest, transform=other).to_json())
    with pytest.raises(DatasetError, match=r"b was made with crop=\(0, 0, 114, 30\), .*a with"):
        open_shards([made.folder for made in sets])
