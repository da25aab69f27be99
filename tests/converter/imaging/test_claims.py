"""Files that claim more than they hold are refused at once, and sound ones of any content never."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image, ImageFile

from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.inputs import chunk, encoded, picture, png_header


def pixels(data: bytes) -> bytes:
    return ImageTransformer(Transform(None, (16, 8), "nearest")).pixels(data)


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg_of_scans(width: int, height: int, scans: int) -> bytes:
    """Return a grey progressive JPEG, all of whose blocks are empty, in many scans."""
    blocks = -(-width // 8) * -(-height // 8)
    start = b"\xff\xd8" + _segment(0xDB, b"\0" + bytes([1] * 64))
    start += _segment(0xC2, struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0]))
    start += _segment(0xC4, bytes([0x00, 1] + [0] * 15 + [0]))
    start += _segment(0xC4, bytes([0x10, 1] + [0] * 15 + [0xE0]))
    start += _segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(-(-blocks // 8))
    bits, left = "", blocks
    while left > 0:
        run = min(left, 32767)
        bits += "0" + format(run - 16384 if run >= 16384 else 16383, "014b")
        left -= run if run >= 16384 else left
    bits += "1" * (-len(bits) % 8)
    codes = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    first = _segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + codes
    again = _segment(0xDA, bytes([1, 1, 0, 1, 63, 0x10])) + codes
    return start + first + again * scans + b"\xff\xd9"


def dds(width: int, height: int, blocks: bytes) -> bytes:
    head = struct.pack("<7I", 124, 0x1007, height, width, 0, 0, 0) + bytes(44)
    kind = struct.pack("<II4s5I", 32, 4, b"DXT1", 0, 0, 0, 0, 0)
    return b"DDS " + head + kind + struct.pack("<5I", 0x1000, 0, 0, 0, 0) + blocks


def test_many_scans_of_a_large_image_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("which takes 17 seconds and more")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    with pytest.raises(BadImageError, match="scans of"):
        pixels(jpeg_of_scans(9000, 9000, 200))


def test_many_scans_of_a_small_image_are_taken() -> None:
    assert pixels(jpeg_of_scans(160, 160, 200))


CLAIMS = {
    "DDS": dds(1000, 1000, b""),
    "DDS of a tenth": dds(1000, 1000, bytes(50_000)),
    "JPEG": encoded(Image.new("L", (8, 8)), "JPEG").replace(
        b"\x08\x00\x08\x00\x08", b"\x08\x1f\x00\x1f\x00"
    ),
    "progressive JPEG": jpeg_of_scans(8, 8, 1).replace(
        b"\x08\x00\x08\x00\x08", b"\x08\x1f\x00\x1f\x00"
    ),
    "PNG": png_header(9000, 9000) + chunk(b"IDAT", b"\x78\x9c\x03") + chunk(b"IEND", b""),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_more_pixels_than_a_file_can_hold_are_refused(name: str) -> None:
    with pytest.raises(BadImageError, match="bytes can hold"):
        pixels(CLAIMS[name])


def is_written(mode: str, kind: str, options: Mapping[str, object]) -> bool:
    try:
        encoded(Image.new(mode, (8, 8)), kind, **options)
    except (OSError, KeyError, ValueError):
        return False
    return True


# What a format or this Pillow has no way to write is left out.
WRITABLE = [
    (mode, kind, options)
    for mode in ("1", "L", "RGB", "CMYK")
    for kind, options in (
        ("PNG", {"optimize": True}),
        ("JPEG", {}),
        ("JPEG", {"optimize": True, "quality": 1}),
        ("JPEG", {"progressive": True, "quality": 1}),
        ("JPEG", {"progressive": True, "subsampling": 0}),
        ("GIF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}),
        ("DDS", {"pixel_format": "DXT1"}),
        ("QOI", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
    )
    if is_written(mode, kind, options)
]


@pytest.mark.parametrize(("mode", "kind", "options"), WRITABLE)
@pytest.mark.parametrize("value", [0, 255])
def test_large_images_of_one_colour_are_taken(
    mode: str, kind: str, options: Mapping[str, object], value: int
) -> None:
    """They have the fewest bytes for their pixels."""
    image = Image.new("L", (1000, 1000), value).convert(mode)
    assert pixels(encoded(image, kind, **options))


@pytest.mark.parametrize("side", [1, 3, 4, 5, 17])
def test_small_images_hold_what_they_claim(side: int) -> None:
    image = picture("RGB", side, side)
    for kind, options in (("DDS", {"pixel_format": "DXT1"}), ("JPEG", {}), ("PNG", {})):
        assert pixels(encoded(image, kind, **options))


@pytest.mark.parametrize("kind", ["DDS", "TGA", "BMP", "PPM", "SGI", "PCX", "QOI", "TIFF", "GIF"])
@pytest.mark.parametrize("part", [0.2, 0.9, 0.99])
def test_a_file_that_is_cut_is_refused(kind: str, part: float) -> None:
    data = encoded(picture("RGB", 200, 150), kind)
    assert pixels(data)
    with pytest.raises(BadImageError):
        pixels(data[: int(len(data) * part)])


MASKS = [
    (16, (0xF800, 0x07E0, 0x001F)),
    (16, (0x0F00, 0x00F0, 0x000F, 0xF000)),
    (16, (0x7C00, 0x03E0, 0x001F, 0x8000)),
    (24, (0xFF0000, 0xFF00, 0xFF)),
    (32, (0xFF0000, 0xFF00, 0xFF, 0xFF000000)),
    (32, (0x3FF00000, 0xFFC00, 0x3FF)),
    (8, (0xE0, 0x1C, 0x03)),
    (40, (0xFF0000, 0, 0xFF)),
    (32, (0xA5000000, 0x5A0000, 0x1801)),
]


@pytest.mark.parametrize(("bits", "masks"), MASKS)
def test_pixels_of_an_uncompressed_dds_are_pillows(bits: int, masks: tuple[int, ...]) -> None:
    width, height = 37, 29
    head = struct.pack("<7I", 124, 0x1007, height, width, 0, 0, 0) + bytes(44)
    kind = struct.pack("<IIII", 32, 0x41 if len(masks) == 4 else 0x40, 0, bits)
    head += kind + struct.pack("<4I", *masks, *[0] * (4 - len(masks)))
    stored = np.random.default_rng(bits).bytes(width * height * (bits // 8))
    data = b"DDS " + head + struct.pack("<5I", 0x1000, 0, 0, 0, 0) + stored
    transformer = ImageTransformer(Transform(None, (width, height), "none"))
    with Image.open(io.BytesIO(data)) as image:
        assert transformer.pixels(data) == image.tobytes("raw", "RGB")
    with pytest.raises(BadImageError, match="missing at its end"):
        transformer.pixels(data[:-1])
