"""TIFF files that libtiff decodes, refused where it leaves pixels as they were in memory.

A page of CCITT fax may end before its last row, and a stream of deflate within a row, and libtiff
takes both for whole: it gives a buffer whose rest was never written, or still holds the strip
before. So the file is decoded twice, in memory that was filled with other bytes each time, and
so is each strip or tile of these two kinds on its own: every pixel must be the same.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeGuard

from shardio.imaging.bad_image import BadImageError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile
    from PIL.TiffImagePlugin import TiffImageFile

# Tags of TIFF.
_WIDTH, _HEIGHT, _COMPRESSION, _COLOURS, _PLANES = 256, 257, 259, 262, 284
_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
# What a strip needs to be a file: bits, compression, colours, order of bits, samples, planes,
# options of fax, predictor, palette, alpha, and the kind of samples.
_KEPT = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339)
_MAY_END_EARLY = {2, 3, 4, 8, 32771, 32946}  # the kinds of fax, and deflate
_YCBCR = 6  # its strips may share rows of colour

# A pattern that no dithering makes, and its opposite.
_FIRST, _SECOND = 0x93, 0x6C
_M_PERTURB = -6
# malloc of glibc hands small blocks out again as they are, seven of each size and thread; the
# sizes are 16 bytes apart. More are filled, since Python takes some too.
_SMALL_SIZES = range(24, 1040, 16)
_SMALL_BLOCKS = 20


def _uses_libtiff(image: ImageFile) -> TypeGuard[TiffImageFile]:
    """Tell whether Pillow leaves an image that it has opened to libtiff."""
    return image.format == "TIFF" and any(tile.codec_name == "libtiff" for tile in image.tile)


def load_defined(image: ImageFile, data: bytes) -> None:
    """Load an image that was opened from `data`; BadImageError where it is not in the file."""
    if not _uses_libtiff(image):
        image.load()
        return
    again = type(image)(BytesIO(data))
    with _memory_of(_FIRST):
        image.load()
    with _memory_of(_SECOND):
        again.load()
    _compare(image, again)
    for box, piece in _pieces(image, data):
        alone = type(image)(BytesIO(piece))
        with _memory_of(_SECOND):
            alone.load()
        _compare(image.crop(box), alone.crop((0, 0, box[2] - box[0], box[3] - box[1])))


def _compare(image: PillowImage, again: PillowImage) -> None:
    if image.mode != again.mode or image.tobytes() != again.tobytes():
        raise BadImageError("broken image: its compressed data end before its pixels do")


def _pieces(image: TiffImageFile, data: bytes) -> Iterator[tuple[tuple[int, int, int, int], bytes]]:
    """Yield each strip or tile as a file of its own, and its place in the image."""
    tags = image.tag_v2
    if tags[_COMPRESSION] not in _MAY_END_EARLY or tags.get(_PLANES, 1) != 1:
        return
    if tags.get(_COLOURS) == _YCBCR:
        return
    if _TILE_OFFSETS in tags:
        width, height = tags[_TILE_WIDTH], tags[_TILE_HEIGHT]
        offsets, sizes = tags[_TILE_OFFSETS], tags[_TILE_BYTES]
    else:
        width, height = image.width, min(tags.get(_ROWS_PER_STRIP, image.height), image.height)
        offsets, sizes = tags[_STRIP_OFFSETS], tags.get(_STRIP_BYTES, ())
    if len(offsets) < 2 or len(sizes) != len(offsets):
        return  # one was compared with itself above
    across = -(-image.width // width)
    for number, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        left, top = number % across * width, number // across * height
        if top >= image.height:
            return
        right, bottom = min(left + width, image.width), min(top + height, image.height)
        rows = height if _TILE_OFFSETS in tags else bottom - top
        piece = _file_of(tags, width, rows, data[offset : offset + size])
        yield (left, top, right, bottom), piece


def _file_of(tags: Any, width: int, height: int, strip: bytes) -> bytes:
    """Return a TIFF file of one strip, decoded as `tags` say."""
    prefix: bytes = tags.prefix
    head = prefix + struct.pack("<HI" if prefix == b"II" else ">HI", 42, 8)
    directory = type(tags)(head)
    for tag in _KEPT:
        if tag in tags:
            directory.tagtype[tag] = tags.tagtype[tag]
            directory[tag] = tags[tag]
    directory[_WIDTH], directory[_HEIGHT], directory[_ROWS_PER_STRIP] = width, height, height
    # Pillow adds where the strips begin.
    directory[_STRIP_OFFSETS], directory[_STRIP_BYTES] = 0, len(strip)
    entries: bytes = directory.tobytes(len(head))
    return head + entries + strip


@contextmanager
def _memory_of(value: int) -> Iterator[None]:
    """Have what this thread allocates hold a value until it is written to, with glibc's malloc."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    for size in _SMALL_SIZES:
        blocks = [libc.malloc(size) for _ in range(_SMALL_BLOCKS)]
        for block in blocks:
            if block:
                ctypes.memset(block, value, size)
        for block in blocks:
            libc.free(block)
    libc.mallopt(_M_PERTURB, value ^ 0xFF)
    try:
        yield
    finally:
        libc.mallopt(_M_PERTURB, 0)
