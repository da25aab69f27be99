"""Ids and names of one image are one path, where the table or an option says so."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.table.paths.endings import Endings
from converter.table.paths.folder_listing import IMAGE_ENDINGS, ending_of
from converter.table.paths.spelling import Spelling
from converter.table.read_table import read_table
from converter.table.reading import Reading
from shardio.errors import TableError
from tests.converter.inputs import write_csv

_PATHS = st.sampled_from(
    ["a", "a.png", "b/c.JPEG", "b.d/c", "a.b", "", ".png", "x.tar::a", "1.2.3"]
)


@given(st.lists(_PATHS, max_size=8))
def test_ids_get_the_extension_in_one_way(paths: list[str]) -> None:
    spelling = Spelling("/data", None, ".png")
    found = spelling.of_all(pa.array(paths, pa.large_string())).to_pylist()
    assert found == [spelling.of(path) for path in paths]
    assert all(ending_of(path) in IMAGE_ENDINGS for path in found if path)


@given(st.lists(_PATHS, max_size=8), st.integers(0, 3))
def test_both_kinds_are_noted(paths: list[str], start: int) -> None:
    endings = Endings()
    endings.add(pa.array(paths, pa.large_string()).slice(min(start, len(paths))))
    kinds = {ending_of(path) in IMAGE_ENDINGS for path in paths[start:] if path}
    # A dot near the end of a path is no ending of an image: then it may not be noted.
    if len(kinds) < 2:
        assert endings.notes() == []
    odd = {"a.b", ".png", "1.2.3"}
    if len(kinds) == 2 and odd.isdisjoint(paths[start:]):
        assert len(endings.notes()) == 1


def test_an_id_and_a_name_in_two_splits(tmp_path: Path) -> None:
    rows = [["i/0", 0, "train"], ["i/0.png", 1, "val"]]
    table = str(write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows))
    found = read_table(table, labels=None, classes=None)
    assert any("such as 'i/0'" in note for note in found.notes)
    with pytest.raises(
        TableError, match=r"row 1: path 'i/0\.png' is in split val, and in split tr"
    ):
        read_table(table, labels=None, classes=None, reading=Reading(extension=".png"))
