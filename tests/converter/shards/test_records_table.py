"""records.parquet: the way from a record back to its row and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from converter import ConvertOptions, convert
from converter.shards import records_table
from converter.shards.plan import plan_shards
from converter.shards.records_table import write_records_table
from converter.table.table import Table
from reader import open_shards
from reader.commands.cli import main
from reader.commands.staging import Staging
from shardio.errors import FormatError, OutputError
from shardio.format.done import DoneRecord, Reject
from shardio.format.label import FLOAT, INT, Label, LabelKind, floats_of, numbers_of
from shardio.format.manifest import Manifest
from shardio.format.naming import RECORDS, ShardName
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=7, labels=("y0", "shard"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Sixty rows in two splits, some of whose images are missing."""
    names = write_images(tmp_path, 50, (8, 4))
    names[10:10] = [f"none{n}.png" for n in range(10)]
    rows = [[name, n % 9, n % 4, "train" if n % 5 else "val"] for n, name in enumerate(names)]
    return write_csv(tmp_path / "t.csv", ["path", "y0", "shard", "split"], rows)


def run(table: Path, out: Path, **how: Any) -> Manifest:
    options = how.pop("options", OPTIONS)
    convert(str(table), str(out), options, **{"engine": "inline", "max_rejects": "10", **how})
    return Manifest.from_json((out / "dataset.json").read_bytes())


@pytest.mark.parametrize("group", [7, 65_536])
def test_each_record_is_found_in_the_table(
    table: Path, tmp_path: Path, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_table, "ROW_GROUP", group)
    out = tmp_path / "out"
    run(table, out)
    shards = open_shards(out, "*")
    ((_, labels, rows),) = shards.batches(50, shuffle="none", rows=True)
    found = pq.read_table(out / RECORDS).to_pydict()
    assert found["row"] == rows.tolist()
    assert found["y0"] == labels[0].tolist()
    assert found["label.shard"] == labels[1].tolist()
    lines = table.read_text().splitlines()[1:]
    assert found["path"] == [lines[row].split(",")[0] for row in found["row"]]
    assert found["split"] == [lines[row].split(",")[3] for row in found["row"]]
    places = [shards.place(number).rpartition("/")[2] for number in range(50)]
    parts = zip(found["shard"], found["number"], strict=True)
    assert places == [f"{shard}: record {number}" for shard, number in parts]
    file = pq.ParquetFile(out / RECORDS)
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    assert sizes == ([7] * 7 + [1] if group == 7 else [50])
    columns = [file.metadata.row_group(0).column(n) for n in range(file.metadata.num_columns)]
    assert {column.compression for column in columns} == {"ZSTD"}


