"""What an image file claims, held against its bytes before work or memory is spent on it.

A file of a few bytes may claim any size, and a JPEG file any number of scans, each of which goes
over all blocks. The limits are those of the formats themselves: no file that holds what it claims
is above them.

BMP         pixels are stored as they are, or as runs of at most 255
DDS         the smallest blocks have 8 bytes for 4x4 pixels
GIF         LZW makes at most some 4,000 pixels of a code, which has at least three bits
JPEG, MPO   each block of 8x8 pixels takes at least a bit, in the scan of its first coefficient;
            only arithmetic coding, which hardly any file has, may take less
PNG         deflate makes at most 1032 bytes of one, and a byte holds at most 8 pixels
WebP        an image of one colour takes no bits at all; a side has at most 16,383 pixels
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardio.format.transform import MAX_PIXELS
from shardio.imaging.bad_image import BadImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# The pixels that a byte can hold at most.
_PIXELS_A_BYTE = {
    "BMP": 255, "DDS": 2, "GIF": 3 * 4096, "JPEG": 512, "MPO": 512, "PNG": 8 * 1032,
}  # fmt: skip
_WEBP_SIDE = 16_383
# Files of these may leave out pixels, which then have the colour of the background.
_WITH_GAPS = ("BMP", "GIF")
# Frames whose codes are arithmetic: a fraction of a bit.
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")
# As many scans as any encoder writes for a whole image of the largest size. More of them are taken
# of smaller images, and where each block has a bit in each scan.
_SCANS = 16


def can_hold(kind: str | None, width: int, height: int, size: int) -> bool:
    """Whether a file of `size` bytes holds every pixel of an image, as far as its kind tells."""
    if kind == "WEBP":
        return max(width, height) <= _WEBP_SIDE
    most = _PIXELS_A_BYTE.get(kind or "")
    return most is None or width * height <= most * size


def check_size(data: bytes, kind: str | None, pixels: int) -> None:
    """Raise BadImageError where a file of this format cannot hold so many pixels."""
    most = _PIXELS_A_BYTE.get(kind or "")
    if most is None or kind in _WITH_GAPS or pixels <= most * len(data):
        return
    if kind not in ("JPEG", "MPO") or not any(frame in data for frame in _ARITHMETIC):
        raise BadImageError(f"it claims {pixels} pixels, more than {len(data)} bytes can hold")


def check_opened(data: bytes, image: ImageFile) -> None:
    """Raise BadImageError where a file that Pillow has opened claims more than its bytes hold."""
    pixels = image.width * image.height
    check_size(data, image.format, pixels)
    if image.format in ("JPEG", "MPO"):
        scans = data.count(b"\xff\xda")
        if scans * pixels > _SCANS * MAX_PIXELS + _PIXELS_A_BYTE["JPEG"] * len(data):
            raise BadImageError(
                f"{scans} scans of {pixels} pixels are more work than {len(data)} bytes justify"
            )
