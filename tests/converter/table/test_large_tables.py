"""Tables of any length: read in slices, kept on disk, the same as if they were read at once."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from converter.shards.plan import plan_shards
from converter.table.cells.bad_rows import Bad, BadRows
from converter.table.cells.duplicates import add_paths_in_two_splits
from converter.table.cells.label_statistics import HeadStatistics, label_statistics
from converter.table.cells.splits import SplitShares
from converter.table.read_table import read_table
from converter.table.scratch import SLICE, Scratch, Texts
from shardio.errors import StorageError, TableError
from shardio.format.label import Label
from tests.converter.inputs import write_csv
from tests.converter.memory import peak_memory

# A block must hold a line.
BLOCKS = st.integers(200, 3000)
WHOLE = 1 << 26
VALUES: dict[str, list[Any]] = {
    "numbers": [0, 1, 7, 20, 2**31 - 1],
    "bad numbers": [3, -1, 2**31, None],
    "floats": [1, 2.0, 3.5, None, 1e300],
    "texts": ["0", "1", " 12 ", "+5"],
    "bad texts": ["4", "x", "", "-3", None, "9" * 30],
    "mixed": [1, 2.0, "3"],
}
rows = st.integers(1, 120).flatmap(
    lambda count: st.tuples(
        st.lists(st.sampled_from(["", "é", "..", "x", "2024-01-01"]), min_size=1, max_size=4),
        st.sampled_from(sorted(VALUES)).flatmap(
            lambda kind: st.lists(st.sampled_from(VALUES[kind]), min_size=count, max_size=count)
        ),
        st.lists(st.sampled_from(["train", "val", "1"]), min_size=1, max_size=3),
        st.integers(1, 200),
    )
)


def write(path: Path, columns: dict[str, list[Any]], group: int = 1 << 20) -> Path:
    lines = list(zip(*columns.values(), strict=True))
    if path.suffix == ".jsonl":
        texts = (json.dumps(dict(zip(columns, line, strict=True))) for line in lines)
        path.write_text("\n".join(texts))
    elif path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path, row_group_size=group)
    else:
        write_csv(path, columns, lines)
    return path


def outcome(path: Path, block: int, **how: Any) -> Any:
    """Return all that is in a table, or why it is refused."""
    try:
        table = read_table(str(path), labels=None, classes=None, block=block, **how)
    except TableError as error:
        return str(error)
    paths = table.paths(np.arange(len(table)))
    names = [table.splits[code] for code in table.split]
    return table.labels.tolist(), paths, table.splits, names, table.vocabulary, table.heads


class TestBlocks:
    @settings(
        max_examples=120,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        made=rows,
        ending=st.sampled_from(["csv", "jsonl"]),
        block=BLOCKS,
        how=st.sampled_from([{}, {"text_labels": True}]),
    )
    def test_a_table_is_the_same_whatever_the_size_of_its_blocks(
        self, tmp_path: Path, made: Any, ending: str, block: int, how: dict[str, Any]
    ) -> None:
        starts, labels, splits, different = made
        columns: dict[str, list[Any]] = {
            "path": [f"{starts[n % len(starts)]}{n % different}" for n in range(len(labels))],
            "y0": labels,
            "split": [splits[n % different % len(splits)] for n in range(len(labels))],
        }
        table = write(tmp_path / f"t.{ending}", columns)
        whole, cut = outcome(table, WHOLE, **how), outcome(table, block, **how)
        if isinstance(whole, str) and " changed from " in whole:
            # Arrow may see a float or a text first, but names the row of the change.
            assert re.search(r"changed from \w+ to \w+ in row \d+", cut)
        else:
            assert cut == whole

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(made=rows, group=st.integers(1, 50))
    def test_row_groups_make_no_difference(self, tmp_path: Path, made: Any, group: int) -> None:
        starts, labels, splits, _ = made
        columns: dict[str, list[Any]] = {
            "path": [f"{starts[n % len(starts)]}{n}" for n in range(len(labels))],
            "y0": [None if label is None else str(label) for label in labels],
            "split": [splits[n % len(splits)] for n in range(len(labels))],
        }
        one = outcome(write(tmp_path / "one.parquet", columns), WHOLE)
        many = outcome(write(tmp_path / "many.parquet", columns, group), WHOLE)
        if isinstance(one, str):
            assert many == one.replace("one.parquet", "many.parquet")
        else:
            assert many == one


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in objects)


class TestJson:
    """Its columns get their types block by block."""

    FILL = tuple({"path": f"{n:050}", "y0": 1} for n in range(50))

    def read(self, folder: Path, text: str) -> Any:
        (folder / "t.jsonl").write_text(text)
        return outcome(folder / "t.jsonl", 400)

    def test_whole_numbers_may_become_floats_and_back(self, tmp_path: Path) -> None:
        text = lines(
            {"path": "a", "y0": 3}, *self.FILL, {"path": "b", "y0": 4.0}, {"path": "c", "y0": 5}
        )
        labels = self.read(tmp_path, text)[0]
        assert [labels[0], *labels[-2:]] == [[3], [4], [5]]
        said = self.read(tmp_path, text + lines({"path": "d", "y0": 4.5}))
        assert said.endswith("line 54, row 53: y0 is 4.5, not an integer")

    def test_texts_after_dates_leave_both_as_they_are(self, tmp_path: Path) -> None:
        dates = tuple({"path": f"2024-01-{n % 28 + 1:02}", "y0": 1} for n in range(99))
        wanted = [line["path"] for line in dates] + ["a"]
        assert self.read(tmp_path, lines(*dates, {"path": "a", "y0": 1}))[1] == wanted
        assert (
            self.read(tmp_path, lines({"path": "a", "y0": 1}, *dates))[1]
            == wanted[-1:] + wanted[:-1]
        )

    @pytest.mark.parametrize("value", ["x", [1], True, {"a": 1}])
    def test_another_type_in_a_later_block_is_named(self, tmp_path: Path, value: Any) -> None:
        said = self.read(tmp_path, lines(*self.FILL, {"path": "a", "y0": value}))
        assert re.search(r"Column\(/y0\) changed from number to \w+ in row 50", said)
        said = self.read(tmp_path, lines(*self.FILL, {"path": 3, "y0": 1}))
        assert re.search(r"Column\(/path\) changed from string to number in row 50", said)

    def test_a_column_that_is_missing_for_some_blocks_is_missing_in_their_rows(
        self, tmp_path: Path
    ) -> None:
        said = self.read(tmp_path, lines(*self.FILL, {"path": "a", "y0": 1, "y1": 2}))
        assert "has 50 bad rows" in said
        assert "line 1, row 0: y1 is missing\n" in said
        said = self.read(tmp_path, lines({"path": "a"}, *self.FILL, {"path": "b", "y0": None}))
        assert said.split("\n")[1:] == [
            "  line 1, row 0: y0 is missing",
            "  line 52, row 51: y0 is missing",
        ]

    def test_damage_is_named_with_its_row_and_blank_lines_do_not_count(
        self, tmp_path: Path
    ) -> None:
        text = lines(*self.FILL[:20]) + "\n" * 900 + lines(*self.FILL)
        assert len(self.read(tmp_path, text)[0]) == 70
        assert len(self.read(tmp_path, text.replace("\n", "\r\n"))[0]) == 70
        assert len(self.read(tmp_path, text.rstrip("\n"))[0]) == 70
        assert re.search("JSON parse error: .* in row 70", self.read(tmp_path, text + '{"path": '))

    def test_a_line_may_be_longer_than_a_block(self, tmp_path: Path) -> None:
        long = {"path": "x" * 5000, "y0": 2}
        labels, paths, *_ = self.read(tmp_path, lines(*self.FILL, long, *self.FILL))
        assert (labels[50], paths[50]) == ([2], long["path"])


def test_a_column_of_texts_is_told_from_a_slip_over_all_blocks(tmp_path: Path) -> None:
    columns = {"path": [f"{n:060}" for n in range(100)], "y0": ["x"] * 100}
    table = write(tmp_path / "t.csv", columns)
    assert "y0 is 'x', not an integer (line 2, row 0); labels that are texts" in outcome(table, 300)
    columns["y0"][99] = "5"
    assert "text-labels" not in outcome(write(table, columns), 300)


def texts_of(paths: list[str]) -> Texts:
    with Scratch() as scratch:
        column = scratch.texts()
        column.append(pa.array(paths, pa.large_string()))
        return column.finish()


def said_of(bad: BadRows) -> list[str]:
    try:
        bad.refuse("t")
    except TableError as error:
        return str(error).split("\n")
    return []


@settings(deadline=None, max_examples=150)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), min_size=1, max_size=60),
    kinds=st.integers(1, 14),
    at_a_time=st.integers(1, 80),
)
def test_paths_in_two_splits_are_those_that_a_dictionary_finds(
    pairs: list[tuple[int, int]], kinds: int, at_a_time: int
) -> None:
    """Few `kinds` of hashes are shared by different paths."""
    paths = [f"p{path}" for path, _ in pairs]
    splits = ("a", "b", "c")
    wanted = BadRows()
    first: dict[str, int] = {}
    for row, path in enumerate(paths):
        at = first.setdefault(path, row)
        if pairs[at][1] != pairs[row][1]:
            text = (
                f"path {path!r} is in split {splits[pairs[row][1]]}, and in split "
                f"{splits[pairs[at][1]]} in row {at}"
            )
            wanted.add(Bad(np.array([row]), lambda _, text=text: text))  # type: ignore[misc]
    hashes = np.array([path % kinds << 60 | path % kinds for path, _ in pairs], dtype=np.uint64)
    found = BadRows()
    split = np.array([code for _, code in pairs], dtype=np.int32)
    add_paths_in_two_splits(found, texts_of(paths), hashes, splits, split, at_a_time=at_a_time)
    assert said_of(found) == said_of(wanted)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 99), st.sampled_from("xyz")), unique=True, min_size=1, max_size=90
    ),
    st.integers(1, 40),
)
def test_bad_rows_are_the_first_ones_in_whatever_order_they_come(
    problems: list[tuple[int, str]], slice_rows: int
) -> None:
    bad = BadRows()
    for letter in "zxy":
        of_letter = sorted(row for row, text in problems if text == letter)
        for start in reversed(range(0, 100, slice_rows)):
            own = [row - start for row in of_letter if start <= row < start + slice_rows]
            bad.add(Bad(np.array(own, dtype=np.int64), lambda _, letter=letter: letter), start)  # type: ignore[misc]
    head, *said = said_of(bad)
    assert f" {len({row for row, _ in problems})} bad row" in head
    assert said[:20] == [f"  row {row}: {text}" for row, text in sorted(problems)[:20]]
    assert said[20:] == ([f"  and {len(problems) - 20} more"] if len(problems) > 20 else [])


class TestManySlices:
    """More rows than are looked at together."""

    ROWS = 2 * SLICE + 12_345

    def test_rows_of_splits_are_all_rows_of_the_split(self) -> None:
        split = np.random.default_rng(1).integers(0, 3, self.ROWS).astype(np.int32)
        plan = plan_shards(split, ("a", "b", "c"), stride=1, shards=9, shard_size=None, seed=5)
        for code, name in enumerate("abc"):
            dealt = [plan.rows_of(shard) for shard in plan.names() if shard.split == name]
            assert np.array_equal(np.sort(np.concatenate(dealt)), np.flatnonzero(split == code))

    def test_statistics_are_those_of_counting(self) -> None:
        random = np.random.default_rng(2)
        # So many classes that they are summed up in between, with gaps.
        labels = random.integers(0, 2**31, self.ROWS).astype(np.int32)
        labels[: self.ROWS // 2] &= 0xFFFF
        split = random.integers(0, 2, self.ROWS).astype(np.int32)
        heads = [Label("y0", 2**31)]
        (found,) = label_statistics(heads, labels[:, None], ("train", "val"), split)
        assert isinstance(found, HeadStatistics)
        counts = Counter(labels.tolist())
        assert (found.seen, found.lowest, found.highest) == (
            len(counts),
            min(counts),
            max(counts),
        )
        assert found.most[1] == max(counts.values()) == counts[int(found.most[0])]
        assert found.least == (str(min(c for c, n in counts.items() if n == 1)), 1)
        unseen = len({*labels[split == 1].tolist()} - {*labels[split == 0].tolist()})
        assert f"has {unseen:,} classes in split val" in found.warnings[0]

    def test_a_path_is_found_in_another_split_at_any_distance(self, tmp_path: Path) -> None:
        paths = [f"{n}" for n in range(self.ROWS)]
        splits = ["train"] * self.ROWS
        paths[-1], splits[-1] = paths[1], "val"
        table = pa.table({"path": paths, "y0": [1] * self.ROWS, "split": splits})
        parquet.write_table(table, tmp_path / "t.parquet", row_group_size=100_000)
        said = outcome(tmp_path / "t.parquet", WHOLE)
        assert said.split("\n")[1:] == [
            f"  row {self.ROWS - 1}: path '1' is in split val, and in split train in row 1"
        ]

    def test_shares_deal_each_path_by_itself(self, tmp_path: Path) -> None:
        paths = [f"{n % 1000}" for n in range(self.ROWS)]
        parquet.write_table(
            pa.table({"path": paths, "y0": [1] * len(paths)}), tmp_path / "t.parquet"
        )
        shares = SplitShares.parse("z=0.5,a=0.3,m=0.2")
        names = outcome(tmp_path / "t.parquet", WHOLE, shares=shares, seed=3)[3]
        first, codes = shares.deal(pa.array(paths[:1000], pa.large_string()), 3)
        dealt = [first[code] for code in codes]
        assert names == [dealt[n % 1000] for n in range(self.ROWS)]


class TestScratch:
    def test_a_full_disk_is_told_and_nothing_is_left(
        self, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        columns: dict[str, list[Any]] = {
            "path": [f"{n:0100}" for n in range(20_000)],
            "y0": [1] * 20_000,
        }
        table = write(tmp_path / "t.csv", columns)
        monkeypatch.setenv("TMPDIR", str(small_disk))
        with pytest.raises(StorageError, match=r"disk: No space left on device \(TMPDIR=FOLDER"):
            read_table(str(table), labels=None, classes=None)
        assert os.listdir(small_disk) == []
        (small_disk / "all").write_bytes(bytes(1_000_000))
        (small_disk / "all").unlink()

    def test_its_files_have_no_names_and_go_with_the_table(
        self, small_disk: Path, table: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TMPDIR", str(small_disk))
        found = read_table(str(table), labels=None, classes=None)
        assert found.paths(np.array([3, 1]))[1] == "images/0001.png"
        assert os.listdir(small_disk) == []
        assert used(small_disk) > 0
        del found
        assert used(small_disk) == 0

    def test_without_tmpdir_it_is_not_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("TMPDIR", raising=False)
        assert Scratch().folder == "/var/tmp"
        monkeypatch.setenv("TMPDIR", "/none")
        assert Scratch().folder == "/var/tmp"


def used(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


@pytest.mark.memory
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, ending: str) -> None:
    """Paths and labels of 2,100,000 rows more would be 80 MB, if only as they are in the file.

    The smaller table is as long as Arrow reads ahead.
    """
    peaks = []
    for count in (700_000, 2_800_000):
        numbers = np.arange(count)
        text = [f"images/{n:020}.jpg" for n in range(count)]
        columns = {
            "path": text,
            "y0": numbers % 5000,
            "split": np.where(numbers % 9 == 0, "val", "train"),
        }
        path = tmp_path / f"{count}.{ending}"
        if ending == "parquet":
            parquet.write_table(pa.table(columns), path, row_group_size=50_000)
        elif ending == "csv":
            arrow_csv.write_csv(pa.table(columns), path)
        else:
            rows = zip(*columns.values(), strict=True)
            with path.open("w") as file:
                file.writelines(f'{{"path":"{p}","y0":{y},"split":"{s}"}}\n' for p, y, s in rows)
        del columns, text
        peaks.append(peak_memory(path, "none", "--size", "8x8", "--dry-run", "--text-labels"))
    assert peaks[1] < peaks[0] + 20, peaks
    assert peaks[1] < 150
    path.unlink()
