"""Text labels, splits by shares, and what is said of the labels."""

from __future__ import annotations

import json
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter import ConvertOptions, convert
from converter.command.cli import main
from converter.table.cells.label_statistics import HeadStatistics, label_statistics
from converter.table.cells.splits import SplitShares
from converter.table.cells.vocabulary import read_vocabulary
from converter.table.read_table import read_table
from converter.table.table import Table
from reader import open_shards
from shardio.errors import OptionError, OutputError, TableError
from shardio.format.label import Label
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv, write_images

WORDS = ["龍", "山", "a", "10", "2", "Ä", "x y", "你"]
SMALL = Transform(None, (16, 8))


def texts(path: Path, rows: list[list[str]]) -> Path:
    """Write a table with the heads y0, y1, ... of texts."""
    heads = [f"y{head}" for head in range(len(rows[0]))]
    columns = {"path": [f"{n}.png" for n in range(len(rows))]}
    columns |= {head: [row[n] for row in rows] for n, head in enumerate(heads)}
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        lines = (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )
        path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    else:
        write_csv(path, list(columns), zip(*columns.values(), strict=True))
    return path


def read(path: Path, **options: object) -> Table:
    return read_table(str(path), labels=None, classes=None, **options)  # type: ignore[arg-type]


class TestTextLabels:
    @pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
    @settings(deadline=None, max_examples=30)
    @given(rows=st.lists(st.lists(st.sampled_from(WORDS), min_size=2, max_size=2), min_size=1))
    def test_all_heads_share_a_vocabulary_in_the_order_of_code_points(
        self, tmp_path_factory: pytest.TempPathFactory, ending: str, rows: list[list[str]]
    ) -> None:
        table = read(texts(tmp_path_factory.mktemp("t") / f"t.{ending}", rows), text_labels=True)
        assert table.vocabulary == tuple(sorted({word for row in rows for word in row}))
        found = [[table.vocabulary[label] for label in row] for row in table.labels.tolist()]
        assert found == rows
        assert {head.vocabulary for head in table.heads_of(None)} == {table.vocabulary}

    def test_a_given_vocabulary_numbers_the_classes(self, tmp_path: Path) -> None:
        table = texts(tmp_path / "t.csv", [["山", "龍"], ["龍", "x"]])
        found = read(table, text_labels=True, vocabulary=("x", "龍", "山", "没"))
        assert found.labels.tolist() == [[2, 1], [1, 0]]
        assert [head.classes for head in found.heads_of(None)] == [4, 4]

    def test_what_is_not_in_it_or_missing_is_named(self, tmp_path: Path) -> None:
        table = texts(tmp_path / "t.csv", [["山", "龍"], ["", "x"], ["你" * 50, "山"]])
        with pytest.raises(TableError) as caught:
            read(table, text_labels=True, vocabulary=("山", "龍"))
        assert str(caught.value).split("\n")[1:] == [
            "  line 3, row 1: y0 is missing",
            "  line 3, row 1: y1 is 'x', not in the vocabulary",
            f"  line 4, row 2: y0 is '{'你' * 37}...', not in the vocabulary",
        ]

    def test_without_the_option_a_column_of_texts_is_refused_with_a_hint(
        self, tmp_path: Path
    ) -> None:
        with pytest.raises(TableError, match="need --text-labels"):
            read(texts(tmp_path / "t.csv", [["山"], ["龍"]]))
        with pytest.raises(TableError) as caught:
            read(texts(tmp_path / "t.csv", [["1"], ["2x"]]))
        assert "--text-labels" not in str(caught.value)

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            ("a\n\nb\n", "line 2 is empty"),
            ("a\nb\na\n", "line 3 has 'a' again, as line 1"),
            ("", "is empty"),
            (b"\xff\xfe", "is not UTF-8"),
        ],
    )
    def test_a_bad_vocabulary_is_refused(
        self, tmp_path: Path, data: str | bytes, words: str
    ) -> None:
        path = tmp_path / "words.txt"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        with pytest.raises(OptionError, match=words):
            read_vocabulary(str(path))

    @pytest.mark.parametrize("text", ["a\n 龍\nc", "a\n 龍\nc\n", "\ufeffa\r\n 龍\r\nc\r\n"])
    def test_a_vocabulary_has_a_text_on_each_line(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "words.txt"
        path.write_bytes(text.encode())
        assert read_vocabulary(str(path)) == ("a", "龍", "c")

    def test_the_reader_gets_it_and_another_one_is_another_plan(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        names = write_images(tmp_path, 8, (20, 10))
        rows = [[name, WORDS[n], WORDS[0]] for n, name in enumerate(names)]
        table = str(write_csv(tmp_path / "t.csv", ["path", "y0", "y1"], rows))
        out = str(tmp_path / "out")
        arguments = [table, out, "--crop", "none", "--size", "16x8", "--engine", "inline"]
        assert main([*arguments, "--text-labels"]) == 0
        said = capsys.readouterr()
        assert "label     y0: 8 of 8 classes seen" in said.out
        assert "label y1 has one class only, 龍" in said.err
        shards = open_shards(out)
        vocabulary = shards.labels[0].vocabulary
        assert vocabulary == tuple(sorted(WORDS)) == shards.labels[1].vocabulary
        x, y, found = next(iter(shards.batches(8, rows=True)))
        assert len(x) == 8
        assert [vocabulary[label] for label in y[0]] == [WORDS[row] for row in found]
        words = tmp_path / "words.txt"
        words.write_text("\n".join(WORDS))
        assert main([*arguments, "--vocabulary", str(words)]) == 1
        assert "of another table or other options" in capsys.readouterr().err
        assert main([*arguments, "--vocabulary", str(words), "--overwrite"]) == 0
        assert open_shards(out).labels[0].vocabulary == tuple(WORDS)
        assert main([*arguments, "--vocabulary", str(tmp_path / "no")]) == 1
        with pytest.raises(SystemExit):
            main([*arguments, "--classes", "9", "--text-labels"])


def dealt(paths: list[str], text: str, seed: int = 0) -> list[str]:
    names, split = SplitShares.parse(text).deal(pa.array(paths, pa.large_string()), seed)
    assert list(names) == sorted(set(names))
    return [names[code] for code in split]


class TestShares:
    def test_shares_are_about_what_was_asked_for(self) -> None:
        paths = [f"{n}.jpg" for n in range(20_000)]
        for text, shares in (("train=0.98,val=0.02", [0.98, 0.02]), ("a=.25,b=.5,c=.25", [0.25])):
            counts = Counter(dealt(paths, text))
            for name, share in zip(sorted(counts), shares, strict=False):
                assert abs(counts[name] / len(paths) - share) < 0.015

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.sampled_from([f"{n}" for n in range(40)]), min_size=1), st.randoms())
    def test_a_path_is_in_one_split_whatever_else_there_is(
        self, paths: list[str], chance: object
    ) -> None:
        found = dict(zip(paths, dealt(paths, "train=0.6,val=0.4"), strict=True))
        assert all(
            len(
                {
                    s
                    for p, s in zip(paths, dealt(paths, "train=0.6,val=0.4"), strict=True)
                    if p == path
                }
            )
            == 1
            for path in paths
        )
        for path in paths:
            assert dealt([path], "train=0.6,val=0.4") == [found[path]]

    def test_another_seed_deals_anew(self) -> None:
        paths = [str(n) for n in range(200)]
        assert dealt(paths, "a=0.5,b=0.5", 1) != dealt(paths, "a=0.5,b=0.5", 2)
        assert dealt(["x", "y"], "a=0.5,b=0.5") == dealt(["x", "y"], "a=0.5,b=0.5")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("train=0.9", "must make 1, not 0.9"),
            ("train=0.9,val=0.2", "must make 1, not 1.1"),
            ("train=1,val=0", "share of split val must be above 0"),
            ("train=0.5,train=0.5", "each once"),
            ("a-b=1", "split 'a-b' is not a letter"),
            ("train", "must be like train=0.98"),
            ("", "must be like train=0.98"),
        ],
    )
    def test_what_are_no_shares_is_refused(self, text: str, words: str) -> None:
        with pytest.raises(OptionError, match=words):
            SplitShares.parse(text)

    def test_a_conversion_makes_the_splits_and_other_shares_are_another_plan(
        self, tmp_path: Path
    ) -> None:
        names = write_images(tmp_path, 30, (20, 10))
        table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[n, 1] for n in names])
        options = ConvertOptions(transform=SMALL, splits=SplitShares.parse("train=0.7,val=0.3"))
        convert(str(table), str(tmp_path / "out"), options, engine="inline")
        counts = open_shards(tmp_path / "out", "*").splits
        assert set(counts) == {"train", "val"}
        assert sum(counts.values()) == 30
        before = contents(tmp_path / "out")
        other = ConvertOptions(transform=SMALL, splits=SplitShares.parse("train=0.6,val=0.4"))
        with pytest.raises(OutputError, match="another table or other options"):
            convert(str(table), str(tmp_path / "out"), other, engine="inline")
        assert contents(tmp_path / "out") == before

    def test_shares_beside_a_column_are_refused(self, tmp_path: Path) -> None:
        table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], [["a", 1, "train"]])
        with pytest.raises(TableError, match="has a column split already"):
            read(table, shares=SplitShares.parse("a=1"))


