"""Parts of joins of parts, drawn, mixed and resumed: against lists of records in plain Python."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import ShardSet, mix, open_shards
from reader.order.mixed import ROUND
from tests.reader.datasets import Made, write_dataset

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20
)
SHARDS = ((5, 0, 8, 1), (9, 4), (1,))
ORDERS = st.sampled_from(
    [
        {"shuffle": "exact"},
        {"shuffle": "none"},
        {"shuffle": "window", "block": 3, "window": 2},
        {"shuffle": "window", "block": 4, "window": 1, "lanes": 2},
    ]
)


@dataclass(frozen=True)
class Record:
    """A record of a set: which member it is of, and where it lies."""

    member: int
    made: int
    index: int


@dataclass(frozen=True)
class Model:
    """A set, and what it should hold; a set of one dataset says its rows without a member."""

    shards: ShardSet
    records: list[Record]
    members: int = 1


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    folder = tmp_path_factory.mktemp("composed")
    return [
        write_dataset(folder / str(seed), counts, seed=seed) for seed, counts in enumerate(SHARDS)
    ]


def parted(made: list[Made], model: Model, draw: Callable[[Any], Any]) -> Model:
    """Take a part in one of the ways that there are."""
    shards, records = model.shards, model.records
    how = draw(st.sampled_from(["all", "slice", "list", "mask", "where", "function", "drop"]))
    if how == "slice":
        part = slice(
            draw(st.none() | st.integers(-30, 30)), None, draw(st.sampled_from([-2, 1, 3]))
        )
        return replace(model, shards=shards[part], records=records[part])
    if how == "list" and records:
        numbers = draw(st.lists(st.integers(0, len(records) - 1), unique=True))
        signed = [n - len(records) if n % 2 else n for n in numbers]
        return replace(model, shards=shards[signed], records=[records[n] for n in numbers])
    if how == "mask":
        mask = np.array(
            draw(st.lists(st.booleans(), min_size=len(records), max_size=len(records))), np.bool_
        )
        kept = [record for record, keep in zip(records, mask, strict=True) if keep]
        return replace(model, shards=shards[mask], records=kept)

    def label(record: Record, head: int) -> int:
        return int(made[record.made].labels[record.index, head])

    if how == "where":
        classes = draw(st.lists(st.integers(0, 6), min_size=1))
        kept = [record for record in records if label(record, 0) in classes]
        return replace(model, shards=shards.where(y0=classes), records=kept)
    if how == "function":
        least = draw(st.integers(0, 30))
        found = shards.where(lambda labels: labels["y1"] >= least)
        kept = [record for record in records if label(record, 1) >= least]
        return replace(model, shards=found, records=kept)
    if how == "drop" and records:
        gone = draw(st.lists(st.sampled_from(records), unique=True, max_size=5))
        rows = [row_of(made, model, record) for record in gone]
        kept = [record for record in records if record not in gone]
        return replace(model, shards=shards.drop(rows=rows), records=kept)
    return model


def row_of(made: list[Made], model: Model, record: Record) -> Any:
    row = int(made[record.made].rows[record.index])
    return (record.member, row) if model.members > 1 else row


def composed(made: list[Made], draw: Callable[[Any], Any]) -> Model:
    """Draw a part of a join of parts of datasets."""
    models = []
    chosen = draw(st.lists(st.sampled_from(range(len(made))), unique=True, min_size=1))
    for number in chosen:
        records = [Record(0, number, at) for at in range(len(made[number].rows))]
        models.append(parted(made, Model(open_shards(made[number].glob), records), draw))
    while len(models) > 1:
        first, second, *rest = models
        moved = [replace(x, member=x.member + first.members) for x in second.records]
        joined = Model(
            open_shards([first.shards, second.shards]),
            first.records + moved,
            first.members + second.members,
        )
        models = [parted(made, joined, draw), *rest]
    return parted(made, models[0], draw)


def rows_of(batches: Any) -> list[Any]:
    """Return the rows of all records: numbers, or pairs."""
    found = [row for batch in batches for row in batch[-1].tolist()]
    return [tuple(row) if isinstance(row, list) else row for row in found]


@FIXTURE
@given(data=st.data(), order=ORDERS, size=st.integers(1, 5).map(lambda n: 2 * n))
def test_whatever_is_composed_holds_what_the_list_has(
    made: list[Made], small: bool, data: st.DataObject, order: Any, size: int
) -> None:
    model = composed(made, data.draw)
    shards, records = pickle.loads(pickle.dumps(model.shards)), model.records
    assert len(shards) == len(records)
    arrays = shards.labels_array()
    wanted = [made[record.made].labels[record.index].tolist() for record in records]
    assert np.stack([arrays["y0"], arrays["y1"]], axis=1).tolist() == wanted
    rows = [row_of(made, model, record) for record in records]
    of_row = dict(zip(rows, records, strict=True))
    if not records:
        return
    options = {"drop_remainder": False, "rows": True, "dtype": "uint8"}
    assert rows_of(shards.batches(size, shuffle="none", **options)) == rows
    for epoch in range(2):
        batches = list(shards.batches(size, start_epoch=epoch, **order, **options))
        assert Counter(rows_of(batches)) == Counter(rows)
    for images, labels, found in batches:
        for at, row in enumerate(rows_of([(found,)])):
            record = of_row[row]
            assert np.array_equal(images[at], made[record.made].images[record.index])
            assert [int(y[at]) for y in labels] == made[record.made].labels[record.index].tolist()


@FIXTURE
@given(
    data=st.data(),
    order=ORDERS,
    before=st.integers(1, 3).map(lambda n: 2 * n),
    after=st.integers(1, 3).map(lambda n: 2 * n),
    steps=st.integers(0, 30),
    world=st.sampled_from([1, 2]),
    how=st.sampled_from(["plain", "weights", "mix"]),
)
def test_whatever_is_composed_is_resumed_at_the_next_sample(
    made: list[Made],
    small: bool,
    data: st.DataObject,
    order: Any,
    before: int,
    after: int,
    steps: int,
    world: int,
    how: str,
) -> None:
    """By another process, with another batch size and number of workers."""
    model = composed(made, data.draw)
    shards = model.shards
    if len(shards) < 2 * after * world + before:
        return
    options: dict[str, Any] = {"rows": True, "epochs": None, **order}
    if order["shuffle"] == "window":
        options["lanes"] = 2
    if how == "weights":
        options = {"rows": True, "epochs": None}
        options["weights"] = [at % 3 for at in range(len(shards))]
    if how == "mix":
        shards = mix([shards, shards[:2]], data.draw(st.sampled_from([None, [1, 1000]])))
    first = shards.batches(before, **options)
    plain = shards.batches(64 if how == "mix" else 2, **options)
    epochs = [rows_of(islice(plain, len(plain))) for _ in range(1 + steps // len(first) + 1)]
    if how == "plain":
        own = Counter(row_of(made, model, record) for record in model.records)
        assert all(Counter(epoch) <= own for epoch in epochs)
    elif how == "weights":
        never = {row_of(made, model, record) for record in model.records[::3]}
        assert never.isdisjoint(chain(*epochs))
    else:
        assert shards.mix is not None
        counts = Counter(member >= max(1, model.members) for member, *_ in epochs[0])
        assert counts[True] * ROUND == shards.mix.places[1] * len(epochs[0])
    for _ in range(steps):
        next(first)
    state = json.loads(json.dumps(first.state_dict()))
    again = pickle.loads(pickle.dumps(shards))
    workers = [again.batches(after, worker=(rank, world), **options) for rank in range(world)]
    for worker in workers:
        worker.load_state_dict(state)
    wanted = epochs[state["epoch"]][state["samples"] :]
    for at in range(0, min(len(wanted), 200) - after * world + 1, after * world):
        found = [row for worker in workers for row in rows_of([next(worker)])]
        expected = wanted[at : at + after * world]
        if order["shuffle"] == "window" and how != "weights" and world > 1:
            found, expected = sorted(found), sorted(expected)
        assert found == expected
