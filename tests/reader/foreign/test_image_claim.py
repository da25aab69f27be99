"""What a file claims is held against its size before memory is taken."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reader import open_shards
from reader.commands.cli import main
from shardio.errors import CorruptRecordError, DatasetError, ManifestError, StorageError
from shardio.imaging.claims import can_hold
from tests.reader.foreign_files import encode, example, photos, write_records

KINDS = (
    ("PNG", {"optimize": True}),
    ("PNG", {"compress_level": 9}),
    ("JPEG", {"quality": 1}),
    ("JPEG", {"quality": 1, "progressive": True, "optimize": True}),
    ("JPEG", {"quality": 1, "subsampling": 2, "optimize": True}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"quality": 0}),
)


@pytest.mark.parametrize(("kind", "options"), KINDS)
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_no_real_image_claims_too_much(kind: str, options: dict[str, object], mode: str) -> None:
    """An image of one colour is as small as one can be."""
    for width, height in ((1, 1), (7, 3), (64, 64), (3000, 2000), (1, 9000), (9000, 1)):
        out = io.BytesIO()
        try:
            Image.new(mode, (width, height)).save(out, kind, **options)
        except (OSError, ValueError):
            assert mode not in ("L", "RGB")  # not every kind of file takes every mode
            continue
        assert can_hold(kind, width, height, len(out.getvalue()))


def png_claiming(width: int, height: int) -> bytes:
    """Write a PNG of a few pixels whose header claims more."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(64))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    )


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(encode(photos(1)[0], "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


@pytest.mark.parametrize("make", [png_claiming, jpeg_claiming])
@pytest.mark.parametrize("first", [True, False])
def test_a_claim_beyond_the_size_of_a_file_takes_no_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: object, first: bool
) -> None:
    bad = make(9000, 9000)  # type: ignore[operator]
    good = encode(photos(1)[0], "PNG")
    images = [bad, good] if first else [good, bad]
    write_records(tmp_path / "a", [example(image=data, label=1) for data in images])
    tracemalloc.start()
    try:
        with pytest.raises((DatasetError, CorruptRecordError), match="claims 9000x9000 pixels, mo"):
            list(open_shards(tmp_path / "a").batches(2))
        assert main(["verify", str(tmp_path / "a")]) == 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000
    assert "claims 9000x9000 pixels, more than" in capsys.readouterr().err


def test_verify_takes_memory_for_few_large_images(tmp_path: Path) -> None:
    large = encode(np.zeros((3000, 4000, 3), dtype=np.uint8), "PNG")
    write_records(tmp_path / "a", [example(image=large, label=n) for n in range(4)])
    tracemalloc.start()
    try:
        assert main(["verify", str(tmp_path / "a")]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000_000  # and not for 256 of them


def test_a_manifest_of_encoded_images_is_held_against_the_records(tmp_path: Path) -> None:
    from converter.command.cli import main as convert

    for number in range(3):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"{number}.png")
    rows = "".join(f"{number}.png,{number}\n" for number in range(3))
    (tmp_path / "t.csv").write_text(f"path,y0\n{rows}")
    command = [str(tmp_path / "t.csv"), str(tmp_path / "out"), "--encode", "png"]
    assert convert([*command, "--crop", "none", "--size", "20x10"]) == 0
    manifest = tmp_path / "out" / "dataset.json"
    text = manifest.read_text()
    assert len(open_shards(tmp_path / "out")) == 3
    for width in (60_000, 65_535):
        larger = text.replace("   20,", f"   {width},").replace("   10\n", f"   {width}\n")
        larger = larger.replace("   10,", f"   {width},").replace("   20\n", f"   {width}\n")
        manifest.write_text(larger)
        with pytest.raises((DatasetError, ManifestError), match=f"images have {width}x{width} pix"):
            open_shards(tmp_path / "out")


def test_a_manifest_that_cannot_be_one_is_not_read(tmp_path: Path) -> None:
    write_records(tmp_path / "a", [example(image=encode(photos(1)[0], "PNG"), label=1)])
    (tmp_path / "dataset.json").write_bytes(b"{")
    os.truncate(tmp_path / "dataset.json", 2**40)
    with pytest.raises(StorageError, match=r"dataset\.json: the file is larger than"):
        open_shards(tmp_path / "a")
