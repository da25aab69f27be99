"""What libtiff leaves undefined is refused, and sound TIFF files of all its kinds are taken."""

from __future__ import annotations

import io
import random
import struct
import zlib
from typing import Any

import pytest
from PIL import Image, TiffImagePlugin

from converter.imaging.transformer import ImageTransformer
from shardio.format.transform import Transform
from shardio.imaging.bad_image import BadImageError
from tests.converter.inputs import encoded, picture

_SHORT, _LONG = 3, 4


def pixels(data: bytes, width: int, height: int) -> bytes:
    return ImageTransformer(Transform(None, (width, height), "none")).pixels(data)


def tiff(width: int, height: int, compression: int, bits: int, pieces: list[bytes]) -> bytes:
    """Return a grey TIFF file whose strips are all given, and are of equal height."""
    entries = {
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [bits]),
        259: (_SHORT, [compression]),
        262: (_SHORT, [1]),
        277: (_SHORT, [1]),
        278: (_LONG, [height // len(pieces)]),
        279: (_LONG, [len(piece) for piece in pieces]),
    }
    offsets = [8 + sum(map(len, pieces[:number])) for number in range(len(pieces))]
    entries[273] = (_LONG, offsets)
    body = b"".join(pieces)
    tags, more, at = b"", b"", 8 + len(body) + 2 + 12 * len(entries) + 4
    for tag, (kind, values) in sorted(entries.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'I'}", *values)
        if len(packed) > 4:
            packed, more = struct.pack("<I", at + len(more)), more + packed
        tags += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", 8 + len(body))
    return head + body + struct.pack("<H", len(entries)) + tags + bytes(4) + more


# A row that is as white as the one above is a bit; the end of a page of group 4 is a mark.
WHITE_ROW, END = "1", "000000000001" * 2


def fax(rows: int) -> bytes:
    bits = WHITE_ROW * rows + END
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def deflated(rows: int, width: int) -> bytes:
    """Return rows, then a stored block that is longer than what may follow."""
    done = zlib.compressobj(9)
    begun = done.compress(bytes(range(width)) * rows) + done.flush(zlib.Z_FULL_FLUSH)
    return begun + b"\x01" + struct.pack("<HH", 60_000, 60_000 ^ 0xFFFF) + bytes(60_000)


@pytest.mark.parametrize("height", [40, 2000])  # small buffers, and large ones
@pytest.mark.parametrize("strips", [1, 2, 5])
def test_a_page_that_ends_before_its_last_row_is_refused(height: int, strips: int) -> None:
    rows = height // strips
    assert pixels(tiff(64, height, 4, 1, [fax(rows)] * strips), 64, height)
    for short in range(strips):
        pieces = [fax(rows)] * strips
        pieces[short] = fax(rows // 2)
        with pytest.raises(BadImageError, match="end before its pixels do"):
            pixels(tiff(64, height, 4, 1, pieces), 64, height)


@pytest.mark.parametrize("height", [20, 2000])
@pytest.mark.parametrize("strips", [1, 2])
def test_a_deflated_strip_without_its_last_rows_is_refused(height: int, strips: int) -> None:
    rows = height // strips
    whole = zlib.compress(bytes(range(48)) * rows)
    assert pixels(tiff(48, height, 8, 8, [whole] * strips), 48, height)
    for short in range(strips):
        pieces = [whole] * strips
        pieces[short] = deflated(rows // 2, 48)
        with pytest.raises(BadImageError):
            pixels(tiff(48, height, 8, 8, pieces), 48, height)


@pytest.mark.parametrize("compression", ["group4", "group3", "tiff_ccitt", "tiff_adobe_deflate"])
def test_what_is_accepted_is_the_same_whatever_was_in_memory(compression: str) -> None:
    """Flip bits: an accepted file has the pixels that it had in memory of other content."""
    data = encoded(picture("1", 40, 30), "TIFF", compression=compression)
    flips = random.Random(7).sample(range(8 * len(data)), 60)
    accepted: dict[int, bytes] = {}
    for content in (0x00, 0xFF):
        for bit in flips:
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            used = [bytes([content]) * size for size in range(64, 1024, 8)]
            del used
            try:
                found = pixels(bytes(damaged), 40, 30)
            except BadImageError:
                continue
            assert accepted.setdefault(bit, found) == found
    assert accepted


def _sound() -> list[tuple[str, str]]:
    fax_kinds = [(kind, "1") for kind in ("group3", "group4", "tiff_ccitt")]
    modes = ("1", "L", "RGB", "RGBA", "P", "LA", "I;16", "CMYK", "YCbCr")
    others = ("tiff_adobe_deflate", "tiff_deflate", "tiff_lzw", "packbits", "zstd", "lzma")
    return [*fax_kinds, *((kind, mode) for kind in others for mode in modes)]


@pytest.mark.parametrize(("compression", "mode"), _sound())
@pytest.mark.parametrize("rows", [None, 1, 16])
def test_sound_files_are_taken(compression: str, mode: str, rows: int | None) -> None:
    taken = 0
    for width, height in ((1, 1), (7, 3), (33, 70), (200, 40)):
        options: dict[str, Any] = {"compression": compression}
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        if rows is not None:
            tags[278] = rows
        if mode in ("L", "RGB") and "deflate" in compression:
            tags[317] = 2
        try:
            data = encoded(picture(mode, width, height), "TIFF", tiffinfo=tags, **options)
            Image.open(io.BytesIO(data)).load()
        except OSError:
            continue  # not of this Pillow and libtiff
        assert pixels(data, width, height)
        taken += 1
    if not taken:
        pytest.skip(f"Pillow writes no {compression} of mode {mode}")
