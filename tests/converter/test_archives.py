"""Images within archives are read as if they lay in a folder."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from converter import ConvertOptions, archives, convert
from converter.archives import read_member
from converter.image_files import read_image
from shardio.errors import MissingFileError, UnusableFileError
from shardio.format.transform import Transform
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


def test_an_archive_is_opened_once_and_only_some_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    init = archives.Archive.__init__

    def count(self: archives.Archive, path: str) -> None:
        opened.append(path)
        init(self, path)

    monkeypatch.setattr(archives.Archive, "__init__", count)
    paths = [make_tar(tmp_path / f"{n}.tar") for n in range(30)]
    before = len(os.listdir("/proc/self/fd"))
    for path in paths:
        for name, data in FILES.items():
            assert read_member(f"{path}::{name}", MOST) == data
    assert opened == paths
    assert len(os.listdir("/proc/self/fd")) - before <= 8


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
    options = ConvertOptions(Transform(None, (16, 8)), shards=2)
    outs = {}
    for table, engine in ((plain, "inline"), (archived, "processes")):
        out = tmp_path / table.stem
        convert(str(table), str(out), options, engine=engine, max_rejects="1")
        outs[table.stem] = contents(out)
    assert b"no such file" in outs["archived"]["rejects.csv"]
    shards = {n: d for n, d in outs["plain"].items() if n.endswith(".tfrecord")}
    total = sum(map(len, shards.values()))
    assert sum(len(d) for n, d in outs["archived"].items() if n.endswith(".tfrecord")) == total
