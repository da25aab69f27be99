"""`where`, `drop`, `labels_array` and `table`: what NumPy finds in the labels of all records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter import ConvertOptions, convert
from reader import ShardSet, open_shards
from reader.look.where import class_of
from reader.sets import choice, kept_array, record_columns, records_table, selection
from reader.sets.conditions import wanted_classes
from shardio.errors import CorruptRecordError, MissingExtraError, OptionError
from shardio.format.label import Label
from shardio.format.naming import RECORDS
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import OTHER_KINDS, Made, write_dataset

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25
)
TEXTS = ["cat", "dog", "猫"]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """No test knows the columns of another one."""
    yield
    record_columns._known.clear()


@pytest.fixture
def kinds(tmp_path: Path) -> Made:
    return write_dataset(tmp_path / "set", more=OTHER_KINDS)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with splits, texts, rejects and records.parquet."""
    folder = tmp_path_factory.mktemp("where")
    names = [*write_images(folder / "images", 40, (60, 40)), "none.png"]
    rows = [
        [f"images/{name}", TEXTS[n % 3], "val" if n % 4 == 0 else "train"]
        for n, name in enumerate(names)
    ]
    table = write_csv(folder / "t.csv", ["path", "y0", "split"], rows)
    options = ConvertOptions(transform=Transform(None, (16, 8)), shards=5, text_labels=True)
    convert(str(table), str(folder / "out"), options, engine="inline", max_rejects="1")
    return folder / "out"


