"""Indexes of shards: made once, kept where that can be, and never of another file."""

from __future__ import annotations

import glob
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.batching.options import OnError
from reader.commands.cli import main
from reader.files.in_threads import Progress, in_threads
from reader.foreign.index_pass import make_index
from reader.foreign.shard_index import IndexNotKeptWarning, cached, index_shards, read_index
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    MissingFileError,
    OptionError,
    ShardioError,
)
from shardio.format.framing import frame_footer, frame_header, masked_crc
from shardio.format.manifest import ShardEntry
from shardio.storage import FileInfo, storage_for
from tests.reader.foreign_files import Foreign, encode, example, photos, tf, write_records


@pytest.fixture
def jpegs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Foreign:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Foreign(tmp_path / "jpegs")


@pytest.fixture
def cache(jpegs: Foreign, tmp_path: Path) -> Path:
    """Where indexes are kept."""
    return tmp_path / "cache" / "shardio" / "index"


def idx(path: Path) -> Path:
    return path.with_name(path.name + ".idx")


def info(path: Path) -> FileInfo:
    return storage_for(str(path)).stat(str(path))


def write_beside(foreign: Foreign) -> None:
    """Write all indexes beside the shards, as a user asks for it."""
    assert main(["index", foreign.glob, "--beside"]) == 0


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_it_is_made_once_and_nothing_is_written_beside_the_shards(
    jpegs: Foreign, cache: Path
) -> None:
    before = everything(jpegs.folder)
    assert len(open_shards(jpegs.glob)) == 37
    assert everything(jpegs.folder) == before
    made = times(cache)
    assert len(made) == 4  # one shard is empty
    shards = open_shards(jpegs.glob)
    assert (shards[20][0] == jpegs.images[20]).all()
    assert times(cache) == made


@pytest.mark.parametrize("name", ["train-0000{}-of-00002", "a{}.tfrecord", "part{}"])
@pytest.mark.parametrize("as_list", [True, False])
def test_the_globs_of_other_readers_find_what_they_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, as_list: bool
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images = [encode(image, "PNG") for image in photos(6)]
    for shard in range(2):
        records = [example(image=images[3 * shard + n], label=n) for n in range(3)]
        write_records(tmp_path / "set" / name.format(shard), records)
    pattern = f"{tmp_path}/set/{name[0]}*"
    for _ in range(3):
        source = sorted(glob.glob(pattern)) if as_list else pattern
        shards = open_shards(source)
        list(shards.batches(2))
        files = tf.data.Dataset.list_files(pattern)
        assert sum(1 for _ in tf.data.TFRecordDataset(files)) == len(shards) == 6


@pytest.mark.parametrize("as_list", [True, False])
def test_indexes_are_left_out_of_every_glob(jpegs: Foreign, as_list: bool) -> None:
    write_beside(jpegs)
    (jpegs.folder / "foreign-notes.idx").write_bytes(b"of another tool")
    pattern = f"{jpegs.folder}/f*"
    shards = open_shards(glob.glob(pattern) if as_list else pattern)
    assert len(shards) == 37
    alone = str(idx(jpegs.shard(4)))
    with pytest.raises(MissingFileError, match=f"no shards match {alone}; {alone} is no shard"):
        open_shards(alone)
    with pytest.raises(MissingFileError, match="none of the 2 files named is a shard"):
        open_shards([alone, str(idx(jpegs.shard(0)))])
    with pytest.raises(MissingFileError, match=r"no shards match .*/\*\.idx; .*idx is no sh"):
        open_shards([str(jpegs.shard(4)), f"{jpegs.folder}/*.idx"])


def test_an_index_that_lies_beside_a_shard_is_read(jpegs: Foreign, cache: Path) -> None:
    write_beside(jpegs)
    before = times(jpegs.folder)
    assert (open_shards(jpegs.glob)[20][0] == jpegs.images[20]).all()
    assert times(jpegs.folder) == before
    assert not cache.exists()
    offsets = jpegs.offsets[14:]
    sizes = [len(record) + 16 for record in jpegs.records[14:]]
    lines = [f"{at} {size}\n" for at, size in zip(offsets, sizes, strict=True)]
    assert idx(jpegs.shard(4)).read_text() == "".join(lines)


