"""How large an image a file can hold, so that no memory is taken for what its header only claims.

PNG     deflate makes at most 1032 bytes of one, and a byte holds at most 8 pixels
JPEG    each block of 8x8 pixels takes at least a bit, in the scan of its first coefficient; only
        arithmetic coding, which hardly any file has, may take less
WebP    an image of one colour takes no bits at all; a side has at most 16,383 pixels
GIF     LZW makes at most some 4,000 pixels of a code, which has at least three bits
BMP     pixels are stored as they are, or as runs of at most 255
"""

from __future__ import annotations

from shardio.errors import FormatError

_PIXELS_PER_BYTE = {"PNG": 8 * 1032, "JPEG": 8 * 64, "GIF": 4096 * 3, "BMP": 255}
_WEBP_SIDE = 16_383


def can_hold(kind: str, width: int, height: int, size: int) -> bool:
    """Whether a file of `size` bytes can hold an image; `kind` is PNG, JPEG or WEBP."""
    ratio = _PIXELS_PER_BYTE.get(kind)
    if ratio is None:
        return max(width, height) <= _WEBP_SIDE
    return width * height <= ratio * size


def check_claim(kind: str, width: int, height: int, size: int) -> None:
    """Raise FormatError where a file of `size` bytes cannot hold an image as large as it claims."""
    if not can_hold(kind, width, height, size):
        raise FormatError(
            f"its image claims {width}x{height} pixels, more than {size:,} bytes of {kind} can hold"
        )
