"""A whole conversion: what comes out, and what becomes of rejects."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from converter import ConvertOptions, Summary, convert
from shardio.errors import OptionError, OutputError, RejectsError, TableError
from shardio.format.manifest import Manifest
from shardio.format.naming import ShardName
from shardio.format.transform import Transform
from tests.converter.inputs import (
    BOXED,
    contents,
    environment,
    is_same,
    reference,
    write_csv,
    write_images,
)


def inline(
    table: Path, out: Path | str, options: ConvertOptions | None = None, **how: object
) -> Summary:
    options = options or ConvertOptions()
    if not options.transform.is_settled:
        options = replace(options, transform=BOXED)
    return convert(str(table), str(out), options, engine="inline", **how)  # type: ignore[arg-type]


def manifest_of(folder: Path) -> Manifest:
    return Manifest.from_json((folder / "dataset.json").read_bytes())


def rejects_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "rejects.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def stored(folder: Path) -> dict[int, tuple[bytes, list[int]]]:
    """Return pixels and labels of every row, read by our own layout."""
    manifest = manifest_of(folder)
    layout = manifest.layout
    found = {}
    for shard in manifest.shards:
        data = (folder / shard.file).read_bytes()
        for record in np.frombuffer(data, np.uint8).reshape(-1, layout.stride):
            tail = record[-4 - layout.tail_bytes : -4]
            *labels, row = layout.integers(tail[None])[0].tolist()
            start = len(layout.head)
            found[row] = record[start : start + layout.image_bytes].tobytes(), labels
    return found


def test_stock_tensorflow_reads_back_pixels_and_labels(table: Path, tmp_path: Path) -> None:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is the judge of this test")
    inline(table, tmp_path / "out", ConvertOptions(shards=3))
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    shape = {"image": tf.io.FixedLenFeature([], tf.string)}
    shape |= {name: tf.io.FixedLenFeature([], tf.int64) for name in ("y0", "y1", "row")}
    shards = sorted(str(path) for path in (tmp_path / "out").glob("*.tfrecord"))
    seen = []
    for batch in tf.data.TFRecordDataset(shards).batch(7):
        parsed = tf.io.parse_example(batch, shape)
        pixels = tf.reshape(tf.io.decode_raw(parsed["image"], tf.uint8), [-1, 32, 128, 3]).numpy()
        for index, row in enumerate(parsed["row"].numpy().tolist()):
            seen.append(row)
            data = (table.parent / rows[row]["path"]).read_bytes()
            assert np.array_equal(pixels[index], reference(data, BOXED.crop, (128, 32), "bicubic"))
            for head in ("y0", "y1"):
                assert parsed[head].numpy()[index] == int(rows[row][head])
    assert sorted(seen) == list(range(len(rows)))
    assert seen != sorted(seen)


def test_the_manifest_says_what_was_done(table: Path, tmp_path: Path) -> None:
    transform = Transform((1, 2, 200, 30), (20, 10), "lanczos")
    summary = inline(table, tmp_path / "out", ConvertOptions(transform=transform, shards=4, seed=3))
    manifest = manifest_of(tmp_path / "out")
    assert manifest.transform == transform
    assert (manifest.rows_read, manifest.rows_written, manifest.rows_rejected) == (60, 60, 0)
    assert [(label.name, label.classes) for label in manifest.labels] == [("y0", 100), ("y1", 100)]
    assert manifest.seed == 3
    assert len(manifest.shards) == summary.shards == summary.shards_made == 4
    assert summary.images == summary.rows == summary.records == 60
    assert summary.bytes == sum(shard.bytes for shard in manifest.shards)
    assert set(contents(tmp_path / "out")) == {
        "dataset.json",
        "rejects.csv",
        "records.parquet",
        *(str(ShardName("train", index, 4)) for index in range(4)),
    }
    assert rejects_of(tmp_path / "out") == []


def test_classes_are_those_that_are_given(table: Path, tmp_path: Path) -> None:
    inline(table, tmp_path / "out", ConvertOptions(classes=21_000, labels=("y1",)))
    labels = manifest_of(tmp_path / "out").labels
    assert [(label.name, label.classes) for label in labels] == [("y1", 21_000)]


def test_images_without_labels(table: Path, tmp_path: Path) -> None:
    inline(table, tmp_path / "out", ConvertOptions(labels=()))
    assert manifest_of(tmp_path / "out").labels == ()
    assert set(stored(tmp_path / "out")) == set(range(60))


def test_every_split_gets_its_rows(tmp_path: Path) -> None:
    names = write_images(tmp_path, 4)
    splits = ["train", "val", "train", "test"] * 5
    rows = [[names[row % 4], row, split] for row, split in enumerate(splits)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    inline(table, tmp_path / "out", ConvertOptions(shards=8))
    shards = manifest_of(tmp_path / "out").shards
    assert [shard.split for shard in shards] == ["test"] * 2 + ["train"] * 4 + ["val"] * 2
    counts = {split: sum(s.records for s in shards if s.split == split) for split in set(splits)}
    assert counts == {"train": 10, "val": 5, "test": 5}


def test_the_same_path_twice_is_two_records(tmp_path: Path) -> None:
    (name,) = write_images(tmp_path, 1)
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[name, 1], [name, 2]])
    inline(table, tmp_path / "out")
    found = stored(tmp_path / "out")
    assert found[0][0] == found[1][0]
    assert (found[0][1], found[1][1]) == ([1], [2])


@pytest.mark.parametrize("folder", ["a b", "字 图", "per%cent", "x'\"y", "-dash", "brace{0}[1]*"])
def test_names_may_have_any_letters(tmp_path: Path, folder: str) -> None:
    names = write_images(tmp_path / folder, 2)
    rows = [[f"{folder}/{name}", 1] for name in names]
    table = write_csv(tmp_path / f"{folder}.csv", ["path", "y0"], rows)
    summary = inline(table, tmp_path / f"out {folder}")
    assert summary.records == 2


def test_one_row(tmp_path: Path) -> None:
    (name,) = write_images(tmp_path, 1)
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[name, 5]])
    assert inline(table, tmp_path / "out", ConvertOptions(shards=9)).shards == 1
    assert stored(tmp_path / "out")[0][1] == [5]


def test_out_may_be_the_folder_of_the_table(tmp_path: Path) -> None:
    (name,) = write_images(tmp_path, 1)
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[name, 5]])
    inline(table, tmp_path)
    inline(table, tmp_path, ConvertOptions(seed=1), overwrite=True)
    assert {name, "t.csv", "dataset.json"} <= set(contents(tmp_path))


def test_relative_and_absolute_names_give_the_same_files(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline(table, tmp_path / "absolute")
    monkeypatch.chdir(table.parent)
    out = os.path.relpath(tmp_path / "relative")
    assert inline(Path("labels.csv"), out + "///").folder == out
    assert contents(tmp_path / "relative") == contents(tmp_path / "absolute")


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_engine_changes_no_byte(tmp_path: Path, workers: int) -> None:
    names = write_images(tmp_path / "in", 6)
    (tmp_path / "in" / "broken.png").write_bytes(b"x")
    rows = [
        [name, n, "val" if n % 4 else "train"]
        for n, name in enumerate([*names, "broken.png", "none"] * 6)
    ]
    table = write_csv(tmp_path / "in" / "t.csv", ["path", "y0", "split"], rows)
    options = ConvertOptions(transform=BOXED, shards=7, seed=5)
    inline(table, tmp_path / "inline", options, max_rejects="25%")
    summary = convert(str(table), str(tmp_path / "out"), options, workers=workers, max_rejects="12")
    assert (summary.images, summary.records, summary.rejected) == (48, 36, 12)
    assert contents(tmp_path / "out") == contents(tmp_path / "inline")
    assert len(rejects_of(tmp_path / "out")) == 12


def test_memory_urls_work_like_folders(table: Path, tmp_path: Path) -> None:
    """Table, images and shards may all be on any storage."""
    options = ConvertOptions(transform=BOXED, shards=2)
    inline(table, tmp_path / "out", options)
    memory = fsspec.filesystem("memory")
    for path in (table, *(table.parent / "images").iterdir()):
        memory.pipe(f"memory://run/in/{path.relative_to(table.parent)}", path.read_bytes())
    url = "memory://run/out/"
    summary = convert("memory://run/in/labels.csv", url, options, engine="inline")
    assert summary.records == 60
    names = filter(is_same, memory.find("memory://run/out"))
    found = {name.rsplit("/", 1)[-1]: memory.cat(name) for name in names}
    assert found == contents(tmp_path / "out")
    again = convert("memory://run/in/labels.csv", url, options, engine="inline")
    assert again.complete_before


# Rejects.


def write_half_broken(folder: Path) -> Path:
    """Write a table of 20 rows of which every fifth is missing and every fifth is broken."""
    names = write_images(folder, 2)
    (folder / "broken.png").write_bytes(b"text")
    rows = [["none.png", "broken.png", names[0], names[1], names[0]][n % 5] for n in range(20)]
    return write_csv(folder / "t.csv", ["path", "y0"], [[name, 3] for name in rows])


def test_rejects_are_listed_in_the_order_of_the_table(tmp_path: Path) -> None:
    table = write_half_broken(tmp_path / "in")
    summary = inline(table, tmp_path / "out", ConvertOptions(shards=3), max_rejects="40%")
    assert (summary.rows, summary.records, summary.rejected) == (20, 12, 8)
    rejects = rejects_of(tmp_path / "out")
    assert [int(reject["row"]) for reject in rejects] == [0, 1, 5, 6, 10, 11, 15, 16]
    assert [reject["path"] for reject in rejects] == ["none.png", "broken.png"] * 4
    assert [reject["reason"] for reject in rejects] == [
        "no such file",
        "not an image that Pillow can read: it is a text file",
    ] * 4
    manifest = manifest_of(tmp_path / "out")
    assert manifest.rows_read == manifest.rows_written + manifest.rows_rejected == 20
    assert set(stored(tmp_path / "out")) == set(range(20)) - {int(r["row"]) for r in rejects}


@pytest.mark.parametrize(("below", "enough"), [("7", "8"), ("39%", "40%"), ("0", "100%")])
def test_too_many_rejects_fail_and_a_higher_limit_goes_on(
    tmp_path: Path, below: str, enough: str
) -> None:
    table = write_half_broken(tmp_path / "in")
    options = ConvertOptions(shards=3)
    with pytest.raises(RejectsError) as caught:
        inline(table, tmp_path / "out", options, max_rejects=below)
    assert not (tmp_path / "out" / "dataset.json").exists()
    listed = rejects_of(tmp_path / "out")
    assert listed
    message = str(caught.value)
    assert f"--max-rejects {below} allows " in message
    assert "x no such file (for example row 0, none.png)" in message or below == "0"
    assert "--max-rejects" in message
    made = {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (tmp_path / "out").glob("*.tfrecord")
    }
    assert made
    summary = inline(table, tmp_path / "out", options, max_rejects=enough)
    assert summary.shards_kept == len(made)
    assert summary.shards_made == 3 - len(made)
    for name, identity in made.items():
        status = (tmp_path / "out" / name).stat()
        assert (status.st_ino, status.st_mtime_ns) == identity  # not made again
    inline(table, tmp_path / "undisturbed", options, max_rejects=enough)
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_a_run_over_the_limit_fails_again_without_work(tmp_path: Path) -> None:
    table = write_half_broken(tmp_path / "in")
    messages = []
    for _ in range(2):
        with pytest.raises(RejectsError) as caught:
            inline(table, tmp_path / "out", ConvertOptions(shards=1), max_rejects="1")
        messages.append(str(caught.value))
    assert messages[0].replace("images again", "images again (8 were now)") == messages[1]
    assert "8 rows were rejected so far, and --max-rejects 1 allows 1 of 20 rows" in messages[0]


def test_images_that_are_all_rejected_make_no_set(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [["none", 1], ["none", 2]])
    with pytest.raises(RejectsError, match="2 rows were rejected so far"):
        inline(table, tmp_path / "out")
    with pytest.raises(RejectsError, match="none of the 2 images can be used"):
        inline(table, tmp_path / "out", max_rejects="100%")
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_odd_paths_survive_in_the_list_of_rejects(tmp_path: Path) -> None:
    paths = ['a,"b"', "line\nbreak", "return\rhere", "字", "tab\there"]
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[path, 1] for path in paths])
    with pytest.raises(RejectsError, match="none of the 5 images"):
        inline(table, tmp_path / "out", max_rejects="100%")
    assert [reject["path"] for reject in rejects_of(tmp_path / "out")] == paths


# What stops a run before it begins.


@pytest.mark.parametrize("out", ["", "memory://", "memory:///"])
def test_an_output_without_a_name_is_refused(table: Path, out: str) -> None:
    with pytest.raises(OptionError):
        convert(str(table), out, engine="inline")


def test_an_empty_name_of_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="table"):
        convert("", str(tmp_path / "out"), engine="inline")


def test_out_may_not_be_a_file(table: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match="file"):
            inline(table, out)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "at" / "all")
    with pytest.raises(OSError, match="link"):
        inline(table, tmp_path / "link")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_bad_table_leaves_no_output(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [["a", "x"]])
    with pytest.raises(TableError):
        inline(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing_at_all(table: Path, tmp_path: Path) -> None:
    summary = inline(table, tmp_path / "deep" / "out", ConvertOptions(shards=3), dry_run=True)
    assert list(tmp_path.iterdir()) == []
    stride = (summary.bytes) // 60
    assert (summary.dry_run, summary.shards, summary.rows) == (True, 3, 60)
    inline(table, tmp_path / "out", ConvertOptions(shards=3))
    assert (tmp_path / "out" / str(ShardName("train", 0, 3))).stat().st_size == 20 * stride


def test_a_dry_run_with_overwrite_removes_nothing(table: Path, tmp_path: Path) -> None:
    inline(table, tmp_path / "out")
    before = contents(tmp_path / "out")
    inline(table, tmp_path / "out", ConvertOptions(seed=1), dry_run=True, overwrite=True)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"engine": "threads"}, "'threads'"),
        ({"engine": "inline", "workers": 2}, "--workers"),
        ({"workers": 0}, "not 0"),
        ({"workers": -1}, "not -1"),
        ({"max_rejects": "many"}, "'many'"),
    ],
)
def test_impossible_arguments_are_refused(
    table: Path, tmp_path: Path, how: dict[str, object], text: str
) -> None:
    with pytest.raises(OptionError) as caught:
        convert(str(table), str(tmp_path / "out"), **how)  # type: ignore[arg-type]
    assert text in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_importing_the_converter_loads_nothing_heavy() -> None:
    code = (
        "import converter, converter.command.cli, sys, json; print(json.dumps(list(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, check=True
    )
    loaded = json.loads(found.stdout)
    assert not {"PIL", "pyarrow", "tensorflow", "fsspec"}.intersection(loaded)


def test_progress_is_told_of_every_row(tmp_path: Path) -> None:
    from converter.engines.protocol import NoProgress

    class Count(NoProgress):
        begun: tuple[int, int, int] | None = None
        images = size = rejected = written = 0

        def begin(self, rows: int, done: int, rejected: int) -> None:
            self.begun = rows, done, rejected

        def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
            self.images += images
            self.size += bytes_read
            self.rejected += rejected
            self.written += bytes_written

    table = write_half_broken(tmp_path / "in")
    for engine in ("inline", "processes"):
        count = Count()
        summary = convert(
            str(table),
            str(tmp_path / engine),
            ConvertOptions(shards=3),
            engine=engine,
            max_rejects="8",
            progress=count,
        )
        assert count.begun == (20, 0, 0)
        assert (count.images, count.rejected) == (20, 8)
        assert count.written == summary.bytes > 0
        good = [(tmp_path / "in" / f"000{n % 2}.{'png' if n % 2 else 'jpg'}") for n in (0, 1, 0)]
        assert count.size == 4 * sum(path.stat().st_size for path in good) + 4 * len(b"text")


def test_a_summary_tells_what_happened(table: Path, tmp_path: Path) -> None:
    text = "\n".join(inline(table, tmp_path / "out", ConvertOptions(shards=2)).lines())
    assert "60 records in 2 shards" in text
    assert "60 read = 60 written + 0 rejected" in text
    assert "images/s" in text
    for name in ("reading", "decoding", "resizing", "writing"):
        assert name in text
    again = "\n".join(inline(table, tmp_path / "out", ConvertOptions(shards=2)).lines())
    assert "complete already: 60 records in 2 shards" in again
    dry = "\n".join(inline(table, tmp_path / "out", dry_run=True).lines())
    assert "60 rows would become" in dry
    assert "Nothing was written" in dry


def test_another_dataset_is_named(table: Path, tmp_path: Path) -> None:
    inline(table, tmp_path / "out")
    with pytest.raises(OutputError, match="--overwrite"):
        inline(table, tmp_path / "out", ConvertOptions(seed=1))


def test_text_in_io_is_utf8(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [["字.png", 1]])
    with pytest.raises(RejectsError):
        inline(table, tmp_path / "out")
    text = (tmp_path / "out" / "rejects.csv").read_bytes().decode("utf-8")
    assert next(iter(csv.DictReader(io.StringIO(text))))["path"] == "字.png"