@pytest.mark.parametrize("beside", [True, False])
def test_a_shard_of_the_future_is_read_once(jpegs: Foreign, cache: Path, beside: bool) -> None:
    if beside:
        write_beside(jpegs)
    for index in range(5):
        os.utime(jpegs.shard(index), (2**32, 2**32))
    open_shards(jpegs.glob)
    made = times(cache)
    assert len(made) == 4
    assert len(open_shards(jpegs.glob)) == 37
    assert times(cache) == made


def test_where_the_cache_takes_no_files_that_is_said(
    jpegs: Foreign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/nowhere")
    with pytest.warns(IndexNotKeptWarning, match=r"foreign-.* cannot be kept in the cache .*--bes"):
        shards = open_shards(jpegs.glob)
    assert (shards[20][0] == jpegs.images[20]).all()
    write_beside(jpegs)
    assert len(open_shards(jpegs.glob)) == 37


def test_a_cached_index_is_of_one_version_of_the_shard(jpegs: Foreign, cache: Path) -> None:
    open_shards(jpegs.glob)
    first = times(cache)
    records = list(reversed(jpegs.records[14:]))
    write_records(jpegs.shard(4), records)  # of the same size
    assert (open_shards(jpegs.glob)[14][0] == jpegs.images[36]).all()
    second = times(cache)
    assert len(first) == len(second) == 4
    assert len({*first, *second}) == 5


def test_cached_indexes_that_nobody_uses_go_at_last(jpegs: Foreign, cache: Path) -> None:
    open_shards(jpegs.shard(0))
    open_shards(jpegs.shard(2))
    (cache / "notes").write_bytes(b"")
    for path in cache.iterdir():
        os.utime(path, (10**9, 10**9))
    unused = cached(info(jpegs.shard(0)))
    open_shards(jpegs.shard(2))
    open_shards(jpegs.shard(4))
    wanted = {cached(info(jpegs.shard(index))) for index in (2, 4)} | {str(cache / "notes")}
    assert {str(path) for path in cache.iterdir()} == wanted
    assert unused not in wanted


@pytest.mark.parametrize("same_size", [True, False])
def test_a_shard_that_is_newer_than_its_index_gets_another(jpegs: Foreign, same_size: bool) -> None:
    write_beside(jpegs)
    records = jpegs.records[14:]
    records = records[::-1] if same_size else records[1:]
    write_records(jpegs.shard(4), records)
    later = idx(jpegs.shard(4)).stat().st_mtime_ns + 10**9
    os.utime(jpegs.shard(4), ns=(later, later))
    shards = open_shards(jpegs.glob)
    assert len(shards) == 37 - (not same_size)
    assert (shards[14][0] == jpegs.images[36 if same_size else 15]).all()


@pytest.mark.parametrize("text", [b"", b"0 30\n", b"0 16\n16 16\n", b"notes of my own"])
def test_an_index_that_does_not_fit_is_not_used(jpegs: Foreign, text: bytes) -> None:
    idx(jpegs.shard(4)).write_bytes(text)
    for _ in range(2):
        assert (open_shards(jpegs.glob)[20][0] == jpegs.images[20]).all()
    assert idx(jpegs.shard(4)).read_bytes() == text


def test_a_file_that_is_no_index_is_left_alone(
    jpegs: Foreign, capsys: pytest.CaptureFixture[str]
) -> None:
    idx(jpegs.shard(4)).write_bytes(b"notes of my own")
    assert main(["index", jpegs.glob, "--beside"]) == 1
    assert (
        f"{idx(jpegs.shard(4))}: line 1 is not `offset size`: it is no" in capsys.readouterr().err
    )
    assert idx(jpegs.shard(4)).read_bytes() == b"notes of my own"


@pytest.mark.parametrize("text", ["{} 16\n", "0 16\n{} 0", "\n", "9", "\0"])
def test_what_lies_beside_a_small_shard_is_not_read_whole(jpegs: Foreign, text: str) -> None:
    lines = (text.format(16 * n) for n in range(3_000_000))
    idx(jpegs.shard(3)).write_text("".join(lines)[:40_000_000].ljust(40_000_000, text[-1]))
    tracemalloc.start()
    try:
        assert len(open_shards(jpegs.shard(3))) == 1
        main(["index", str(jpegs.shard(3)), "--beside"])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 40_000_000


def test_an_index_of_longer_records_than_can_be_is_not_used(tmp_path: Path) -> None:
    size = 2**31
    with (tmp_path / "a").open("wb") as file:
        file.write(frame_header(20))
        file.truncate(size)
    idx(tmp_path / "a").write_text(f"0 {size}\n")
    assert read_index(info(tmp_path / "a"), f"{tmp_path}/a.idx") is None
    idx(tmp_path / "a").write_text(f"0 {2**30 + 16}\n{2**30 + 16} {size - 2**30 - 16}\n")
    assert read_index(info(tmp_path / "a"), f"{tmp_path}/a.idx") is not None


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_shard_that_is_not_that_of_the_manifest_is_noticed(
    jpegs: Foreign, on_error: OnError
) -> None:
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
    jpegs: Foreign, on_error: OnError
) -> None:
    size = jpegs.shard(4).stat().st_size
    idx(jpegs.shard(4)).write_text(f"0 {size - 50}\n{size - 50} 50\n")
    shards = open_shards(jpegs.glob)
    with pytest.raises(DatasetError, match=r"the index is of another file; remove .*4\.tfrecord\."):
        list(shards.batches(3, on_error=on_error))


