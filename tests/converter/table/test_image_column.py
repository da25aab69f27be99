"""Images that are a column of the table give the shards that the same files give."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter import ConvertOptions, Summary, convert
from converter.command.cli import main
from converter.engines.protocol import NoProgress
from converter.table.cells.splits import SplitShares
from reader import open_shards
from shardio.errors import OptionError, OutputError, StorageError, TableError
from shardio.format.naming import TIMES
from shardio.format.transform import Transform
from tests.converter.held_run import HeldRun
from tests.converter.inputs import (
    contents,
    encoded,
    kill_group,
    picture,
    wait_until,
    write_csv,
)
from tests.converter.memory import peak_memory

OPTIONS = ConvertOptions(transform=Transform(None, (16, 8)), shards=4)
COLUMN = replace(OPTIONS, image_column="image")
FACE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
IMAGES = [
    encoded(picture("RGB", 20 + n, 10 + n % 3, n), "PNG" if n % 3 else "JPEG") for n in range(12)
]
BROKEN = b"no image"


def hugging(images: list[bytes | None]) -> Any:
    rows = [{"bytes": image, "path": f"{n}.png"} for n, image in enumerate(images)]
    return pa.array(rows, FACE)


KINDS: dict[str, Any] = {
    "binary": lambda images: pa.array(images, pa.binary()),
    "large": lambda images: pa.array(images, pa.large_binary()),
    "struct": hugging,
    "encoded": lambda images: pa.array(images, pa.binary()).dictionary_encode(),
}


def write(
    path: Path,
    images: list[bytes | None],
    kind: str = "struct",
    group: int = 7,
    *,
    named: bool = False,
    **more: Any,
) -> Path:
    """Write a table with labels, in which paths are those of `write_files`."""
    columns = {"y0": [n % 9 for n in range(len(images))], "image": KINDS[kind](images), **more}
    if named:
        columns["path"] = [f"{n}.image" for n in range(len(images))]
    parquet.write_table(pa.table(columns), path, row_group_size=group)
    return path


def write_files(folder: Path, images: list[bytes | None]) -> Path:
    """Write the same table, with the images in files."""
    folder.mkdir()
    for number, image in enumerate(images):
        if image is not None:
            (folder / f"{number}.image").write_bytes(image)
    rows = [[f"{n}.image", n % 9] for n in range(len(images))]
    return write_csv(folder / "t.csv", ["path", "y0"], rows)


def inline(table: object, out: Path, options: ConvertOptions = COLUMN, **how: Any) -> Summary:
    return convert(str(table), str(out), options, **{"engine": "inline", **how})


def shards(out: Path) -> dict[str, bytes]:
    """Return the shards and rejects.csv; dataset.json has the digest of the table."""
    return {name: data for name, data in contents(out).items() if name != "dataset.json"}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    images=st.lists(st.sampled_from([*IMAGES, BROKEN]), min_size=1, max_size=40),
    kind=st.sampled_from(sorted(KINDS)),
    group=st.integers(1, 50),
)
def test_shards_are_those_of_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, images: list[bytes], kind: str, group: int
) -> None:
    folder = tmp_path_factory.mktemp("t")
    images = [*images, IMAGES[1]]  # one can be used, or there is no set
    column = write(folder / "t.parquet", [*images], kind, group, named=True)
    files = write_files(folder / "files", [*images])
    inline(column, folder / "a", max_rejects="100%")
    inline(files, folder / "b", OPTIONS, max_rejects="100%")
    assert shards(folder / "a") == shards(folder / "b")
    assert len(shards(folder / "a")) > 1


@pytest.fixture
def column(tmp_path: Path) -> Path:
    """A table of 300 images in a column, not all of which are copied at a time."""
    images: list[bytes | None] = [IMAGES[n % 12] + os.urandom(50_000) for n in range(300)]
    return write(tmp_path / "t.parquet", images)


@pytest.fixture
def wanted(column: Path, tmp_path: Path) -> dict[str, bytes]:
    inline(column, tmp_path / "wanted")
    return contents(tmp_path / "wanted")


def test_processes_and_urls_give_the_same(
    column: Path, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    inline(column, tmp_path / "two", engine="processes", workers=2)
    assert contents(tmp_path / "two") == wanted
    memory = fsspec.filesystem("memory")
    with memory.open("memory://columns/t.parquet", "wb") as file:
        file.write(column.read_bytes())
    convert("memory://columns/t.parquet", "memory://columns/out", COLUMN, engine="inline")
    made = {path.rsplit("/", 1)[-1]: memory.cat(path) for path in memory.find("columns/out")}
    assert made.pop(TIMES)
    assert made == wanted


def test_rows_without_an_image_are_rejects_named_by_number(tmp_path: Path) -> None:
    images = [*IMAGES[:3], None, b"", BROKEN]
    table = write(tmp_path / "t.parquet", images)
    summary = inline(table, tmp_path / "out", max_rejects="3")
    assert (summary.records, summary.rejected) == (3, 3)
    assert (tmp_path / "out" / "rejects.csv").read_text().splitlines()[1:] == [
        '3,"row 3","the table has no image here"',
        '4,"row 4","the table has no image here"',
        '5,"row 5","not an image that Pillow can read: it is a text file"',
    ]
    table = write(tmp_path / "u.parquet", images, named=True)
    inline(table, tmp_path / "named", max_rejects="3")
    assert '3,"3.image",' in (tmp_path / "named" / "rejects.csv").read_text()
    nothing = pa.table({"y0": [1, 2], "image": pa.array([None, {"bytes": IMAGES[0]}], FACE)})
    parquet.write_table(nothing, tmp_path / "v.parquet")
    assert inline(tmp_path / "v.parquet", tmp_path / "struct", max_rejects="1").rejected == 1


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array(["a", "b"]), "column image of .* holds string; images are binary, or a struct"),
        (pa.array([[b"a"], [b"b"]]), "holds list<"),
        (pa.array([{"path": "a"}, {"path": "b"}]), "holds struct<path: string>"),
        (pa.array([{"bytes": "a"}, {"bytes": "b"}]), "holds struct<bytes: string>"),
        (pa.nulls(2), "holds null"),
    ],
)
def test_what_cannot_be_images_is_refused(tmp_path: Path, column: Any, words: str) -> None:
    parquet.write_table(pa.table({"y0": [1, 2], "image": column}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=words):
        inline(tmp_path / "t.parquet", tmp_path / "out", dry_run=True)


def test_where_there_is_no_such_column_it_is_told(
    column: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(OPTIONS, image_column="picture")
    with pytest.raises(TableError, match="must have one column picture; it has y0, image"):
        inline(column, tmp_path / "out", other)
    table = write_csv(tmp_path / "t.csv", ["image", "y0"], [["a", 1]])
    assert main([str(table), str(tmp_path / "out"), "--image-column", "image"]) == 1
    assert "images in a column need a .parquet table" in capsys.readouterr().err
    with pytest.raises(
        TableError, match=r"no column path; .* --image-column image the images in it"
    ):
        inline(write(tmp_path / "b.parquet", [*IMAGES], "binary"), tmp_path / "out", OPTIONS)
    for name in ("", "path", "split", "y1"):
        with pytest.raises(OptionError, match=f"{name!r} cannot be the images"):
            ConvertOptions(labels=("y1",), image_column=name)


def test_the_column_is_no_label_whatever_it_is_called(tmp_path: Path) -> None:
    table = pa.table({"y1": [1, 2], "y0": KINDS["binary"](IMAGES[:2])})
    parquet.write_table(table, tmp_path / "t.parquet")
    options = replace(OPTIONS, image_column="y0", shards=1)
    inline(tmp_path / "t.parquet", tmp_path / "out", options)
    assert [label.name for label in open_shards(tmp_path / "out").labels] == ["y1"]
    inline(tmp_path / "t.parquet", tmp_path / "none", replace(options, labels=()))
    assert len(open_shards(tmp_path / "none")) == 2


def test_a_dry_run_copies_nothing(column: Path, small_disk: Path) -> None:
    """The disk has no space for the images."""
    (small_disk / "ballast").write_bytes(bytes(1_000_000))
    assert inline(column, small_disk / "out", dry_run=True).rows == 300
    assert os.listdir(small_disk) == ["ballast"]
    with pytest.raises(StorageError):
        inline(column, small_disk / "out")


def test_a_disk_that_is_too_small_is_told_before(small_disk: Path, tmp_path: Path) -> None:
    images = [bytes(20_000 - n) for n in range(100)]
    table = write(tmp_path / "t.parquet", [*images], "binary")
    with pytest.raises(StorageError, match=r"copied to this disk .* some 0.0 GB; 0.0 GB are free"):
        inline(table, small_disk / "out", max_rejects="100%")
    assert not list(small_disk.rglob("*.tfrecord"))
    # The same bytes again and again are small in Parquet: then it shows while they are copied.
    table = write(tmp_path / "u.parquet", [bytes(20_000)] * 100, "binary", 1000)
    with pytest.raises(StorageError, match="No space left on device"):
        inline(table, small_disk / "out", max_rejects="100%", overwrite=True)
    assert not list(small_disk.rglob("*.tfrecord"))


class TestShares:
    SHARES = SplitShares.parse("train=0.5,val=0.5")

    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.lists(st.sampled_from(IMAGES), min_size=1, max_size=60), st.integers(0, 99))
    def test_an_image_is_in_one_split_wherever_it_stands(
        self, tmp_path_factory: pytest.TempPathFactory, images: list[bytes], seed: int
    ) -> None:
        folder = tmp_path_factory.mktemp("t")
        table = write(folder / "t.parquet", [*images], "struct", 5)
        options = replace(COLUMN, splits=self.SHARES, seed=seed, shards=2)
        inline(table, folder / "out", options)
        found: dict[int, str] = {}
        for split in ("train", "val"):
            if list((folder / "out").glob(f"{split}-*.tfrecord")):
                part = open_shards(folder / "out", split=split)
                for *_, rows in part.batches(1, rows=True, shuffle="none"):
                    found[int(rows[0])] = split
        assert sorted(found) == list(range(len(images)))
        for row, image in enumerate(images):
            digest = hashlib.sha256(f"split {seed}\0".encode() + image).digest()
            assert found[row] == ("train" if digest[0] < 128 else "val")

    def test_paths_are_dealt_where_there_are_some(self, tmp_path: Path) -> None:
        images: list[bytes | None] = [IMAGES[0]] * 40
        table = write(tmp_path / "t.parquet", images, named=True)
        files = write_files(tmp_path / "files", images)
        inline(table, tmp_path / "a", replace(COLUMN, splits=self.SHARES))
        inline(files, tmp_path / "b", replace(OPTIONS, splits=self.SHARES))
        assert shards(tmp_path / "a") == shards(tmp_path / "b")
        assert set(open_shards(tmp_path / "a", "*").splits) == {"train", "val"}


class Stop(NoProgress):
    """Stops a run at its second shard."""

    def __init__(self) -> None:
        self.told = 0

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        self.told += images
        if self.told > 100:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_and_another_column_is_another_plan(
    column: Path, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        inline(column, out, progress=Stop())
    plan = json.loads((out / ".shardio" / "plan.json").read_bytes())
    assert plan["image_column"] == "image"
    assert {name for name in contents(out) if "/" not in name} <= set(wanted)
    table = parquet.read_table(column).append_column("other", pa.array(IMAGES[:1] * 300))
    two = tmp_path / "two.parquet"
    parquet.write_table(table, two)
    inline(two, tmp_path / "first", replace(OPTIONS, image_column="other"))
    with pytest.raises(OutputError, match="another table or other options"):
        inline(two, tmp_path / "first")
    assert inline(column, out).shards_kept >= 1
    assert contents(out) == wanted


def test_repair_makes_the_bad_shard_alone(
    column: Path, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    images: list[bytes | None] = [IMAGES[n % 12] for n in range(300)]
    images[7] = BROKEN
    table = write(tmp_path / "b.parquet", images)
    inline(table, out)
    before = contents(out)
    (out / "train-00001-of-00004.tfrecord").write_bytes(b"")
    assert inline(table, out, repair=True).shards_made == 1
    assert contents(out) == before
    assert inline(table, out, repair=True).complete_before


@pytest.fixture
def large(tmp_path: Path) -> Path:
    image = encoded(picture("RGB", 600, 400), "PNG")
    return write(tmp_path / "large.parquet", [image] * 400, "binary", 400)


@pytest.mark.parametrize("signals", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_the_copy(large: Path, tmp_path: Path, signals: int) -> None:
    out = tmp_path / "out"
    arguments = ("--image-column", "image", "--size", "128x32", "--shards", 40, "--workers", 2)
    process = HeldRun(tmp_path, 15).start(large, out, *arguments)  # of 10 of a shard
    try:
        wait_until(lambda: bool(list(out.glob("*.tfrecord"))))
        assert process.poll() is None, "it has failed"
        os.killpg(process.pid, signals)
        process.wait(300)
    finally:
        kill_group(process)
    names = {name.split("-")[0].split("/")[0] for name in contents(out)}
    assert names <= {"train", ".train", ".shardio"}
    held = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert held < 40 * 10 * 12_500


def test_a_damaged_column_is_told(tmp_path: Path) -> None:
    file = io.BytesIO()
    images = pa.array([os.urandom(5000) for _ in range(100)])
    table = pa.table({"y0": [1] * 100, "image": images})
    parquet.write_table(table, file, use_dictionary=False, compression="snappy")
    data = bytearray(file.getvalue())
    data[2_000:300_000] = bytes(298_000)
    (tmp_path / "t.parquet").write_bytes(data)
    with pytest.raises(TableError, match=r"column image of .* cannot be read"):
        inline(tmp_path / "t.parquet", tmp_path / "out", max_rejects="100%")
    assert not list((tmp_path / "out").glob("*.tfrecord"))


@pytest.mark.memory
def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """The larger table has 240 MB of images more."""
    image = IMAGES[1]
    peaks = []
    for count in (2_000, 10_000):
        images: list[bytes | None] = [image + os.urandom(30_000) for _ in range(count)]
        table = write(tmp_path / f"{count}.parquet", images, "struct", 500)
        arguments = ("--image-column", "image", "--size", "16x8", "--crop", "none")
        peaks.append(peak_memory(table, tmp_path / "out", *arguments, "--engine", "inline"))
        assert len(open_shards(tmp_path / "out")) == count
        shutil.rmtree(tmp_path / "out")
        table.unlink()
    assert peaks[1] < peaks[0] + 25, peaks
