"""Small files with each bit flipped: no accepted one has other pixels than plain Pillow gives."""

from __future__ import annotations

import io
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.inputs import chunk, encoded, interlaced_png, picture

WIDTH, HEIGHT, ROWS = 18, 72, 14
# What is decoded must be a part of the file, which is some two hundred bytes a row.
PNGS = {
    **{
        f"{mode} {level}": encoded(picture(mode, WIDTH, HEIGHT), "PNG", compress_level=level)
        for mode, level in (
            *(("L", 6), ("RGB", 6), ("RGBA", 6), ("RGB", 0), ("LA", 6), ("P", 6), ("1", 6)),
            ("I;16", 6),
        )
    },
    "P transparent": encoded(
        picture("P", WIDTH, HEIGHT), "PNG", transparency=bytes(range(0, 200, 2))
    ),
    "RGB transparent": encoded(picture("RGB", WIDTH, HEIGHT), "PNG", transparency=(1, 2, 3)),
    "interlaced RGB": interlaced_png(picture("RGB", WIDTH, HEIGHT)),
    "plain colour": encoded(Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 200)), "PNG"),
}
JPEGS = {
    name: encoded(picture(mode, WIDTH, HEIGHT), "JPEG", quality=60, **options)
    for name, mode, options in (
        ("4:4:4", "RGB", {"subsampling": 0}),
        ("4:2:2", "RGB", {"subsampling": 1}),
        ("4:2:0", "RGB", {"subsampling": 2}),
        ("grey", "L", {}),
        ("CMYK", "CMYK", {}),
        ("restarts in blocks", "RGB", {"restart_marker_blocks": 1}),
        ("restarts in rows", "RGB", {"restart_marker_rows": 1, "subsampling": 0}),
        ("progressive", "RGB", {"progressive": True}),
        ("optimized", "L", {"optimize": True}),
    )
}
BOX = (0, 0, WIDTH, ROWS)


def split_chunks(png: bytes, size: int = 300) -> bytes:
    """Return a PNG file whose pixels stand in several chunks."""
    at = png.index(b"IDAT") - 4
    length = int.from_bytes(png[at : at + 4], "big")
    pixels = png[at + 8 : at + 8 + length]
    parts = (chunk(b"IDAT", pixels[i : i + size]) for i in range(0, length, size))
    return b"".join((png[:at], *parts, png[at + 12 + length :]))


def of_pillow(data: bytes) -> bytes | None:
    """Return what Pillow gives of the rows, None where it refuses the file."""
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=["PNG", "JPEG"])
        image.load()
        if image.mode.startswith("I"):
            high = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
            image = Image.fromarray(high)
        box = image.crop(BOX) if image.width >= WIDTH and image.height >= ROWS else None
        return None if box is None else box.convert("RGB").tobytes()
    except Exception:  # Pillow raises nearly anything
        return None


def of_shardio(data: bytes) -> bytes | str:
    """Return what shardio gives of the rows, or its reason where it refuses the file."""
    try:
        return ImageTransformer(Transform(BOX, BOX[2:], "nearest")).pixels(data)
    except BadImageError as error:
        return str(error)


FILES = {
    **{f"PNG {name}": data for name, data in PNGS.items()},
    **{f"PNG {name} in chunks": split_chunks(PNGS[name]) for name in ("RGB 6", "RGBA 6", "P 6")},
    **{f"JPEG {name}": data for name, data in JPEGS.items()},
}


@pytest.mark.fuzz
@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore")
def test_with_any_bit_flipped_the_pixels_are_those_of_pillow(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # So that a part of these small files is decoded, too.
    monkeypatch.setattr("converter.imaging.jpeg_header._WORTH_BYTES", 0)
    for kind in ("jpeg", "png"):
        monkeypatch.setattr(f"converter.imaging.{kind}_header._MORE", 60)
    good = FILES[name]
    right = of_pillow(good)
    assert right is not None
    assert of_shardio(good) == right
    seen: Counter[str] = Counter()
    for bit in range(8 * len(good)):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, ours = of_pillow(bytes(data)), of_shardio(bytes(data))
        if isinstance(ours, str):
            seen["refused"] += 1
            # Where a flipped height claims more than the file can hold libjpeg fills up with grey.
            assert theirs is None or "it claims" in ours, f"bit {bit}: Pillow takes it, but {ours}"
        elif theirs is None:
            # The damage is below: what is used is that of the whole file.
            seen["below"] += 1
            assert ours == right, f"bit {bit}: Pillow refuses it"
        else:
            seen["taken"] += 1
            assert ours == theirs, f"bit {bit}: other pixels than Pillow's"
    assert seen["taken"]
    assert seen["refused"]