@pytest.mark.parametrize("beside", [True, False])
def test_a_shard_that_was_cut_behind_a_record_is_noticed(
    jpegs: Foreign, cache: Path, beside: bool
) -> None:
    shard = jpegs.shard(4)
    if beside:
        write_beside(jpegs)
    else:
        open_shards(jpegs.glob)
    kept_at = idx(shard) if beside else Path(cached(info(shard)))
    for kept in (22, 1):
        os.truncate(shard, jpegs.offsets[14 + kept])
        for _ in range(2):
            with pytest.raises(
                DatasetError,
                match=f"{shard} was cut behind record {kept - 1}: its index lists 23 records",
            ):
                open_shards(jpegs.glob)
    kept_at.unlink()
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
        patch.setattr("reader.foreign.index_pass._READ_BYTES", block)
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
        assert not Path(cached(info(jpegs.shard(4)))).exists()

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
    @pytest.mark.parametrize("level", [-1, 0, 1, 3, 6, 9])
    @pytest.mark.parametrize("first", [True, False])
    def test_compressed_shards_are_named(
        self, jpegs: Foreign, kind: str, level: int, first: bool
    ) -> None:
        path = jpegs.shard(0 if first else 4)
        options = tf.io.TFRecordOptions(compression_type=kind, compression_level=level)
        write_records(path, jpegs.records[:3], options)
        with pytest.raises(
            DatasetError, match=f"{path} is compressed with {kind}, .*convert {path} "
        ):
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
        write_records(tmp_path / "a", [example(image=encode(photos(1)[0], "PNG")[:30], label=1)])
        with pytest.raises(DatasetError, match=f"{tmp_path}/a: record 0: its image"):
            open_shards(tmp_path / "a")


def test_an_index_of_ours_may_be_older_than_its_shard(jpegs: Foreign) -> None:
    path = jpegs.shard(4)
    write_beside(jpegs)
    os.utime(idx(path), ns=(0, 0))
    for ours in (True, False):
        (shard,) = index_shards([info(path)], ours=ours)
        assert shard.lacked != ours
        assert idx(path).stat().st_mtime_ns == 0


def test_shards_of_ours_get_a_missing_index_back(jpegs: Foreign, cache: Path) -> None:
    index_shards([info(jpegs.shard(4))], ours=True)
    assert idx(jpegs.shard(4)).exists()
    assert not cache.exists()


def test_opening_raw_shards_loads_no_pillow(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [example(image=photos(1)[0].tobytes())])
    code = (
        "import sys; from reader import open_shards\n"
        f"open_shards({str(tmp_path / 'a')!r}, shape=(24, 40, 3), labels=[])[0]\n"
        "assert 'PIL' not in sys.modules and 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
