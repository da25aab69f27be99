"""Indexes of shards: made once, kept where that can be, and never of another file."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.cli import main
from reader.index_pass import Progress, make_index
from reader.shard_index import IndexNotKeptWarning, in_threads, index_shards
from shardio.errors import CorruptRecordError, DatasetError, OptionError, ShardioError
from shardio.format.framing import frame_footer, frame_header, masked_crc
from shardio.format.manifest import ShardEntry
from shardio.storage import FileInfo, storage_for
from tests.reader.foreign import Foreign, encode, example, photos, write_records


@pytest.fixture
def jpegs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Foreign(tmp_path / "jpegs")


@pytest.fixture
def closed(jpegs: Foreign) -> Foreign:
    """A folder that takes no index, not even root's: a full folder is in the place of each."""
    for index in range(5):
        (idx(jpegs.shard(index)) / "full").mkdir(parents=True)
    return jpegs


def idx(path: Path) -> Path:
    return path.with_name(path.name + ".idx")


def info(path: Path) -> FileInfo:
    return storage_for(str(path)).stat(str(path))


def test_it_is_made_once_beside_the_shard(jpegs: Foreign) -> None:
    open_shards(jpegs.glob)
    offsets = jpegs.offsets[14:]
    sizes = [len(record) + 16 for record in jpegs.records[14:]]
    lines = [f"{at} {size}\n" for at, size in zip(offsets, sizes, strict=True)]
    assert idx(jpegs.shard(4)).read_text() == "".join(lines)
    assert not idx(jpegs.shard(1)).exists()
    before = [idx(jpegs.shard(i)).stat().st_mtime_ns for i in (0, 2, 3, 4)]
    assert len(open_shards(jpegs.glob)) == 37
    assert [idx(jpegs.shard(i)).stat().st_mtime_ns for i in (0, 2, 3, 4)] == before
    assert sorted(p.name for p in jpegs.folder.iterdir() if p.name.startswith(".")) == []


def test_where_the_folder_takes_no_files_it_is_cached(closed: Foreign, tmp_path: Path) -> None:
    shards = open_shards(closed.glob)
    assert (shards[20][0] == closed.images[20]).all()
    cached = sorted((tmp_path / "cache" / "shardio" / "index").iterdir())
    assert len(cached) == 4
    before = [path.stat().st_mtime_ns for path in cached]
    assert (open_shards(closed.glob)[20][0] == closed.images[20]).all()
    assert [path.stat().st_mtime_ns for path in cached] == before


