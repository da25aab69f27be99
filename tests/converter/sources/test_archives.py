"""Images within archives are read as if they lay in a folder."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
import tracemalloc
import warnings
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from converter import ConvertOptions, convert
from converter.sources import archives, image_files, patience
from converter.sources.archives import Archives, read_member
from converter.sources.image_files import read_image
from shardio.errors import MissingFileError, StorageError, UnusableFileError
from shardio.format.transform import Transform
from shardio.storage import waiting
from tests.converter.inputs import contents, write_csv, write_images

FILES = {f"a/{n}.bin": bytes([n]) * (n * 100) for n in range(30)} | {"图 x.png": b"x" * 9}
MOST = 10_000


def make_tar(path: Path, start: str = "", mode: str = "w") -> str:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in FILES.items():
            info = tarfile.TarInfo(start + name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def make_zip(path: Path, method: int = zipfile.ZIP_DEFLATED) -> str:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return str(path)


@pytest.fixture(params=["tar", "tar with ./", "zip", "stored zip"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param.startswith("tar"):
        return make_tar(tmp_path / "x.tar", "./" if "./" in request.param else "")
    return make_zip(tmp_path / "x.zip", 0 if "stored" in request.param else zipfile.ZIP_DEFLATED)


def test_every_member_is_read_by_many_threads(archive: str) -> None:
    def read(name: str) -> bytes:
        return read_image(f"{archive}::{name}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, list(FILES) * 5)) == list(FILES.values()) * 5
    assert read_member(f"{archive}::./a/7.bin", MOST) == FILES["a/7.bin"]


def test_what_is_missing_or_too_large_is_told(archive: str) -> None:
    with pytest.raises(MissingFileError, match=r"::a/99.bin: no such member"):
        read_member(f"{archive}::a/99.bin", MOST)
    with pytest.raises(MissingFileError, match="No such file"):
        read_member(f"{archive}x::a/1.bin", MOST)
    with pytest.raises(UnusableFileError, match=r"::a/29.bin: the file is larger than 2,000"):
        read_member(f"{archive}::a/29.bin", 2000)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_each_index_is_read_once_and_only_some_files_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are shuffled: nearly every read is of another archive than the last one."""
    monkeypatch.setattr(archives, "_of_process", Archives(max_open=8))
    paths = [make_tar(tmp_path / f"{n}.tar") for n in range(30)]
    members = [(path, name) for path in paths for name in FILES]
    random.Random(1).shuffle(members)
    before = open_files()
    for path, name in members[:200]:
        assert read_member(f"{path}::{name}", MOST) == FILES[name]
    assert open_files() - before == 8
    # An index that was read again would see that the headers are gone.
    for path in paths:
        with open(path, "r+b") as file:
            file.write(bytes(100))
    for path, name in members:
        assert read_member(f"{path}::{name}", MOST) == FILES[name]


def test_nobody_closes_what_another_thread_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_of_process", Archives(max_open=3))
    paths = [make_tar(tmp_path / f"{n}.tar") for n in range(20)]
    members = [(path, name) for path in paths for name in FILES] * 5
    random.Random(2).shuffle(members)
    before = open_files()
    most = 0

    def read(member: tuple[str, str]) -> bool:
        nonlocal most
        most = max(most, open_files())
        return read_member("::".join(member), MOST) == FILES[member[1]]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, members))
    assert most - before <= 3 + 16 + 20  # indexes are read, and /proc is listed
    assert open_files() - before <= 3


