"""Texts of varying length as ids of their characters, with their length beside them."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter import ConvertOptions, convert
from converter.command.cli import main
from converter.table.cells.other_heads import OtherHeads
from converter.table.cells.sequence_column import SequenceColumn, ids_of
from converter.table.read_table import read_table
from reader import open_shards
from shardio.errors import OptionError, TableError
from shardio.format.label import INT, LabelKind
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images

# No white space, which is trimmed, and no mark that would join with the character before it.
WORDS = st.text(
    st.characters(categories=["Lu", "Ll", "Nd", "Lo", "So"]), min_size=1, max_size=7
).filter(lambda word: unicodedata.normalize("NFC", word) == word)


@settings(deadline=None, max_examples=100)
@given(st.lists(WORDS, min_size=1, max_size=20))
def test_ids_and_lengths_give_the_texts_back(words: list[str]) -> None:
    every = tuple(sorted({*"".join(words)}))
    for characters in (None, every):
        reader = SequenceColumn(9, characters)
        numbers, bad = reader.numbers(pa.array([f" {word}\t" for word in words]))
        assert not any(len(found.rows) for found in bad)
        if characters is None:
            assert tuple(map(chr, np.flatnonzero(reader.seen))) == every
            numbers[:, :-1] = ids_of(every)[numbers[:, :-1]]
        assert reader.kinds == (LabelKind(INT, 9), LabelKind(INT, 1))
        vocabulary = ("", *every)
        assert ["".join(vocabulary[n] for n in row[:-1]) for row in numbers] == words
        assert numbers[:, -1].tolist() == [len(word) for word in words]
        used = np.arange(9) < numbers[:, -1:]
        assert ((numbers[:, :-1] > 0) == used).all()


def test_a_text_is_normalised_before_it_is_counted() -> None:
    numbers, _ = SequenceColumn(4, ("e", "é")).numbers(pa.array(["e\u0301e"]))
    assert numbers.tolist() == [[2, 1, 0, 0, 2]]


BAD = {
    "": "missing",
    " ": "missing",
    "abcab": "'abcab', of 5 characters; 4 is the most",
    "abd": "'abd', and 'd' is not in the vocabulary",
    "a b": "'a b', and ' ' is not in the vocabulary",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_a_sequence_is_named(text: str) -> None:
    numbers, bad = SequenceColumn(4, ("a", "b", "c")).numbers(pa.array(["abc", text, "c"]))
    told = [(int(row), found.describe(int(row))) for found in bad for row in found.rows]
    assert told == [(1, BAD[text])]
    assert numbers[[0, 2]].tolist() == [[1, 2, 3, 0, 3], [3, 0, 0, 0, 1]]


def test_a_null_character_is_no_unused_place() -> None:
    _, bad = SequenceColumn(4, None).numbers(pa.array(["a\0b"]))
    assert [found.rows.tolist() for found in bad] == [[], [], [0]]


TEXTS = ["AB", "B", "是A", "CCCC", "A", "BA"]


def table_of(folder: Path) -> Path:
    names = write_images(folder, len(TEXTS), (8, 4))
    rows = [[name, n, TEXTS[n]] for n, name in enumerate(names)]
    return write_csv(folder / "t.csv", ["path", "y0", "text"], rows)


def test_batches_hold_them(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [str(table_of(tmp_path)), str(out), "--size=8x4", "--sequence=text:6"]
    assert main([*arguments, "--engine=inline"]) == 0
    shards = open_shards(out)
    assert [(label.name, label.kind.length, label.classes) for label in shards.labels] == [
        ("y0", 1, 6),
        ("text", 6, 5),
        ("text_length", 1, 7),
    ]
    vocabulary: Any = shards.labels[1].vocabulary
    assert vocabulary == ("", "A", "B", "C", "是")
    ((_, (y0, text, length), rows),) = shards.batches(6, rows=True)
    assert y0.tolist() == rows.tolist()
    for row, ids, used in zip(rows, text, length, strict=True):
        assert "".join(vocabulary[number] for number in ids[:used]) == TEXTS[row]
        assert not ids[used:].any()
    found = pq.read_table(out / "records.parquet").to_pydict()
    assert found["text_length"] == [len(TEXTS[row]) for row in found["row"]]


def test_a_vocabulary_says_which_characters_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of(tmp_path)
    (tmp_path / "words.txt").write_text("是\nC\nB\nA\nZ\n")
    out = tmp_path / "out"
    arguments = [str(table), str(out), "--size=8x4", "--labels=", "--sequence=text:4"]
    arguments += ["--engine=inline", f"--vocabulary={tmp_path / 'words.txt'}"]
    assert main([*arguments, "--dry-run"]) == 0
    assert "text 'AB', text_length 2" in capsys.readouterr().out
    assert main(arguments) == 0
    shards = open_shards(out)
    assert shards.labels[0].vocabulary == ("", "是", "C", "B", "A", "Z")
    ((_, (text, _), rows),) = shards.batches(6, rows=True)
    assert text[rows.tolist().index(2)].tolist() == [1, 4, 0, 0]
    (tmp_path / "words.txt").write_text("A\nB\n")
    assert main([*arguments, "--overwrite"]) == 1
    assert "text is '是A', and '是' is not in the vocabulary" in capsys.readouterr().err


def test_several_share_their_characters(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "a", "b"], [["x", "AC", "B"], ["y", "C", "CB"]])
    others = OtherHeads(sequences=(("a", 2), ("b", 3)))
    found = read_table(str(table), labels=(), classes=None, others=others)
    assert found.heads == ("a", "a_length", "b", "b_length")
    assert found.labels.tolist() == [[1, 3, 2, 2, 0, 0, 1], [3, 0, 1, 3, 2, 0, 2]]
    labels = found.heads_of(None)
    assert [label.classes for label in labels] == [4, 3, 4, 4]
    assert labels[0].vocabulary == labels[2].vocabulary == ("", "A", "B", "C")


def test_a_second_run_finds_the_same_ids(tmp_path: Path) -> None:
    table, out = table_of(tmp_path), str(tmp_path / "out")
    options = ConvertOptions(transform=Transform(None, (8, 4)), sequences=(("text", 6),))
    assert convert(str(table), out, options, engine="inline").shards_made > 0
    assert convert(str(table), out, options, engine="inline").complete_before


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no length": ({"sequences": (("a", 0),)}, "must be 1 to 65,535, not 0: a"),
    "two vocabularies": (
        {"sequences": (("a", 4),), "text_labels": True},
        "sequences and text labels would need two vocabularies",
    ),
    "its length is a label": (
        {"sequences": (("a", 4),), "labels": ("a_length",)},
        "a_length is the length of the sequence a",
    ),
    "words": (
        {"sequences": (("a", 4),), "vocabulary": ("a", "bc")},
        "the vocabulary of sequences has characters, not 'bc'",
    ),
    "a vector too": ({"sequences": (("a", 4),), "vectors": ("a",)}, "distinct"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_contradict_each_other_are_refused(case: str) -> None:
    how, said = REFUSED[case]
    with pytest.raises(OptionError, match=said):
        ConvertOptions(**how)


def test_bad_rows_are_listed(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "text"], [["a", "ABCDE"], ["b", "A"], ["c", ""]])
    others = OtherHeads(sequences=(("text", 4),))
    with pytest.raises(TableError) as caught:
        read_table(str(table), labels=None, classes=None, others=others)
    assert "text is 'ABCDE', of 5 characters; 4 is the most" in str(caught.value)
    assert "text is missing" in str(caught.value)