def test_where_no_folder_takes_it_that_is_said(
    closed: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    with pytest.warns(IndexNotKeptWarning, match=r"foreign-.* can be kept neither beside it"):
        shards = open_shards(closed.glob)
    assert (shards[20][0] == closed.images[20]).all()


def test_a_cached_index_is_of_one_version_of_the_shard(closed: Foreign, tmp_path: Path) -> None:
    open_shards(closed.glob)
    folder = tmp_path / "cache" / "shardio" / "index"
    first = sorted(folder.iterdir())
    records = list(reversed(closed.records[14:]))
    write_records(closed.shard(4), records)  # of the same size
    assert (open_shards(closed.glob)[14][0] == closed.images[36]).all()
    second = sorted(folder.iterdir())
    assert len(first) == len(second) == 4
    assert len({*first, *second}) == 5


@pytest.mark.parametrize("same_size", [True, False])
def test_a_shard_that_is_newer_than_its_index_gets_another(jpegs: Foreign, same_size: bool) -> None:
    open_shards(jpegs.glob)
    records = jpegs.records[14:]
    records = records[::-1] if same_size else records[1:]
    write_records(jpegs.shard(4), records)
    later = idx(jpegs.shard(4)).stat().st_mtime_ns + 10**9
    os.utime(jpegs.shard(4), ns=(later, later))
    shards = open_shards(jpegs.glob)
    assert len(shards) == 37 - (not same_size)
    assert (shards[14][0] == jpegs.images[36 if same_size else 15]).all()


@pytest.mark.parametrize("text", [b"", b"0 30\n", b"0 16\n16 16\n"])
def test_an_index_that_does_not_fit_is_made_anew(jpegs: Foreign, text: bytes) -> None:
    open_shards(jpegs.glob)
    whole = idx(jpegs.shard(4)).read_bytes()
    idx(jpegs.shard(4)).write_bytes(text)
    assert len(open_shards(jpegs.glob)) == 37
    assert idx(jpegs.shard(4)).read_bytes() == whole


def test_a_file_that_is_no_index_is_left_alone(
    jpegs: Foreign, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    idx(jpegs.shard(4)).write_bytes(b"notes of my own")
    for _ in range(2):
        assert (open_shards(jpegs.glob)[20][0] == jpegs.images[20]).all()
    assert len(list((tmp_path / "cache" / "shardio" / "index").iterdir())) == 1
    assert main(["index", jpegs.glob]) == 1
    assert (
        f"{idx(jpegs.shard(4))}: line 1 is not `offset size`: it is no" in capsys.readouterr().err
    )
    assert idx(jpegs.shard(4)).read_bytes() == b"notes of my own"


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_shard_that_is_not_that_of_the_manifest_is_noticed(jpegs: Foreign, on_error: str) -> None:
    shards = open_shards(jpegs.shard(4))
    crcs = [int.from_bytes(frame_footer(jpegs.records[n]), "little") for n in (14, 36)]
    for first, last, fits in ((crcs[0], crcs[1], True), (crcs[0], 1, False), (1, crcs[1], False)):
        entry = ShardEntry("", "", 23, 0, "", first, last)
        described = replace(shards, shards=(replace(shards.shards[0], entry=entry),))
        batches = described.batches(5, on_error=on_error)
        if fits:
            list(batches)
        else:
            with pytest.raises(DatasetError, match=r"not the shard that dataset\.json describes"):
                list(batches)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_an_index_of_another_file_of_the_same_size_is_noticed(
    jpegs: Foreign, on_error: str
) -> None:
    size = jpegs.shard(4).stat().st_size
    idx(jpegs.shard(4)).write_text(f"0 {size - 50}\n{size - 50} 50\n")
    shards = open_shards(jpegs.glob)
    with pytest.raises(DatasetError, match=r"the index is of another file; remove .*4\.tfrecord\."):
        list(shards.batches(3, on_error=on_error))


def test_a_shard_that_was_cut_behind_a_record_is_noticed(jpegs: Foreign) -> None:
    shard = jpegs.shard(4)
    open_shards(jpegs.glob)
    for kept in (22, 1):
        os.truncate(shard, jpegs.offsets[14 + kept])
        for _ in range(2):
            with pytest.raises(
                DatasetError,
                match=f"{shard} was cut behind record {kept - 1}: its index lists 23 records",
            ):
                open_shards(jpegs.glob)
    idx(shard).unlink()
    assert len(open_shards(jpegs.glob)) == 15


def test_many_openings_at_once_agree(jpegs: Foreign) -> None:
    lengths: list[int] = []
    threads = [
        threading.Thread(target=lambda: lengths.append(len(open_shards(jpegs.glob))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [37] * 8


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=30), st.integers(12, 300))
def test_records_of_any_size_are_found_with_reads_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], block: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "sizes"
    records = [frame_header(n) + b"x" * n + frame_footer(b"x" * n) for n in sizes]
    path.write_bytes(b"".join(records))
    told: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reader.index_pass._READ_BYTES", block)
        index = make_index(info(path), told.append)
    assert np.diff(index.offsets.astype(np.int64)).tolist() == [n + 16 for n in sizes]
    assert sum(told) == path.stat().st_size


def test_a_shard_of_more_than_four_gigabytes(tmp_path: Path) -> None:
    size = 2**30 + 16
    with (tmp_path / "a").open("wb") as file:
        for number in range(5):
            file.seek(number * size)
            file.write(frame_header(2**30))
        file.truncate(5 * size)
    index = make_index(info(tmp_path / "a"), lambda size: None)
    assert index.offsets.tolist() == [number * size for number in range(6)]


def test_an_error_ends_the_other_shards_early(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"no record at all")
    (tmp_path / "b").write_bytes(b"")
    blocks: list[int] = []

    def work(file: FileInfo, progress: Progress) -> None:
        if file.path.endswith("b"):
            while True:  # as long as reading a shard can be
                progress(1)
        make_index(file, progress)

    with pytest.raises(CorruptRecordError, match="no TFRecord"):
        in_threads(work, [info(tmp_path / "a"), info(tmp_path / "b")], blocks.append)


class TestDamage:
    def test_a_damaged_length_is_named(self, jpegs: Foreign) -> None:
        data = bytearray(jpegs.shard(4).read_bytes())
        at = jpegs.offsets[14 + 5]
        data[at + 1] ^= 1
        jpegs.shard(4).write_bytes(data)
        words = f"{jpegs.shard(4)}: record 5 at byte {at}: its length or the CRC of its length"
        with pytest.raises(CorruptRecordError, match=words):
            open_shards(jpegs.glob)
        assert not idx(jpegs.shard(4)).exists()

    @pytest.mark.parametrize("left", [1, 11, 12, 13, 100])
    def test_a_cut_shard_is_named(self, jpegs: Foreign, left: int) -> None:
        at = jpegs.offsets[14 + 5]
        os.truncate(jpegs.shard(4), at + left)
        words = (
            f"{jpegs.shard(4)} ends at byte {at + left}, within record 5, which starts at .* {at}:"
        )
        with pytest.raises(DatasetError, match=words):
            open_shards(jpegs.glob)

    @pytest.mark.parametrize("where", [0, 5])
    def test_a_record_that_is_too_long_is_named(self, jpegs: Foreign, where: int) -> None:
        at = jpegs.offsets[14 + where]
        length = struct.pack("<Q", 2**30 + 1)
        with jpegs.shard(4).open("r+b") as file:
            file.seek(at)
            file.write(length + struct.pack("<I", masked_crc(length)))
            file.truncate(2**31)
        words = f"record {where} at byte {at}: it is 1,073,741,825 bytes long; more than"
        with pytest.raises(CorruptRecordError, match=words):
            open_shards(jpegs.shard(4))

    @pytest.mark.parametrize("kind", ["GZIP", "ZLIB"])
    @pytest.mark.parametrize("first", [True, False])
    def test_compressed_shards_are_named(self, jpegs: Foreign, kind: str, first: bool) -> None:
        path = jpegs.shard(0 if first else 4)
        write_records(path, jpegs.records[:3], kind)
        with pytest.raises(DatasetError, match=f"{path} is compressed with {kind}, .*decompress"):
            open_shards(jpegs.glob)

    def test_what_is_no_tfrecord_is_named(self, tmp_path: Path) -> None:
        for data in (b"x", b"no record at all", bytes(range(200))):
            (tmp_path / "a").write_bytes(data)
            with pytest.raises(CorruptRecordError, match="this is no TFRecord file"):
                open_shards(tmp_path / "a")

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=80), st.booleans())
    def test_bytes_at_random_are_refused(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, framed: bool
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "random"
        path.write_bytes(frame_header(len(data)) + data + frame_footer(data) if framed else data)
        with pytest.raises(ShardioError):
            open_shards(path)

    def test_the_first_record_is_named_with_what_it_holds(self, tmp_path: Path) -> None:
        write_records(tmp_path / "a", [b"\xff" * 9])
        with pytest.raises(DatasetError, match=f"{tmp_path}/a: record 0 cannot be read: it is no"):
            open_shards(tmp_path / "a")
        write_records(tmp_path / "a", [example(x=1, z=b"abc")])
        with pytest.raises(OptionError, match=rf"{tmp_path}/a: say which .*'x' \(int64\), 'z' \(3"):
            open_shards(tmp_path / "a")
        write_records(tmp_path / "a", [example(image=encode(photos(1)[0], "PNG")[:30])])
        with pytest.raises(DatasetError, match=f"{tmp_path}/a: record 0: its image"):
            open_shards(tmp_path / "a")


def test_a_trusted_index_may_be_older_than_its_shard(jpegs: Foreign) -> None:
    path = jpegs.shard(4)
    index_shards([info(path)])
    os.utime(idx(path), ns=(0, 0))
    for trusted, made in ((True, False), (False, True)):
        index_shards([info(path)], trusted=trusted)
        assert (idx(path).stat().st_mtime_ns > 0) == made


def test_opening_raw_shards_loads_no_pillow(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [example(image=photos(1)[0].tobytes())])
    code = (
        "import sys; from reader import open_shards\n"
        f"open_shards({str(tmp_path / 'a')!r}, shape=(24, 40, 3))[0]\n"
        "assert 'PIL' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