def test_many_archives_give_the_shards_of_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are shuffled, so that every thread wants another archive."""
    names = write_images(tmp_path / "images", 300, (20, 16))
    rows = [[f"images/{name}", n % 9] for n, name in enumerate(names)]
    plain = write_csv(tmp_path / "plain.csv", ["path", "y0"], rows)
    for number in range(60):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as archive:
            for name in names[number::60]:
                archive.add(tmp_path / "images" / name, name)
    rows = [[f"{n % 60}.tar::{name}", n % 9] for n, name in enumerate(names)]
    archived = write_csv(tmp_path / "archived.csv", ["path", "y0"], rows)
    options = ConvertOptions(transform=Transform(None, (8, 8)), shards=3)

    def shards(table: Path, out: str, engine: str) -> dict[str, bytes]:
        summary = convert(str(table), str(tmp_path / out), options, engine=engine)
        assert summary.rejected == 0
        found = contents(tmp_path / out)
        return {name: data for name, data in found.items() if name.endswith(".tfrecord")}

    wanted = shards(plain, "plain", "inline")
    assert shards(archived, "processes", "processes") == wanted
    monkeypatch.setattr(image_files, "_SLOW_SECONDS", 0.0)  # all are read ahead
    before = open_files()
    for number in range(3):
        monkeypatch.setattr(archives, "_of_process", Archives(max_open=3))
        assert shards(archived, f"inline-{number}", "inline") == wanted
    assert open_files() <= before


def test_an_archive_that_was_mended_is_read_anew(tmp_path: Path) -> None:
    name, whole = write_images(tmp_path / "images", 2, (20, 16))
    rows = [[f"x.tar::{name}", 1], [f"images/{whole}", 2]]
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
    (tmp_path / "x.tar").write_bytes(b"x" * 5000)
    options = ConvertOptions(transform=Transform(None, (8, 8)))
    how = {"engine": "inline", "max_rejects": "1"}
    assert convert(str(table), str(tmp_path / "out"), options, **how).rejected == 1  # type: ignore[arg-type]
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        archive.add(tmp_path / "images" / name, name)
    again = convert(str(table), str(tmp_path / "out"), options, repair=True, **how)  # type: ignore[arg-type]
    assert (again.shards_made, again.rejected) == (1, 0)


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **header: Any) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in header.items():
        setattr(info, key, value)
    archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_odd_members_of_a_tar_are_what_tarfile_says(tmp_path: Path, format: int) -> None:
    long = "/".join(["d" * 90] * 4) + "/图.bin"
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=format) as archive:
        add(archive, "d", type=tarfile.DIRTYPE)
        add(archive, "./d/twice", b"first")
        add(archive, "hard", type=tarfile.LNKTYPE, linkname="./d/twice")
        add(archive, "d/twice", b"second")
        add(archive, long, b"long")
        add(archive, "soft", type=tarfile.SYMTYPE, linkname="d/twice")
        add(archive, "circle", type=tarfile.SYMTYPE, linkname="circle")
        add(archive, "replaced", type=tarfile.SYMTYPE, linkname="d")
        add(archive, "replaced", b"a file by now")
        add(archive, "empty")
        add(archive, "d/pipe", type=tarfile.FIFOTYPE)
    wanted = {long: b"long", "d/twice": b"second", "replaced": b"a file by now", "empty": b""}
    for name, data in wanted.items():
        assert read_member(f"{path}::{name}", MOST) == data, name
        assert read_member(f"{path}::./{name}", MOST) == data, name
    for name in ("hard", "soft", "circle"):
        with pytest.raises(UnusableFileError, match=f"::{name}: it is a link; name the member"):
            read_member(f"{path}::{name}", MOST)
    for name in ("d", "d/pipe", ""):
        with pytest.raises(MissingFileError, match="no such member"):
            read_member(f"{path}::{name}", MOST)


@pytest.mark.parametrize("format", ["gnu", "pax"])
def test_a_file_that_is_stored_with_holes_is_refused(tmp_path: Path, format: str) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(400_000)
        file.write(b"x" * 5000)
    (tmp_path / "after").write_bytes(b"whole")
    tar = ["tar", "--sparse", f"--format={format}", "-cf", "x.tar", "holes", "after"]
    subprocess.run(tar, cwd=tmp_path, check=True)
    assert read_member(f"{tmp_path}/x.tar::after", MOST) == b"whole"
    if (tmp_path / "x.tar").stat().st_size > 200_000:
        pytest.skip("this file system keeps no holes")
    with pytest.raises(UnusableFileError, match="::holes: it is stored with holes"):
        read_member(f"{tmp_path}/x.tar::holes", 400_000)


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["x.cbz", "x.dat", "x.tar"])
def test_a_zip_is_told_by_its_first_bytes(tmp_path: Path, method: int, name: str) -> None:
    path = tmp_path / name
    make_zip(path, method)
    for member, data in FILES.items():
        assert read_member(f"{path}::{member}", MOST) == data


@pytest.mark.parametrize(
    ("method", "kind"),
    [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA"), (93, "method 93")],
)
def test_other_compressions_of_a_zip_are_refused(tmp_path: Path, method: int, kind: str) -> None:
    path = tmp_path / "x.zip"
    make_zip(path, method if method < 93 else zipfile.ZIP_DEFLATED)
    if method == 93:
        data = bytearray(path.read_bytes())
        at = data.rindex(b"PK\1\2", 0, data.rindex(b"a/2.bin"))
        data[at + 10] = method
        path.write_bytes(data)
    with pytest.raises(UnusableFileError, match=f"::a/2.bin: it is compressed with {kind}"):
        read_member(f"{path}::a/2.bin", MOST)


def test_odd_members_of_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the name that is there twice
        archive.mkdir("folder") if hasattr(archive, "mkdir") else archive.writestr("folder/", b"")
        for data in (b"first", b"second"):
            archive.writestr("twice", data)
        info = zipfile.ZipInfo("extra")
        info.extra = b"\xfe\xca\x58\x02" + bytes(600)
        archive.writestr(info, b"behind a long header")
        with archive.open("streamed", "w", force_zip64=True) as file:
            file.write(b"large, as far as it knows")
    path.write_bytes(b"a program that unpacks itself" + path.read_bytes())
    wanted = {"twice": b"second", "extra": b"behind a long header"}
    wanted["streamed"] = b"large, as far as it knows"
    for name, data in wanted.items():
        assert read_member(f"{path}::{name}", MOST) == data
    with pytest.raises(MissingFileError):
        read_member(f"{path}::folder", MOST)


@pytest.mark.parametrize("method", METHODS)
def test_every_flipped_bit_of_a_zip_is_seen(tmp_path: Path, method: int) -> None:
    """But for those that no reader looks at: what is read is right, or it is refused."""
    whole = Path(make_zip(tmp_path / "whole.zip", method)).read_bytes()
    end = whole.index(b"PK\1\2")
    refused = 0
    for number, at in enumerate(range(0, end, max(1, end // 150))):
        path = tmp_path / f"{number}.zip"
        data = bytearray(whole)
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
        for name in FILES:
            try:
                assert read_member(f"{path}::{name}", MOST) == FILES[name]
            except UnusableFileError:
                refused += 1
    assert refused > 50


def test_a_damaged_header_within_a_tar_is_not_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    make_tar(path)
    data = bytearray(path.read_bytes())
    data[data.index(b"a/20.bin") + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnusableFileError, match=r"not a whole tar .*bad header at byte"):
        read_member(f"{path}::a/25.bin", MOST)


@pytest.mark.parametrize(
    ("mode", "name", "kind"),
    [("w:gz", "x.tar.gz", "gzip"), ("w:bz2", "x.tbz", "bzip2"), ("w:xz", "x.tar", "xz")],
)
def test_compressed_tars_are_refused_with_the_reason(
    tmp_path: Path, mode: str, name: str, kind: str
) -> None:
    path = tmp_path / name
    make_tar(path, mode=mode)
    with pytest.raises(UnusableFileError, match=f"compressed with {kind}, .*`{kind} -dc {name} >"):
        read_member(f"{path}::a/2.bin", MOST)


def test_colons_in_the_name_of_a_file_are_its_name(tmp_path: Path) -> None:
    (tmp_path / "we::ird.png").write_bytes(b"file")
    assert read_image(str(tmp_path / "we::ird.png")) == b"file"
    make_tar(tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar", "a") as archive:
        add(archive, "a::b", b"member")
    assert read_image(f"{tmp_path}/x.tar::a::b") == b"member"
    with pytest.raises(MissingFileError, match=r"no\.tar: No such file"):
        read_image(f"{tmp_path}/no.tar::x")


class Failing(MemoryFileSystem):  # type: ignore[misc]
    """Files in memory of which one in seven openings and reads fails."""

    protocol = "shardio-failing"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    calls = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    @classmethod
    def fail(cls) -> None:
        cls.calls += 1
        if cls.calls % 7 == 0:
            raise OSError("out of order")

    def _open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        if mode != "rb":
            return super()._open(path, mode, *args, **options)
        self.fail()
        data = super()._open(path, "rb").getvalue()

        class File(io.RawIOBase):
            def __init__(self) -> None:
                self._data = io.BytesIO(data)

            def readable(self) -> bool:
                return True

            def seekable(self) -> bool:
                return True

            def seek(self, *to: int) -> int:
                return self._data.seek(*to)

            def tell(self) -> int:
                return self._data.tell()

            def read(self, size: int | None = -1) -> bytes:
                Failing.fail()
                return self._data.read(size)

        return File()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_error_of_the_storage_is_no_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(waiting, "_PAUSES", (0.0,) * 20)
    fsspec.register_implementation(Failing.protocol, Failing, clobber=True)
    path = tmp_path / f"x.{kind}"
    make_tar(path) if kind == "tar" else make_zip(path)
    Failing().pipe_file(f"/{path.name}", path.read_bytes())
    Failing.calls = 0
    for name, data in FILES.items():
        assert read_image(f"shardio-failing://{path.name}::{name}") == data
    assert Failing.calls > len(FILES) * 7 // 6
    monkeypatch.setattr(archives, "_of_process", Archives())
    monkeypatch.setattr(patience, "_INPUT_SECONDS", 0.3)
    monkeypatch.setattr(Failing, "fail", classmethod(lambda cls: 1 / 0))
    with pytest.raises(StorageError, match="storage is at fault") as caught:
        read_image(f"shardio-failing://{path.name}::a/1.bin")
    assert not isinstance(caught.value, UnusableFileError | MissingFileError)


def test_an_index_is_small(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(20_000):
            add(archive, f"some/folder/with/a/name/{number:08}.jpg", b"x")
    tracemalloc.start()
    try:
        kept = Archives()
        assert kept.read(f"{path}::some/folder/with/a/name/00012345.jpg", MOST) == b"x"
        now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now < 20_000 * 34 * 1.3 + 100_000
    assert most < 20_000 * 200


@pytest.mark.parametrize("kind", ["gz", "cut", "empty", "junk", "flipped zip", "encrypted"])
def test_damaged_archives_are_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("x.zip" if kind in ("flipped zip", "encrypted") else "x.tar")
    if kind == "gz":
        make_tar(path, mode="w:gz")
    elif path.suffix == ".zip":
        make_zip(path, 0)
        data = bytearray(path.read_bytes())
        if kind == "encrypted":
            for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
                for place in range(len(data)):
                    if data[place : place + 4] == mark:
                        data[place + at] |= 1
        else:
            data[data.index(FILES["a/20.bin"]) + 100] ^= 1
        path.write_bytes(data)
    else:
        make_tar(path)
        data = bytearray({"cut": path.read_bytes()[:30_100], "empty": b""}.get(kind, b"x" * 5000))
        path.write_bytes(data)
    with pytest.raises((UnusableFileError, MissingFileError), match=str(path)):
        read_member(f"{path}::a/20.bin", MOST)


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("form", ["archive::name", "fsspec"])
def test_the_shards_are_those_of_the_files_in_a_folder(
    tmp_path: Path, kind: str, form: str
) -> None:
    names = write_images(tmp_path / "images", 20, (60, 40))
    rows = [[f"images/{name}", n % 9] for n, name in enumerate(names)]
    plain = write_csv(tmp_path / "plain.csv", ["path", "y0"], rows)
    path = tmp_path / f"all.{kind}"
    if kind == "tar":
        with tarfile.open(path, "w") as archive:
            archive.add(tmp_path / "images", "images")
    else:
        with zipfile.ZipFile(path, "w") as zipped:
            for name in names:
                zipped.write(tmp_path / "images" / name, f"images/{name}")
    made = [
        [f"{kind}://{p}::all.{kind}" if form == "fsspec" else f"all.{kind}::{p}", y]
        for p, y in rows
    ]
    made.append([f"all.{kind}::images/nowhere.png", 1])
    archived = write_csv(tmp_path / "archived.csv", ["path", "y0"], made)
    options = ConvertOptions(transform=Transform(None, (16, 8)), shards=2)
    outs = {}
    for table, engine in ((plain, "inline"), (archived, "processes")):
        out = tmp_path / table.stem
        convert(str(table), str(out), options, engine=engine, max_rejects="1")
        outs[table.stem] = contents(out)
    assert b"no such file" in outs["archived"]["rejects.csv"]
    shards = {n: d for n, d in outs["plain"].items() if n.endswith(".tfrecord")}
    total = sum(map(len, shards.values()))
    assert sum(len(d) for n, d in outs["archived"].items() if n.endswith(".tfrecord")) == total
