"""EXIF orientation: found as Pillow finds it, counted, and applied where that is asked for."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from converter import ConvertOptions, convert
from converter.imaging.transformer import ImageTransformer
from shardio.errors import OptionError
from shardio.format.manifest import Manifest
from shardio.format.transform import MAX_PIXELS, Transform
from tests.converter.inputs import chunk, encoded, picture, run, write_csv

WIDTH, HEIGHT = 40, 24
BOX = (3, 5, 20, 21)


def exif(orientation: int, *, big: bool = False, kind: int = 3, twice: bool = False) -> bytes:
    """EXIF with an orientation, in the byte order and with the kind of number that are wanted."""
    order = ">" if big else "<"
    entry = struct.pack(f"{order}HHI", 0x0112, kind, 1)
    value = struct.pack(f"{order}HH", orientation, 0)
    if kind == 4:
        value = struct.pack(f"{order}I", orientation)
    entries = [entry + value] * (2 if twice else 1)
    head = (b"MM\0*" if big else b"II*\0") + struct.pack(f"{order}I", 8)
    return (
        b"Exif\0\0" + head + struct.pack(f"{order}H", len(entries)) + b"".join(entries) + bytes(4)
    )


def png_with(data: bytes, name: bytes, content: bytes, *, behind: bool) -> bytes:
    """Put a chunk before or behind the pixels of a PNG file."""
    at = data.index(b"IEND") - 4 if behind else data.index(b"IDAT") - 4
    return data[:at] + chunk(name, content) + data[at:]


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
_PLAIN = picture("RGB", WIDTH, HEIGHT)
_PNG = encoded(_PLAIN, "PNG")
FILES = {
    **{f"JPEG {n}": encoded(_PLAIN, "JPEG", exif=exif(n)) for n in range(10)},
    "big-endian": encoded(_PLAIN, "JPEG", exif=exif(6, big=True)),
    "32 bits": encoded(_PLAIN, "JPEG", exif=exif(8, kind=4)),
    "given twice": encoded(_PLAIN, "JPEG", exif=exif(3, twice=True)),
    "cut": encoded(_PLAIN, "JPEG", exif=exif(6)[:20]),
    "progressive": encoded(_PLAIN, "JPEG", exif=exif(5), progressive=True),
    "grey": encoded(picture("L", WIDTH, HEIGHT), "JPEG", exif=exif(7)),
    "XMP": encoded(_PLAIN, "JPEG", xmp=XMP),
    "PNG": encoded(_PLAIN, "PNG", exif=exif(6)),
    "PNG behind": png_with(_PNG, b"eXIf", exif(8)[6:], behind=True),
    "PNG profile": png_with(
        _PNG,
        b"tEXt",
        b"Raw profile type exif\0\nexif\n      %d\n" % len(exif(6)) + exif(6).hex().encode(),
        behind=False,
    ),
    "PNG XMP": png_with(_PNG, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP, behind=False),
    "WebP": encoded(_PLAIN, "WEBP", exif=exif(6), lossless=True),
    "TIFF": encoded(_PLAIN, "TIFF", exif=exif(6)[6:]),
    "plain PNG": _PNG,
    "plain JPEG": encoded(_PLAIN, "JPEG"),
}


@pytest.mark.parametrize("name", FILES)
def test_an_orientation_is_what_pillow_makes_of_it(name: str) -> None:
    data = FILES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of EXIF that is cut
        opened = Image.open(io.BytesIO(data))
        opened.load()
        upright = ImageOps.exif_transpose(opened)
    assert upright is not None
    is_turned = np.asarray(upright).shape != np.asarray(opened).shape or not np.array_equal(
        np.asarray(upright), np.asarray(opened)
    )
    for orientation, reference in (("keep", opened), ("apply", upright)):
        for box in (None, BOX):
            transformer = ImageTransformer(Transform(box, (9, 8), orientation=orientation))
            expected = (reference.crop(box) if box else reference).convert("RGB").resize((9, 8))
            if reference.mode == "RGB":
                expected = (reference.crop(box) if box else reference).resize((9, 8))
            assert transformer.pixels(data) == expected.tobytes()
            assert transformer.counts.turned == is_turned
            assert list(transformer.counts.sizes) == [reference.size]


def test_it_stands_in_the_manifest_and_turned_images_are_counted(tmp_path: Path) -> None:
    for number in range(4):
        data = encoded(_PLAIN, "JPEG", exif=exif(6 if number else 1))
        (tmp_path / f"{number}.jpg").write_bytes(data)
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"{n}.jpg", n] for n in range(4)])
    kept = run(table, tmp_path / "kept")
    assert kept.returncode == 0, kept.stderr
    assert "sources   1 size, 3 turned by EXIF" in kept.stdout
    assert "3 of 4 records (75.0%) are of images that EXIF says are turned" in kept.stderr
    assert "--orientation apply" in kept.stderr
    several = run(table, tmp_path / "several", "--orientation", "apply")
    assert "2 sizes: 24x40 (3), 40x24 (1)" in several.stderr
    options = ("--orientation", "apply", "--size", "8x8")
    applied = run(table, tmp_path / "applied", *options)
    assert applied.returncode == 0, applied.stderr
    assert "EXIF" not in applied.stderr.replace("EXIF orientation applied", "")
    manifest = Manifest.from_json((tmp_path / "applied" / "dataset.json").read_bytes())
    assert manifest.transform == Transform(size=(8, 8), orientation="apply")
    again = run(table, tmp_path / "applied", "--size", "8x8")
    assert "transform.orientation" in again.stderr
    with pytest.raises(OptionError):
        Transform(orientation="turn")


def test_what_the_sources_were_is_counted(tmp_path: Path) -> None:
    images = {
        "grey.png": encoded(picture("L", 8, 8), "PNG"),
        "large.png": encoded(picture("RGB", 30, 30), "PNG"),
        "small.jpg": encoded(picture("RGB", 8, 8), "JPEG"),
        "cut.jpg": encoded(picture("RGB", 30, 30), "JPEG")[:-200],
    }
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[name, 0] for name in images])
    options = ConvertOptions(transform=Transform(size=(20, 20)), truncated=True, shards=2)
    summary = convert(str(table), str(tmp_path / "out"), options, engine="inline")
    line = "sources   2 sizes, 1 grey, 2 enlarged more than 2 times, 1 truncated"
    assert line in summary.lines()
    assert summary.to_json()["colours"]["sizes"] == 2


def test_images_that_lack_their_end_are_taken_where_that_is_asked_for() -> None:
    whole = encoded(picture("RGB", 64, 64), "PNG")
    cut = whole[: len(whole) // 2]
    rows = np.asarray(picture("RGB", 64, 64))
    transformer = ImageTransformer(Transform(size=(64, 64), resample="none"), truncated=True)
    found = np.frombuffer(transformer.pixels(cut), np.uint8).reshape(64, 64, 3)
    same = (found == rows).all(axis=(1, 2))
    assert same[0]
    assert not found[~same][-1].any()  # the rest is black
    assert transformer.pixels(whole) == rows.tobytes()
    assert transformer.counts.truncated == 1


def test_the_limit_of_pixels_can_be_moved(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 900_000, 110, 1, 0, 0, 0, 0)
    lines = zlib.compress(bytes(110 * (900_000 // 8 + 1)), 9)
    large = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines)
    (tmp_path / "large.png").write_bytes(large + chunk(b"IEND", b""))
    (tmp_path / "small.png").write_bytes(_PNG)
    (tmp_path / "least.png").write_bytes(encoded(picture("RGB", 8, 8), "PNG"))
    names = ["large.png", "small.png", "least.png"]
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[name, 0] for name in names])
    for name, limit, rejected in (("usual", MAX_PIXELS, 1), ("more", 10**8, 0), ("less", 900, 2)):
        options = ConvertOptions(transform=Transform((0, 0, 4, 4)), max_pixels=limit)
        summary = convert(
            str(table), str(tmp_path / name), options, engine="inline", max_rejects="2"
        )
        assert summary.rejected == rejected
        if rejected:
            assert "see --max-pixels" in (tmp_path / name / "rejects.csv").read_text()