def test_its_bytes_do_not_depend_on_who_made_the_shards(table: Path, tmp_path: Path) -> None:
    """A restart after each kill is swept in test_killed_at_each_step.py."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(table, one).records == run(table, two, engine="processes", workers=2).records
    assert (one / RECORDS).read_bytes() == (two / RECORDS).read_bytes()


def test_a_set_without_it_is_finished_by_repair(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(table, out)
    before = contents(out)
    (out / RECORDS).unlink()
    with pytest.raises(OutputError, match=r"1 of its files is missing \(records.parquet\)"):
        run(table, out)
    run(table, out, repair=True)
    assert contents(out) == before
    data = bytearray(before[RECORDS])
    data[len(data) // 2] ^= 1
    (out / RECORDS).write_bytes(data)
    run(table, out, repair=True)
    assert contents(out) == before
    # As sets were before there was one.
    said = Manifest.from_json(before["dataset.json"]).records
    old = before["dataset.json"].replace(f' "records": "{said}",\n'.encode(), b"")
    (out / "dataset.json").write_bytes(old)
    (out / RECORDS).unlink()
    assert run(table, out).records is None
    assert open_shards(out, "*").fingerprint
    run(table, out, repair=True)
    assert contents(out) == before


def test_it_goes_with_the_rest_when_all_is_made_again(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(table, out)
    other = ConvertOptions(transform=Transform(None, (4, 2)), labels=())
    run(table, out, options=other, overwrite=True)
    assert pq.read_schema(out / RECORDS).names == ["split", "shard", "number", "row", "path"]


@pytest.mark.parametrize("named", [True, False])
def test_images_in_the_table_have_the_paths_that_it_has(tmp_path: Path, named: bool) -> None:
    files = [(tmp_path / name).read_bytes() for name in write_images(tmp_path, 5, (8, 4))]
    columns: dict[str, Any] = {"image": files, "y0": [1, 2, 3, 4, 5]}
    if named:
        columns["path"] = [f"{n}.png" for n in range(5)]
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    options = ConvertOptions(transform=Transform(None, (4, 2)), image_column="image")
    run(tmp_path / "t.parquet", tmp_path / "out", options=options)
    found = pq.read_table(tmp_path / "out" / RECORDS).to_pydict()
    wanted = [f"{row}.png" if named else None for row in found["row"]]
    assert found["path"] == wanted


def test_verify_and_stage_know_it(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, copy = tmp_path / "out", tmp_path / "copy"
    run(table, out)
    Staging(str(out), str(copy), None).run(lambda size: None)
    assert (copy / RECORDS).read_bytes() == (out / RECORDS).read_bytes()
    assert main(["verify", str(copy)]) == 0
    data = bytearray((out / RECORDS).read_bytes())
    data[100] ^= 1
    (copy / RECORDS).write_bytes(data)
    capsys.readouterr()
    assert main(["verify", str(copy)]) == 1
    assert f"{copy / RECORDS}: its SHA-256 is" in capsys.readouterr().err
    Staging(str(out), str(copy), None).run(lambda size: None)
    assert main(["verify", str(copy)]) == 0
    (copy / RECORDS).unlink()
    assert main(["verify", str(copy)]) == 1
    said, repair = capsys.readouterr().err.splitlines()
    assert said == f"{copy / RECORDS} is missing"
    assert repair.endswith(f"shardio-convert TABLE {copy} --repair")
    assert len(open_shards(copy, "*")) == 50


KINDS = (
    Label("path", 9),
    Label("ids", 9, None, LabelKind(INT, 3)),
    Label("score", 0, None, LabelKind(FLOAT)),
    Label("box", 0, None, LabelKind(FLOAT, 2)),
)


def table_of(numbers: Any) -> Table:
    heads, kinds = tuple(k.name for k in KINDS), tuple(k.kind for k in KINDS)
    split = np.zeros(len(numbers), np.int32)
    return Table("t", "0" * 64, "/", heads, kinds, numbers, ("a",), split, None)


def test_every_kind_of_label_has_a_column(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 9, (40, 7))
    numbers[:, 4:] = numbers_of(rng.standard_normal((40, 3), dtype=np.float32))
    shards = plan_shards(
        np.zeros(40, np.int32), ("a",), stride=1, shards=3, shard_size=None, seed=0
    )
    finished = {
        name: DoneRecord(str(name), len(shards.rows_of(name)), 0, "", None, None, ())
        for name in shards.names()
    }
    write_records_table(str(tmp_path), table_of(numbers), KINDS, shards, finished)
    found = pq.read_table(tmp_path / RECORDS)
    rows = found["row"].to_numpy()
    assert sorted(rows) == list(range(40))
    wanted = numbers[rows]
    assert found.schema.names[5:] == ["label.path", "ids", "score", "box"]
    assert found["path"].null_count == 40
    assert found["label.path"].to_pylist() == wanted[:, 0].tolist()
    assert found["ids"].to_pylist() == wanted[:, 1:4].tolist()
    assert found["score"].to_pylist() == floats_of(wanted[:, 4]).tolist()
    assert found["box"].to_pylist() == floats_of(wanted[:, 5:]).tolist()
    assert found.schema.field("score").type == pa.float32()


def test_a_done_record_of_other_rows_is_refused(tmp_path: Path) -> None:
    shards = plan_shards(np.zeros(4, np.int32), ("a",), stride=1, shards=1, shard_size=None, seed=0)
    name = ShardName("a", 0, 1)
    done = DoneRecord(str(name), 4, 0, "", None, None, (Reject(2, "x", "y"),))
    with pytest.raises(FormatError, match="holds 4 records, but 3 rows were not rejected"):
        write_records_table(
            str(tmp_path), table_of(np.zeros((4, 7), np.int64)), KINDS, shards, {name: done}
        )
    assert list(tmp_path.iterdir()) == []
