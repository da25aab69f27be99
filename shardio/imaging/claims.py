"""What an image file claims, held against its bytes before any work is done for it.

A file of a few bytes may claim any size, and a JPEG file any number of scans, each of which goes
over all blocks. The limits are those of the formats themselves: no file that holds what it claims
is above them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shardio.format.transform import MAX_PIXELS
from shardio.imaging.bad_image import BadImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# The pixels that a byte can hold at most. Formats that are not here hold any number (WebP, GIF), or
# are refused by their decoders where bytes are missing.
_PIXELS_A_BYTE = {
    "DDS": 2,  # the smallest blocks have 8 bytes for 4x4 pixels
    "JPEG": 512,  # a code has a bit at least, and a block of 8x8 pixels one code
    "MPO": 512,
    "PNG": 8 * 1032,  # deflate makes 1032 bytes of one, and a pixel is a bit at least
}
# Frames whose codes are arithmetic: a fraction of a bit.
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")
# As many scans as any encoder writes for a whole image of the largest size. More of them are taken
# of smaller images, and where each block has a bit in each scan.
_SCANS = 16


def check_size(data: bytes, kind: str | None, pixels: int) -> None:
    """Raise BadImageError where a file of this format cannot hold so many pixels."""
    most = _PIXELS_A_BYTE.get(kind or "")
    if most is None or pixels <= most * len(data):
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
