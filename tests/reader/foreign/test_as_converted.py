"""Images that are resized while they are read are those that the converter makes of the same files.

With crop="center" they are those of a shorter side, where sizes are square.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from converter.imaging.transformer import ImageTransformer
from reader import open_shards
from shardio.errors import UnsupportedRecordError
from shardio.format.transform import MAX_PIXELS, Transform
from shardio.imaging.bad_image import BadImageError
from tests.reader.foreign_files import example, write_records

MODES = {
    "PNG": (
        "1",
        "L",
        "LA",
        "P",
        "RGB",
        "RGBA",
        "I;16",
        "16-bit",
        "16-bit with alpha",
        "16-bit key",
    ),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("1", "L", "P"),
    "BMP": ("1", "L", "P", "RGB"),
    "WEBP": ("RGB", "RGBA"),
}
KINDS = [
    (kind, mode)
    for kind, modes in MODES.items()
    for mode in modes
    if kind != "WEBP" or features.check("webp")
]


def deep_png(seed: int, width: int, height: int, colours: int, extra: bytes = b"") -> bytes:
    """Write a PNG of 16 bits a sample, which Pillow does not."""
    samples = {2: 3, 6: 4}[colours]
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 1 << 16, (height, width * samples)).astype(">u2")
    data = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 16, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", header), extra and chunk(b"tRNS", extra)]
    parts += [chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def image_file(kind: str, mode: str, width: int, height: int, seed: int) -> bytes:
    if mode.startswith("16-bit"):
        key = b"\0\1\0\2\0\3" if mode.endswith("key") else b""
        return deep_png(seed, width, height, 6 if "alpha" in mode else 2, key)
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {}
    if mode == "I;16":
        pixels = rng.integers(0, 1 << 16, (height, width)).astype(np.uint16)
        image = Image.fromarray(pixels)
    else:
        pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
        image = Image.fromarray(pixels).convert("RGBA" if mode in ("LA", "RGBA") else "RGB")
        image = image.convert(mode)
    if mode == "P" and kind != "BMP" and seed % 2:
        options["transparency"] = 3
    if kind == "WEBP":
        options = {"lossless": True, "exact": True}
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(KINDS),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.sampled_from([1, 3, 4]),
    st.booleans(),
    st.integers(0, 99),
)
def test_pixels_are_those_of_the_converter(
    tmp_path: Path,
    kind: tuple[str, str],
    source: tuple[int, int],
    size: tuple[int, int],
    channels: int,
    crop: bool,
    seed: int,
) -> None:
    data = image_file(*kind, *source, seed)
    width, height = (size[0], size[0]) if crop else size
    shorter = width if crop else None
    transform = Transform(None, (width, height), shorter=shorter, channels=channels)
    write_records(tmp_path / "a", [example(image=data, label=1)])
    shards = open_shards(
        tmp_path / "a",
        shape=(height, width, channels),
        size=(height, width),
        crop="center" if crop else None,
    )
    try:
        wanted = ImageTransformer(transform).pixels(data)
    except BadImageError:
        with pytest.raises(UnsupportedRecordError, match=r"a: record 0 at byte 0: its image"):
            shards[0]
        assert kind[1] == "16-bit key"
        return
    assert shards[0][0].tobytes() == wanted


@pytest.mark.parametrize(("kind", "mode"), KINDS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_one_size_are_those_of_the_converter(
    tmp_path: Path, kind: str, mode: str, channels: int
) -> None:
    if mode == "16-bit key" and channels == 4:
        pytest.skip("a transparent colour of 16 bits, which is refused")
    data = image_file(kind, mode, 11, 7, 1)
    write_records(tmp_path / "a", [example(image=data, label=1)])
    transform = Transform(None, (11, 7), resample="none", channels=channels)
    found = open_shards(tmp_path / "a", shape=(7, 11, channels))[0][0]
    assert found.tobytes() == ImageTransformer(transform).pixels(data)


@pytest.mark.parametrize("times", [1.001, 1.5, 3])
@pytest.mark.filterwarnings("default::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_named(tmp_path: Path, times: float) -> None:
    """Pillow only warns of what is up to twice as large as the limit."""
    side = int((MAX_PIXELS * times) ** 0.5) + 1
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    small = image_file("PNG", "RGB", 4, 4, 1)
    write_records(tmp_path / "a", [example(image=x, label=1) for x in (small, file.getvalue())])
    shards = open_shards(tmp_path / "a", size=(4, 4))
    with pytest.raises(
        UnsupportedRecordError, match=r"a: record 1 at byte \d+: its image (has|is)"
    ):
        shards[1]
    write_records(tmp_path / "b", [example(image=file.getvalue(), label=1)])
    with pytest.raises(UnsupportedRecordError, match=r"b: record 0: its image (has|is)"):
        open_shards(tmp_path / "b", size=(4, 4))