def test_a_path_in_two_splits_of_a_column_is_refused(tmp_path: Path) -> None:
    rows = [["a", 1, "train"], ["b", 1, "val"], ["a", 2, "val"], ["b", 3, "val"]]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    with pytest.raises(
        TableError, match="row 2: path 'a' is in split val, and in split train in row 0"
    ):
        read(table)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1),
    st.booleans(),
    st.sets(st.integers(0, 20)),
)
def test_statistics_are_those_of_counting(
    every: list[tuple[int, int]], texts: bool, dropped: set[int]
) -> None:
    dropped &= set(range(1, len(every)))
    pairs = [pair for row, pair in enumerate(every) if row not in dropped]
    values = [value for value, _ in pairs]
    names = ("test", "train", "val")
    vocabulary = tuple("abcdef") if texts else None
    (found,) = label_statistics(
        [Label("y0", 6, vocabulary)],
        np.array([value for value, _ in every], dtype=np.int64)[:, None],
        names,
        np.array([split for _, split in every], dtype=np.int32),
        sorted(dropped),
    )
    assert isinstance(found, HeadStatistics)
    counts = Counter("abcdef"[v] if texts else str(v) for v in values)
    assert (found.seen, found.lowest, found.highest) == (len(counts), min(values), max(values))
    assert found.most[1] == max(counts.values()) == counts[found.most[0]]
    assert found.least[1] == min(counts.values()) == counts[found.least[0]]
    trained = {value for value, split in pairs if names[split] == "train"}
    wanted = int(len(counts) == 1)
    for code in (0, 2):
        wanted += bool({value for value, split in pairs if split == code} - trained)
    assert len(found.warnings) == wanted


def test_shares_are_exact_fractions() -> None:
    assert SplitShares.parse("a=0.1,b=0.2,c=0.7").shares[0] == ("a", Fraction(1, 10))
