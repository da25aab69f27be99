"""Sets of other tools for tests: WebDataset tars and LMDB, and the same images as files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import lmdb

from tests.converter.inputs import encoded, picture, write_csv

IMAGES = [encoded(picture("RGB", 20, 10, n), "PNG" if n % 3 else "JPEG") for n in range(12)]
LABELS = [f"a{n % 5}b{n % 3}" for n in range(12)]


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """Write a tar of members."""
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def members_of(numbers: Sequence[int]) -> list[tuple[str, bytes]]:
    """Return the members of a WebDataset of some of the images."""
    found = []
    for n in numbers:
        found.append((f"{n:06d}.{'png' if n % 3 else 'jpg'}", IMAGES[n]))
        found += [(f"{n:06d}.cls", b"%d\n" % (n % 7)), (f"{n:06d}.txt", LABELS[n].encode())]
    return found


def write_tars(folder: Path, numbers: Sequence[int], size: int) -> list[Path]:
    """Write tars of so many samples each."""
    folder.mkdir(exist_ok=True)
    return [
        write_tar(folder / f"train-{at // size:03d}.tar", members_of(numbers[at : at + size]))
        for at in range(0, len(numbers), size)
    ]


def values_of(numbers: Sequence[int]) -> dict[bytes, bytes]:
    """Return what an LMDB of some of the images holds."""
    values = {b"num-samples": b"%d" % len(numbers)}
    for place, n in enumerate(numbers, 1):
        values[b"image-%09d" % place] = IMAGES[n]
        values[b"label-%09d" % place] = LABELS[n].encode()
    return values


def write_lmdb(path: Path, values: dict[bytes, bytes], *, subdir: bool = True) -> Path:
    """Write an LMDB."""
    with (
        lmdb.open(str(path), map_size=1 << 24, subdir=subdir) as made,
        made.begin(write=True) as view,
    ):
        for key, value in values.items():
            view.put(key, value)
    return path


def write_files(folder: Path, numbers: Sequence[int]) -> Path:
    """Write the same images as files, and a table of them; returns the table."""
    folder.mkdir()
    for n in {*numbers}:
        (folder / f"{n}.image").write_bytes(IMAGES[n])
    rows = [[f"{n}.image", n % 7, LABELS[n]] for n in numbers]
    return write_csv(folder / "t.csv", ["path", "cls", "txt"], rows)
