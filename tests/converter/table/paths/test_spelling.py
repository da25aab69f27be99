"""The same path is one path, however it is spelled."""

from __future__ import annotations

import posixpath
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.table.cells.splits import SplitShares
from converter.table.paths.spelling import Spelling
from converter.table.read_table import read_table
from shardio.errors import TableError
from tests.converter.inputs import write_csv

ROOT = "/data/set"
SAME = [
    ["a/0.png", "./a/0.png", "a//0.png", "a/./0.png", "b/../a/0.png", "/data/set/a/0.png"],
    ["m.tar::x/0.png", "./m.tar::x/0.png", "m.tar::./x/0.png", "tar://x/0.png::m.tar"],
    ["/data/set/m.zip::0.png", "zip://0.png::/data/set/m.zip", "m.zip::/0.png"],
    ["s3://bucket/a//b", "s3://bucket/a//b"],
    ["/other/0.png", "/other//0.png", "//other/0.png", "///other/0.png"],
    ["文.png", "./文.png"],
]


def test_each_image_has_one_spelling() -> None:
    spelling = Spelling(ROOT)
    groups = [{spelling.of(path) for path in paths} for paths in SAME]
    assert [len(group) for group in groups] == [1] * len(SAME)
    assert len(set.union(*groups)) == len(SAME)


@given(
    st.lists(st.lists(st.sampled_from(["a", "..", ".", "", "data", "set", "b::c"])).map("/".join))
)
def test_many_are_spelled_as_each(paths: list[str]) -> None:
    spelling = Spelling(ROOT)
    found = spelling.of_all(pa.array(paths, pa.large_string())).to_pylist()
    assert found == [spelling.of(path) for path in paths]
    for path in found:
        assert spelling.of(path) == path
        assert posixpath.normpath(path) == path or "::" in path or not path


@pytest.mark.parametrize("same", SAME)
def test_no_spelling_gets_into_two_splits(tmp_path: Path, same: list[str]) -> None:
    paths = [path.replace(ROOT, str(tmp_path)) for path in same]
    rows = [[path, 0, "val" if number else "train"] for number, path in enumerate(paths)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    with pytest.raises(TableError, match="is in split val, and in split train in row 0"):
        read_table(str(table), labels=None, classes=None)
    shares = SplitShares.parse("train=0.5,val=0.5")
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [row[:2] for row in rows])
    for seed in range(20):
        dealt = read_table(str(table), labels=None, classes=None, shares=shares, seed=seed)
        assert len(dealt.splits) == 1