@pytest.fixture(params=["table", "no pyarrow", "another table", "no table"])
def source(
    request: pytest.FixtureRequest,
    converted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The set, whose labels come from its table or, where that cannot be, from the shards."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in converted.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if request.param == "no pyarrow":
        monkeypatch.setattr(records_table, "has_pyarrow", lambda: False)
    if request.param == "another table":
        data = bytearray((folder / RECORDS).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / RECORDS).write_bytes(data)
    if request.param == "no table":
        (folder / RECORDS).unlink()
    return folder


def columns_by_hand(shards: ShardSet) -> dict[str, list[int]]:
    """Read all records one by one."""
    batches = list(shards.batches(1, shuffle="none", rows=True, dtype="uint8"))
    return {
        "y0": [int(batch[1][0]) for batch in batches],
        "row": [int(batch[2][0]) for batch in batches],
    }


def test_labels_are_the_same_wherever_they_come_from(source: Path) -> None:
    for split in ("*", "train", "val"):
        shards = open_shards(source, split)
        arrays = shards.labels_array()
        assert {name: array.tolist() for name, array in arrays.items()} == columns_by_hand(shards)
        assert arrays["y0"].dtype == np.int32
        assert arrays["row"].dtype == np.int64
    # Shards in another sequence than that of the table, and not all of them.
    paths = [shard.path for shard in open_shards(source, "*").shards]
    some = open_shards([paths[3], paths[0], paths[4]])
    assert some.labels_array()["row"].tolist() == columns_by_hand(some)["row"]


def test_where_by_texts_and_splits(source: Path) -> None:
    shards = open_shards(source, "*")
    (label,) = shards.labels
    assert label.vocabulary is not None
    arrays = shards.labels_array()
    choices: list[Any] = ["猫", ["cat", "dog"], ["cat", 1], 2, np.array([0, 2]), range(2)]
    for wanted in choices:
        single = isinstance(wanted, str | int)
        classes = [
            label.vocabulary.index(one) if isinstance(one, str) else int(one)
            for one in ([wanted] if single else wanted)
        ]
        found = shards.where(y0=wanted).labels_array()["row"]
        assert found.tolist() == arrays["row"][np.isin(arrays["y0"], classes)].tolist()
    val = shards.where(split="val")
    assert val.splits == {"val": len(open_shards(source, "val"))}
    assert (
        val.labels_array()["row"].tolist()
        == open_shards(source, "val").labels_array()["row"].tolist()
    )
    both = shards.where(y0="cat", split=["train"])
    assert 0 < len(both) < len(shards.where(y0="cat"))


def test_the_table(converted: Path) -> None:
    shards = open_shards(converted, "*")
    table = shards.table()
    assert table.column_names == ["split", "shard", "number", "row", "path", "y0"]
    assert table["row"].to_pylist() == shards.labels_array()["row"].tolist()
    part = shards.where(y0="dog")[::-1]
    assert part.table()["row"].to_pylist() == part.labels_array()["row"].tolist()
    assert open_shards(converted, "val").table()["split"].unique().to_pylist() == ["val"]


def test_the_table_of_a_set_without_one(kinds: Made) -> None:
    shards = open_shards(kinds.glob)
    table = shards.table()
    assert table.num_rows == 37
    assert table["row"].to_pylist() == kinds.rows.tolist()
    assert table["y1"].to_pylist() == kinds.labels[:, 1].tolist()
    assert table["ids"].to_pylist() == kinds.labels[:, 2:5].tolist()
    assert table["number"].to_pylist()[5:8] == [0, 1, 2]
    assert table["path"].null_count == 37


def test_the_table_needs_pyarrow(kinds: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_table, "has_pyarrow", lambda: False)
    with pytest.raises(MissingExtraError, match=r"shardio's extra \[table\]"):
        open_shards(kinds.glob).table()


@FIXTURE
@given(
    y0=st.lists(st.integers(0, 6), max_size=4),
    least=st.integers(0, 30),
    chosen=st.lists(st.integers(0, 36), unique=True),
)
def test_where_is_what_numpy_finds(
    kinds: Made, y0: list[int], least: int, chosen: list[int]
) -> None:
    shards = open_shards(kinds.glob)[chosen]
    found = shards.where(lambda labels: labels["y1"] >= least, y0=y0)
    labels, rows = kinds.labels[chosen], kinds.rows[chosen]
    mask = (labels[:, 1] >= least) & np.isin(labels[:, 0], y0)
    assert found.labels_array()["row"].tolist() == rows[mask].tolist()


def test_functions_see_every_kind(kinds: Made) -> None:
    shards = open_shards(kinds.glob)
    boxes = shards.labels_array()["box"]
    assert boxes.dtype == np.float32
    assert boxes.shape == (37, 4)
    found = shards.where(lambda labels: (labels["box"] > 0).all(axis=1) & (labels["ids"][:, 0] > 1))
    arrays = shards.labels_array()
    mask = (arrays["box"] > 0).all(axis=1) & (arrays["ids"][:, 0] > 1)
    assert found.labels_array()["row"].tolist() == kinds.rows[mask].tolist()


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"y2": 1}, "the set has no label 'y2'; it has y0, y1, ids, score, box, split"),
        ({"y0": 7}, "y0 has 7 classes, from 0 on: 7 is none of them"),
        ({"y0": -1}, "y0 has 7 classes, from 0 on: -1"),
        ({"y0": [1, 2.0]}, "a class of y0 is a number or a text, not 2.0"),
        ({"y0": True}, "a number or a text, not True"),
        ({"y0": "cat"}, "y0 has no texts"),
        (
            {"score": 0.5},
            "score is float, not one class; choose by a function",
        ),
        ({"box": [1]}, "box is 4 floats, not one class"),
        ({"y0": np.array(7)}, "y0 has 7 classes, from 0 on: 7 is none of them"),
        ({"split": "val"}, "the set has no split 'val'; it has train"),
        ({"split": None}, "the set has no split None; it has train"),
    ],
)
def test_what_no_record_can_have_is_refused(
    kinds: Made, conditions: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        open_shards(kinds.glob).where(**conditions)


@pytest.mark.parametrize("text", ["e\u0301te\u0301", "été", " été\t"])
def test_texts_count_as_the_converter_writes_them(text: str) -> None:
    """Labels are trimmed and in NFC; what somebody types need not be."""
    label = Label("y0", 3, ("cat", "été", "x"))
    assert wanted_classes(label, text).tolist() == [1]
    assert class_of(text, label) == 1
    odd = Label("y0", 2, ("été", "e\u0301te\u0301"))  # of a set of another tool
    assert [odd.number_of(word) for word in ("été", "e\u0301te\u0301")] == [0, 1]
    assert Label("y0", 2).number_of("été") is None


def test_texts_that_there_are_not(converted: Path) -> None:
    with pytest.raises(OptionError, match="y0 has no class 'cats'; did you mean 'cat'"):
        open_shards(converted, "*").where(y0="cats")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (lambda labels: labels["y0"], r"an array of bool \(37,\), not int32 \(37,\)"),
        (lambda labels: True, r"an array of bool \(37,\), not bool \(\)"),
        (lambda labels: labels["ids"] > 1, r"not bool \(37, 3\)"),
        (
            lambda labels: labels["y3"] > 1,
            "no label 'y3'; it has y0, y1, ids, score, box, row",
        ),
        (np.ones(37, dtype=bool), r"not ndarray; a mask or a list .*: shards\[mask\]"),
    ],
)
def test_what_is_no_condition_is_refused(kinds: Made, condition: Any, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        open_shards(kinds.glob).where(condition)


@pytest.mark.parametrize("piece", [1 << 20, 8])
def test_a_function_judges_each_record_once(
    kinds: Made, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """What draws random numbers says another thing the second time."""
    for module in (choice, selection):
        monkeypatch.setattr(module, "PIECE", piece)
    monkeypatch.setattr(kept_array, "SMALL_BYTES", 0)
    rng, judged = np.random.default_rng(3), dict[int, bool]()

    def some(labels: Any) -> Any:
        drawn = rng.random(len(labels["row"])) < 0.5
        assert not judged.keys() & {*labels["row"].tolist()}
        judged.update(zip(labels["row"].tolist(), drawn.tolist(), strict=True))
        return drawn

    part = open_shards(kinds.glob).where(some)
    assert part.labels_array()["row"].tolist() == [r for r in kinds.rows.tolist() if judged[r]]
    assert len(judged) == 37


def test_rows_are_dropped(kinds: Made) -> None:
    shards = open_shards(kinds.glob)
    gone = kinds.rows[[3, 20]].tolist()
    left = shards.drop(rows=gone)
    assert left.labels_array()["row"].tolist() == [r for r in kinds.rows.tolist() if r not in gone]
    wrong: list[tuple[Any, str]] = [
        ([gone[0], 99], "no record of row 99"),
        ([*range(37, 50)], r"row 37, 38, 39, 40, 41, \.\.\."),
        (["3"], "a row is a whole number, not '3'"),
        (3, r"rows is a list of rows, such as \[3\], not 3"),
    ]
    for rows, words in wrong:
        with pytest.raises(OptionError, match=words):
            shards.drop(rows=rows)
    with pytest.raises(OptionError, match=f"no record of row {gone[0]}"):
        left.drop(rows=gone[:1])


def test_a_pass_over_damaged_shards_is_an_error(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set")
    data = bytearray(made.shard(4).read_bytes())
    data[100] ^= 1
    made.shard(4).write_bytes(data)
    with pytest.raises(CorruptRecordError, match="record"):
        open_shards(made.glob).where(y0=1)


def test_the_pass_is_one_for_all_heads(kinds: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    read_all = record_columns._read_all

    def counted(*args: Any) -> None:
        passes.append(1)
        read_all(*args)

    monkeypatch.setattr(record_columns, "_read_all", counted)
    shards = open_shards(kinds.glob)
    shards.where(y0=1)
    shards.labels_array()
    shards.drop(rows=[3])
    assert len(passes) == 1


@pytest.mark.parametrize("how", ["removed", "damaged", "cut"])
@pytest.mark.parametrize("mapped", [True, False])
def test_columns_that_are_gone_or_damaged_are_made_again(
    kinds: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, mapped: bool
) -> None:
    """In the process, too, that has made them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(kept_array, "SMALL_BYTES", 0)
    shards = open_shards(kinds.glob)
    wanted = np.flatnonzero(shards.labels_of("y0") == 1)
    if mapped:
        shards.labels_array()
    for path in (tmp_path / "cache" / "shardio" / "arrays").iterdir():
        data = path.read_bytes()
        path.unlink()
        if how != "removed":
            path.write_bytes(data[:-40] + bytes(40) if how == "damaged" else data[: len(data) // 2])
    kept_array._compared.clear()
    for again in (shards, open_shards(kinds.glob)):
        assert np.array_equal(again.where(y0=1).labels_of("row"), kinds.rows[wanted])
        assert np.array_equal(again.labels_of("y1"), kinds.labels[:, 1])
        next(again.batches(2, weights={"y1": "balanced"}))


def test_labels_with_the_names_of_columns_are_not_taken_for_each_other(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images", 12, (60, 40))
    labels = ("shard", "label.shard", "label.label.shard", "number")
    rows = [[f"images/{x}", n % 2, n % 3, n % 5, n % 7] for n, x in enumerate(names)]
    table = write_csv(tmp_path / "t.csv", ["path", *labels], rows)
    options = ConvertOptions(transform=Transform(None, (16, 8)), shards=2, labels=labels)
    convert(str(table), str(tmp_path / "out"), options, engine="inline")
    shards = open_shards(tmp_path / "out")
    row = shards.labels_of("row")
    for name, classes in zip(labels, (2, 3, 5, 7), strict=True):
        assert np.array_equal(shards.labels_of(name), row % classes), name
    for found in (shards.table(), without_a_table(tmp_path / "out").table()):
        assert found["label.label.label.shard"].to_pylist() == (row % 2).tolist()
        assert found["label.shard"].to_pylist() == (row % 3).tolist()
        assert found["label.number"].to_pylist() == (row % 7).tolist()


def without_a_table(folder: Path) -> ShardSet:
    """The same set, whose labels are read from its shards."""
    record_columns._known.clear()
    (folder / RECORDS).unlink()
    return open_shards(folder)
