"""Rows of JSON Lines: the objects that Python finds in it, or a refusal."""

from __future__ import annotations

import json
from typing import Any

import fsspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from converter.table.inputs import TableInput
from converter.table.paths.kinds import Kind
from converter.table.read_table import read_table
from converter.table.text import json_nesting
from converter.table.text.json_lines import JsonTable
from converter.table.text.text_encoding import Utf8Stream
from shardio.errors import TableError


def written(text: str, ending: str = "jsonl") -> str:
    name = f"memory://json_lines/t.{ending}"
    with fsspec.filesystem("memory").open(name, "wb") as file:
        file.write(text.encode())
    return name


def objects(text: str) -> list[Any]:
    """Return all values of a text one after the other; ValueError where something else is there."""
    decoder = json.JSONDecoder()
    found = []
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found


texts = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0x2FF), max_size=5)
values = st.tuples(texts, st.integers(0, 2**40))
separators = st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n\t", " ", ""])


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(values, separators), min_size=1, max_size=20),
    st.integers(1, 99),
    st.booleans(),
)
def test_every_object_is_a_row(
    rows: list[tuple[tuple[str, int], str]], block: int, escaped: bool
) -> None:
    text = "".join(
        json.dumps({"path": path, "y0": label}, ensure_ascii=escaped) + end
        for (path, label), end in rows
    )
    name = written(text)
    file = TableInput(name, name, Kind.JSON)
    table = JsonTable(name, lambda: Utf8Stream(file, "utf-8"), block)
    assert sorted(table.names) == ["path", "y0"]
    found = [row for batch in table.batches(["path", "y0"]) for row in batch.to_pylist()]
    expected = [{"path": path, "y0": label} for (path, label), _ in rows]
    assert found == objects(text) == expected


DATES = ["2020-01-01", "2020-01-01 00:00:00", "2020-01-01T00:00:00Z", "2020-01-01T00:00"]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(DATES), min_size=1, max_size=6), st.integers(1, 99))
def test_texts_that_look_like_dates_stay_as_they_are(dates: list[str], block: int) -> None:
    rows = [{"one": date, "list": [date], "lists": [[date]]} for date in dates]
    name = written("".join(json.dumps(row) + "\n" for row in rows))
    table = JsonTable(name, lambda: Utf8Stream(TableInput(name, name, Kind.JSON), "utf-8"), block)
    batches = table.batches(["one", "list", "lists"])
    assert [row for batch in batches for row in batch.to_pylist()] == rows


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from('{}[]":, \n1pa\\'), max_size=12), st.integers(1, 40))
@example(",", 40)
@example('{"path":"b","y0":1', 40)
def test_what_is_no_object_is_refused_with_its_row(junk: str, block: int) -> None:
    text = '{"path":"a","y0":1}\n' * 3 + junk + "\n" + '{"path":"b","y0":2}'
    try:
        expected = objects(text)
    except ValueError:
        expected = [None]
    name = written(text)
    whole = all(isinstance(row, dict) and {"path", "y0"} <= set(row) for row in expected)
    if whole:
        assert len(read_table(name, labels=None, classes=None)) == len(expected)
        return
    with pytest.raises(TableError, match=r"\brow \d"):
        read_table(name, labels=None, classes=None, block=block)


@pytest.mark.parametrize(("ending", "begin", "end"), [("jsonl", "[", "]"), ("json", '{"a":', "}")])
@pytest.mark.parametrize("levels", [999, 1000, 100_000])
def test_values_too_deep_for_the_parser_are_refused_with_their_line(
    ending: str, begin: str, end: str, levels: int
) -> None:
    deep = f'{{"path":"b","y0":2,"x":{begin * levels}1{end * levels}}}\n'
    name = written('{"path":"a","y0":1}' + "\n" * 9001 + deep, ending)
    if levels < 1000:
        assert len(read_table(name, labels=None, classes=None, block=4096)) == 2
        return
    words = rf"^{name}, line 9002: values are nested {levels + 1:,} deep"
    with pytest.raises(TableError, match=words):
        read_table(name, labels=None, classes=None, block=4096)


def levels_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(levels_of, value), default=0) if isinstance(value, list) else 0


any_text = st.text(st.sampled_from('[]{}"\\\n,a'), max_size=6)
any_value = st.recursive(
    any_text | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
)


@settings(deadline=None)
@given(any_value, st.sampled_from([None, 1]))
def test_brackets_in_texts_are_no_levels(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent).encode()
    assert json_nesting._depth(text) == levels_of(value)
