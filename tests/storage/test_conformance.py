"""What every storage must do, written once against the protocol.

A storage enrols with a `Place`: a folder on it, and a way to read and write its bytes that does
not go through shardio.
"""

from __future__ import annotations

import glob
import pickle
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from uuid import uuid4

import fsspec
import numpy as np
import pytest

from shardio.errors import (
    MissingFileError,
    OutputError,
    ShardioError,
    StorageError,
    UnusableFileError,
)
from shardio.storage import Storage, search, storage_for
from shardio.storage.chooser import confined_to
from shardio.storage.paths import join
from shardio.storage.temporary import final_name, temporary_name
from tests.hdfs.place import HdfsPlace
from tests.s3.place import BUCKET, S3Place
from tests.storage.forked import StopError, fork


class Place(Protocol):
    """A folder of a storage, reached without shardio."""

    folder: str

    def write(self, name: str, data: bytes) -> None: ...

    def read(self, name: str) -> bytes: ...

    def names(self) -> list[str]:
        """All files below the folder, temporary ones too."""


@dataclass
class LocalPlace:
    folder: str

    def write(self, name: str, data: bytes) -> None:
        path = Path(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def read(self, name: str) -> bytes:
        return Path(self.folder, name).read_bytes()

    def names(self) -> list[str]:
        top = Path(self.folder)
        return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


class ConfinedPlace(LocalPlace):
    """A folder out of which no link leads."""


@dataclass
class FsspecPlace:
    folder: str

    def _files(self) -> Any:
        return fsspec.filesystem(self.folder.partition("://")[0])

    def write(self, name: str, data: bytes) -> None:
        path = f"{self.folder}/{name}"
        self._files().makedirs(path.rpartition("/")[0], exist_ok=True)
        self._files().pipe_file(path, data)

    def read(self, name: str) -> bytes:
        data: bytes = self._files().cat_file(f"{self.folder}/{name}")
        return data

    def names(self) -> list[str]:
        files = self._files()
        top = files._strip_protocol(self.folder) + "/"
        return sorted(name.removeprefix(top) for name in files.find(self.folder))


# Of others a request tells which file it is.
TELL_AT_OPENING = LocalPlace, HdfsPlace, S3Place


@pytest.fixture(
    params=[
        *("local", "confined", "memory", "fsspec-file", "hdfs"),
        pytest.param("s3", marks=pytest.mark.s3),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "hdfs":
        yield HdfsPlace(request.getfixturevalue("hdfs"), f"/{uuid4().hex}")
    elif request.param == "s3":
        request.getfixturevalue("s3")
        yield S3Place(f"s3://{BUCKET}/{uuid4().hex}")
    elif request.param == "local":
        yield LocalPlace(str(tmp_path / "place"))
    elif request.param == "confined":
        yield ConfinedPlace(str(tmp_path / "place"))
    elif request.param == "fsspec-file":
        yield FsspecPlace(f"file://{tmp_path}/place")
    else:
        folder = f"memory://{uuid4().hex}"
        yield FsspecPlace(folder)
        files = fsspec.filesystem("memory")
        if files.exists(folder):
            files.rm(folder, recursive=True)


@pytest.fixture
def storage(place: Place) -> Storage:
    confined = isinstance(place, ConfinedPlace)
    return confined_to(place.folder) if confined else storage_for(place.folder)


def publish(storage: Storage, path: str, data: bytes, **options: Any) -> None:
    with storage.publish(path, **{"attempt": uuid4().hex, **options}) as file:
        file.write(data)


def whole(storage: Storage, path: str) -> bytes:
    return storage.read_file(path, 1 << 20)


def read_at(storage: Storage, path: str, offset: int, size: int) -> bytes:
    reader = storage.open_ranges(path)
    try:
        data = bytearray(size)
        return bytes(data[: reader.read_into(offset, memoryview(data))])
    finally:
        reader.close()


class TestLinks:
    def test_what_is_no_link(self, place: Place, storage: Storage) -> None:
        place.write("folder/file", b"abc")
        for name in ("folder", "folder/file", "folder/nowhere", "nowhere/at/all", "folder/file/x"):
            assert not storage.is_link(f"{place.folder}/{name}")

    def test_a_link_is_one_and_goes_without_what_it_leads_to(
        self, place: Place, storage: Storage, tmp_path: Path
    ) -> None:
        if str(tmp_path) not in place.folder:
            pytest.skip("there are no links")
        place.write("folder/file", b"abc")
        folder = tmp_path / "place"
        for name, target in (("a", "folder"), ("b", "folder/file")):
            (folder / name).symlink_to(folder / target)
            assert storage.is_link(f"{place.folder}/{name}")
            storage.delete(f"{place.folder}/{name}")
        assert place.names() == ["folder/file"]


class TestList:
    def test_a_missing_folder_is_empty(self, place: Place, storage: Storage) -> None:
        assert storage.list(f"{place.folder}/nowhere") == []
        assert storage.list(f"{place.folder}/nowhere/at/all") == []
        assert list(storage.names(f"{place.folder}/nowhere")) == []

    def test_a_file_is_no_folder(self, place: Place, storage: Storage) -> None:
        place.write("file", b"abc")
        assert storage.list(f"{place.folder}/file") == []
        assert storage.list(f"{place.folder}/file/below") == []

    def test_files_and_folders_are_sorted_and_told_apart(
        self, place: Place, storage: Storage
    ) -> None:
        for name in ("b", "a/x/y", "c", "B", "a-b", ".hidden"):
            place.write(name, name.encode())
        found = storage.list(place.folder)
        names = [".hidden", "B", "a", "a-b", "b", "c"]
        assert [info.path for info in found] == [f"{place.folder}/{name}" for name in names]
        assert [info.is_folder for info in found] == [name == "a" for name in names]
        assert sorted(storage.names(place.folder)) == [(name, name == "a") for name in names]
        assert [info.size for info in found if not info.is_folder] == [7, 1, 3, 1, 1]

    def test_a_slash_at_the_end_changes_nothing(self, place: Place, storage: Storage) -> None:
        place.write("a", b"1")
        assert storage.list(f"{place.folder}/") == storage.list(place.folder)

    def test_what_is_listed_can_be_used(self, place: Place, storage: Storage) -> None:
        place.write("a", b"1")
        place.write("b/c", b"22")
        file, folder = storage.list(place.folder)
        assert storage.stat(file.path) == file
        assert storage.stat(folder.path).is_folder
        assert [info.size for info in storage.list(folder.path)] == [2]


class TestStat:
    def test_a_file_has_its_size(self, place: Place, storage: Storage) -> None:
        place.write("a", b"12345")
        info = storage.stat(f"{place.folder}/a")
        assert (info.path, info.size, info.is_folder) == (f"{place.folder}/a", 5, False)

    def test_a_folder_is_one(self, place: Place, storage: Storage) -> None:
        place.write("a/b", b"1")
        assert storage.stat(f"{place.folder}/a").is_folder

    @pytest.mark.parametrize("name", ["nowhere", "nowhere/at/all", "file/below"])
    def test_what_is_missing_is_named(self, place: Place, storage: Storage, name: str) -> None:
        place.write("file", b"1")
        with pytest.raises(MissingFileError, match=name):
            storage.stat(f"{place.folder}/{name}")

    def test_identity_stays_while_the_file_does(self, place: Place, storage: Storage) -> None:
        place.write("a", b"1")
        first = storage.stat(f"{place.folder}/a")
        assert place.read("a") == b"1"
        assert storage.stat(f"{place.folder}/a") == first

    def test_identity_changes_with_a_file_of_the_same_size(
        self, place: Place, storage: Storage
    ) -> None:
        path = f"{place.folder}/a"
        seen = set()
        for byte in range(20):
            publish(storage, path, bytes([byte]))
            seen.add(storage.stat(path).identity)
        assert len(seen) >= 2
        publish(storage, path, b"x")
        before = storage.stat(path).identity
        publish(storage, path, b"y")
        assert storage.stat(path).identity != before


class TestReadFile:
    @pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 300_000])
    def test_it_is_the_whole_file(self, place: Place, storage: Storage, size: int) -> None:
        data = np.random.default_rng(0).bytes(size)
        place.write("a", data)
        assert storage.read_file(f"{place.folder}/a", 300_000) == data
        assert storage.read_file(f"{place.folder}/a", size) == data

    @pytest.mark.parametrize("size", [1, 65_536, 2_500_000])
    def test_a_larger_file_than_wanted_is_refused(
        self, place: Place, storage: Storage, size: int
    ) -> None:
        place.write("a", bytes(size))
        with pytest.raises(UnusableFileError, match=f"/a: the file is larger than {size - 1:,} b"):
            storage.read_file(f"{place.folder}/a", size - 1)

    def test_a_larger_file_takes_little_memory(self, place: Place, storage: Storage) -> None:
        place.write("a", bytes(8_000_000))
        tracemalloc.start()
        try:
            with pytest.raises(UnusableFileError, match="larger than 1,000 bytes"):
                storage.read_file(f"{place.folder}/a", 1000)
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
        finally:
            tracemalloc.stop()


class TestOpenStream:
    def test_all_bytes_come_in_order(self, place: Place, storage: Storage) -> None:
        data = np.random.default_rng(0).bytes(300_000)
        place.write("a", data)
        with storage.open_stream(f"{place.folder}/a") as stream:
            pieces = []
            while piece := stream.read(70_000):
                pieces.append(piece)
        assert b"".join(pieces) == data
        with storage.open_stream(f"{place.folder}/a") as stream:
            assert stream.read() == data

    def test_it_fills_a_buffer_and_seeks(self, place: Place, storage: Storage) -> None:
        place.write("a", b"0123456789")
        buffer = bytearray(4)
        with storage.open_stream(f"{place.folder}/a") as stream:
            assert stream.readable()
            assert stream.seekable()
            assert stream.seek(3) == 3
            assert stream.readinto(buffer) == 4  # type: ignore[attr-defined]
            assert (bytes(buffer), stream.tell(), stream.read(2)) == (b"3456", 7, b"78")
        assert stream.closed

    def test_two_streams_of_one_file_have_a_position_each(
        self, place: Place, storage: Storage
    ) -> None:
        place.write("a", b"0123456789")
        path = f"{place.folder}/a"
        with storage.open_stream(path) as one:
            assert one.read(3) == b"012"
            with storage.open_stream(path) as two:
                assert two.read(5) == b"01234"
                assert one.read(3) == b"345"

    @pytest.mark.parametrize("name", ["nowhere", "file/below"])
    def test_a_missing_file_is_named(self, place: Place, storage: Storage, name: str) -> None:
        place.write("file", b"1")
        for action in (storage.open_stream, storage.open_ranges, partial(whole, storage)):
            with pytest.raises(MissingFileError, match=name):
                action(f"{place.folder}/{name}")

    def test_a_folder_is_refused(self, place: Place, storage: Storage) -> None:
        place.write("a/b", b"1")
        for action in (storage.open_stream, storage.open_ranges, partial(whole, storage)):
            with pytest.raises(StorageError, match="/a"):
                action(f"{place.folder}/a")


class TestRanges:
    @pytest.mark.parametrize(("offset", "size", "left"), [(95, 10, 5), (100, 1, 0), (500, 3, 0)])
    def test_a_read_past_the_end_is_short(
        self, place: Place, storage: Storage, offset: int, size: int, left: int
    ) -> None:
        place.write("a", bytes(range(100)))
        assert read_at(storage, f"{place.folder}/a", offset, size) == bytes(range(100))[offset:]
        reader = storage.open_ranges(f"{place.folder}/a")
        memory = bytearray(size)
        assert reader.read_into(offset, memoryview(memory)) == left
        assert memory == bytes(range(100))[offset:] + bytes(size - left)
        reader.close()

    def test_large_and_small_parts_are_read(self, place: Place, storage: Storage) -> None:
        data = np.random.default_rng(3).bytes(1_000_000)
        place.write("a", data)
        path = f"{place.folder}/a"
        for offset, size in [(0, 10), (7, 200_000), (1, 999_999), (999_990, 100), (1 << 20, 5)]:
            assert read_at(storage, path, offset, size) == data[offset : offset + size]

    def test_threads_read_at_once(self, place: Place, storage: Storage) -> None:
        data = np.random.default_rng(2).bytes(200_000)
        place.write("a", data)
        readers = [storage.open_ranges(f"{place.folder}/a") for _ in range(2)]
        # Of the server that speaks S3 here a request takes long.
        count = 30 if isinstance(place, S3Place) else 300
        wrong: list[Any] = []

        def work(number: int) -> None:
            try:
                rng = np.random.default_rng(number)
                for offset in rng.integers(0, 199_000, count).tolist():
                    memory = bytearray(1000)
                    got = readers[number % 2].read_into(offset, memoryview(memory))
                    if got != 1000 or memory != data[offset : offset + 1000]:
                        wrong.append(offset)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        for reader in readers:
            reader.close()

    def test_it_is_the_file_that_is_told_of(self, place: Place, storage: Storage) -> None:
        place.write("a", b"1")
        known = storage.stat(f"{place.folder}/a").identity
        reader = storage.open_ranges(f"{place.folder}/a")
        says = reader.identity
        reader.close()
        assert says == (known if isinstance(place, TELL_AT_OPENING) else "")

    def test_it_can_be_closed_twice(self, place: Place, storage: Storage) -> None:
        place.write("a", b"1")
        reader = storage.open_ranges(f"{place.folder}/a")
        reader.close()
        reader.close()

    def test_an_empty_file_gives_nothing(self, place: Place, storage: Storage) -> None:
        place.write("a", b"")
        assert read_at(storage, f"{place.folder}/a", 0, 5) == b""


class TestPublish:
    def test_the_file_is_whole_after_the_block(self, place: Place, storage: Storage) -> None:
        data = np.random.default_rng(3).bytes(3_000_000)
        with storage.publish(f"{place.folder}/new/folder/a", attempt="1") as file:
            for start in range(0, len(data), 700_001):
                file.write(data[start : start + 700_001])
        assert place.read("new/folder/a") == data
        assert place.names() == ["new/folder/a"]

    def test_nothing_is_visible_while_it_is_written(self, place: Place, storage: Storage) -> None:
        path = f"{place.folder}/a"
        with storage.publish(path, attempt="1") as file:
            file.write(bytes(5_000_000))
            assert "a" not in place.names()
            with pytest.raises(MissingFileError):
                storage.stat(path)
            assert {final_name(name) for name in place.names()} <= {"a"}
        assert place.names() == ["a"]

    @pytest.mark.parametrize(
        "error", [RuntimeError("stop"), KeyError("stop"), KeyboardInterrupt(), OutputError("stop")]
    )
    @pytest.mark.parametrize("there", [False, True])
    def test_after_an_exception_nothing_is_left_and_it_comes_out_as_it_was(
        self, place: Place, storage: Storage, error: BaseException, there: bool
    ) -> None:
        if there:
            place.write("a", b"old")

        def fail() -> None:
            with storage.publish(f"{place.folder}/a", attempt="1") as file:
                file.write(bytes(2_000_000))
                raise error

        with pytest.raises(type(error)) as caught:
            fail()
        assert caught.value is error
        assert place.names() == ["a"] * there
        assert not there or place.read("a") == b"old"

    @pytest.mark.parametrize("how", ["raises", "ends", "writes"])
    def test_a_fork_leaves_the_file_to_its_parent(
        self, place: Place, storage: Storage, how: str
    ) -> None:
        data = bytes(range(250)) * 100

        @contextmanager
        def begun() -> Iterator[BinaryIO]:
            with storage.publish(f"{place.folder}/a", attempt="1") as file:
                file.write(data)  # which may be in a buffer, that the fork has, too
                yield file

        def within(file: BinaryIO, is_fork: bool) -> None:
            if is_fork and how == "raises":
                raise StopError
            if not is_fork or how == "writes":
                file.write(data)

        said = fork(begun(), within)
        assert said == (StopError if how == "raises" else StorageError).__name__
        assert place.names() == ["a"]
        assert place.read("a") == data + data

    def test_an_old_file_is_replaced(self, place: Place, storage: Storage) -> None:
        place.write("a", b"an old file")
        publish(storage, f"{place.folder}/a", b"new")
        assert place.read("a") == b"new"
        assert place.names() == ["a"]

    def test_a_reader_of_the_old_file_gets_no_byte_of_the_new_one(
        self, place: Place, storage: Storage
    ) -> None:
        place.write("a", b"old")
        reader = storage.open_ranges(f"{place.folder}/a")
        publish(storage, f"{place.folder}/a", b"new")
        data = bytearray(3)
        if isinstance(place, S3Place):  # it keeps no object that nobody could find
            with pytest.raises(StorageError, match=r"/a, byte 0: was replaced while it was read"):
                reader.read_into(0, memoryview(data))
        else:
            assert reader.read_into(0, memoryview(data)) == 3
            assert data == b"old"
        reader.close()

    def test_an_old_file_is_kept_on_request(self, place: Place, storage: Storage) -> None:
        publish(storage, f"{place.folder}/a", b"first", overwrite=False)
        with pytest.raises(OutputError, match="/a"):
            publish(storage, f"{place.folder}/a", b"second", overwrite=False)
        assert place.read("a") == b"first"
        assert place.names() == ["a"]

    @pytest.mark.parametrize("overwrite", [True, False])
    def test_a_folder_is_not_replaced(
        self, place: Place, storage: Storage, overwrite: bool
    ) -> None:
        place.write("a/b", b"1")
        with pytest.raises((StorageError, OutputError), match="/a"):
            publish(storage, f"{place.folder}/a", b"x", overwrite=overwrite)
        assert place.names() == ["a/b"]

    def test_two_attempts_do_not_disturb_each_other(self, place: Place, storage: Storage) -> None:
        path = f"{place.folder}/a"
        with storage.publish(path, attempt="1") as one:
            one.write(b"one, ")
            with storage.publish(path, attempt="2") as two:
                two.write(b"two")
            assert place.read("a") == b"two"
            one.write(b"whole")
        assert place.read("a") == b"one, whole"
        assert place.names() == ["a"]

    def test_a_failing_attempt_leaves_the_other_alone(self, place: Place, storage: Storage) -> None:
        path = f"{place.folder}/a"
        with storage.publish(path, attempt="1") as one:
            one.write(b"one")
            with pytest.raises(RuntimeError), storage.publish(path, attempt="2"):
                raise RuntimeError
        assert place.read("a") == b"one"

    def test_an_empty_file_can_be_published(self, place: Place, storage: Storage) -> None:
        publish(storage, f"{place.folder}/a", b"")
        assert place.read("a") == b""
        assert storage.stat(f"{place.folder}/a").size == 0

    def test_a_file_stands_where_a_folder_should(self, place: Place, storage: Storage) -> None:
        if isinstance(place, S3Place):
            pytest.skip("there are no folders")
        place.write("a", b"1")
        with pytest.raises(ShardioError, match="/a/b"):
            publish(storage, f"{place.folder}/a/b", b"x")
        assert place.names() == ["a"]


class TestDelete:
    @pytest.mark.parametrize("name", ["nowhere", "nowhere/at/all", "file/below"])
    def test_what_is_missing_may_be_deleted(
        self, place: Place, storage: Storage, name: str
    ) -> None:
        place.write("file", b"1")
        storage.delete(f"{place.folder}/{name}")
        assert place.names() == ["file"]

    def test_a_file_goes_and_its_neighbours_stay(self, place: Place, storage: Storage) -> None:
        for name in ("a", "ab", "a.b", "b"):
            place.write(name, b"1")
        storage.delete(f"{place.folder}/a")
        assert place.names() == ["a.b", "ab", "b"]

    def test_a_folder_goes_with_its_content(self, place: Place, storage: Storage) -> None:
        for name in ("a/b", "a/c/d/e", "ab/c"):
            place.write(name, b"1")
        storage.delete(f"{place.folder}/a")
        assert place.names() == ["ab/c"]
        assert [info.path for info in storage.list(place.folder)] == [f"{place.folder}/ab"]


ODD_NAMES = [
    "two words",
    "标签 é",
    "a[1]",
    "a*",
    "a?",
    "-rf",
    "a'b\"c",
    "{a,b}",
    "~",
    "$HOME",
    "%41",
    "a+b=c&d",
    "x" * 200,
]


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("folder", [False, True])
def test_odd_names_are_names(place: Place, storage: Storage, name: str, folder: bool) -> None:
    inside = f"{name}/file" if folder else name
    path = f"{place.folder}/{inside}"
    for other in ("a1", "ax", "aa"):
        place.write(f"{other}/file" if folder else other, b"other")
    others = place.names()
    publish(storage, path, b"abc")
    assert place.read(inside) == b"abc"
    assert storage.stat(path).size == 3
    assert read_at(storage, path, 1, 2) == b"bc"
    assert path in [info.path for info in storage.list(path.rpartition("/")[0])]
    assert [info.path for info in search(glob.escape(path))] == [path]
    storage.delete(f"{place.folder}/{name}")
    assert place.names() == others


def test_a_storage_survives_pickling(place: Place, storage: Storage) -> None:
    again = pickle.loads(pickle.dumps(storage))
    publish(again, f"{place.folder}/a", b"abc")
    assert place.read("a") == b"abc"
    assert storage.stat(f"{place.folder}/a") == again.stat(f"{place.folder}/a")
    assert (
        pickle.loads(pickle.dumps(again.stat(f"{place.folder}/a"))) == again.list(place.folder)[0]
    )


class TestSearch:
    @pytest.fixture(autouse=True)
    def files(self, place: Place) -> None:
        for name in ("b/x-1", "b/x-2", "a/x-1", "a/y-1", "a/.x-1", "a/sub/x-1", ".c/x-1", "x-1"):
            place.write(name, name.encode())

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("x-1", ["x-1"]),
            ("b/*", ["b/x-1", "b/x-2"]),
            ("*/x-1", ["a/x-1", "b/x-1"]),
            ("*/x-?", ["a/x-1", "b/x-1", "b/x-2"]),
            ("[ab]/[!x]*", ["a/y-1"]),
            ("b/x-[2-9]", ["b/x-2"]),
            ("*/*/x-*", ["a/sub/x-1"]),
            ("*", ["x-1"]),
            ("a/.*", ["a/.x-1"]),
            (".*/*", [".c/x-1"]),
            ("nowhere/*", []),
            ("*/nowhere", []),
            ("x-1/*", []),
            ("a", []),
            ("X-1", []),
        ],
    )
    def test_wildcards_stand_for_what_they_do_in_a_shell(
        self, place: Place, pattern: str, names: list[str]
    ) -> None:
        found = search(f"{place.folder}/{pattern}")
        assert [info.path for info in found] == [f"{place.folder}/{name}" for name in names]
        assert [info.size for info in found] == [len(name) for name in names]
        assert found == [storage_for(info.path).stat(info.path) for info in found]


def test_join_makes_paths_that_the_storage_takes(place: Place, storage: Storage) -> None:
    place.write("a/b", b"1")
    for folder in (place.folder, f"{place.folder}/"):
        assert storage.stat(join(folder, "a", "b")).path == f"{place.folder}/a/b"


def test_temporary_names_are_distinct_hidden_and_can_be_read_back() -> None:
    name = "a b\n.tfrecord"
    assert temporary_name(name, "1") != temporary_name(name, "2")
    assert temporary_name(name, "1").startswith(".")
    assert final_name(temporary_name(name, "a1-b_2")) == name
    assert final_name(name) is None
    assert final_name(".hidden") is None
