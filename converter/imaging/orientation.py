"""Which way an image is turned: the EXIF orientation, as Pillow finds it, and how it is undone.

Files without one are told apart by a quick look, which costs nothing beside the decoding; the plain
kind of EXIF is read here, and whatever looks odd is Pillow's to read.
"""

from __future__ import annotations

import struct
from io import BytesIO

from PIL import ExifTags, Image

from converter.imaging.jpeg_header import JpegHeader
from converter.imaging.pillow import load_formats, quiet
from converter.imaging.png_header import PngHeader

UPRIGHT = 1
_TAG = ExifTags.Base.Orientation
_SHORT = 3
_TRANSPOSE = Image.Transpose
_WAYS = {
    2: _TRANSPOSE.FLIP_LEFT_RIGHT,
    3: _TRANSPOSE.ROTATE_180,
    4: _TRANSPOSE.FLIP_TOP_BOTTOM,
    5: _TRANSPOSE.TRANSPOSE,
    6: _TRANSPOSE.ROTATE_270,
    7: _TRANSPOSE.TRANSVERSE,
    8: _TRANSPOSE.ROTATE_90,
}
_TURNED = ("TIFF", "AVIF")
# One of these is in every file that says how it is turned.
_NAMES = (b"Exif", b"EXIF", b"eXIf", b"Raw profile type", b"tiff:Orientation")


def orientation_of(data: bytes, header: JpegHeader | PngHeader | None) -> int:
    """Return the orientation of a file, 1 to 8; 1 where nothing that can be read says it."""
    if header is not None and not header.may_be_turned(data):
        return UPRIGHT
    if header is None and not any(name in data for name in _NAMES):
        return UPRIGHT
    if isinstance(header, JpegHeader) and (plain := _plain_exif(header.exif(data))) is not None:
        return plain
    try:
        with quiet():
            image = Image.open(BytesIO(data), formats=load_formats())
            # Pillow turns TIFF and AVIF by itself.
            found = UPRIGHT if image.format in _TURNED else image.getexif().get(_TAG, UPRIGHT)
    except Exception:  # of a damaged file Pillow says more when it is decoded
        return UPRIGHT
    return found if found in _WAYS else UPRIGHT


def is_on_its_side(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation >= 5


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image upright."""
    return image if orientation == UPRIGHT else image.transpose(_WAYS[orientation])


def _plain_exif(exif: bytes | None) -> int | None:
    """Return the orientation in plain EXIF: one entry of 16 bits in the first list."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get((exif or b"")[:4])
    if exif is None or order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        entries = [
            struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * number)
            for number in range(count)
        ]
    except struct.error:
        return None
    found = [entry[1:] for entry in entries if entry[0] == _TAG]
    if len(found) != 1 or found[0][:2] != (_SHORT, 1):
        return None
    return found[0][2] if found[0][2] in _WAYS else UPRIGHT
