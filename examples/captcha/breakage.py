"""Ways in which an image file can be broken."""

from __future__ import annotations

import enum
from random import Random

from captcha import BOX
from image_file import PNG_SIGNATURE
from PIL import Image


class Breakage(enum.IntEnum):
    """What is wrong with a file; the values are only a compact code."""

    NONE = 0
    TRUNCATED = 1
    """The file ends within the data of the topmost rows."""
    EMPTY = 2
    """0 bytes."""
    TEXT = 3
    """A web server's error page under the name of an image."""
    MISSING = 4
    """The table has a row, the folder has no file."""
    TOO_SMALL = 5
    """A sound image that ends left of the box's right edge or above its bottom."""


KINDS = tuple(kind for kind in Breakage if kind is not Breakage.NONE)

ERROR_PAGE = (
    b"<html>\n<head><title>404 Not Found</title></head>\n"
    b"<body><center><h1>404 Not Found</h1></center></body>\n</html>\n"
)

# What stands before the compressed data of a PNG and of a JPEG file.
PNG_DATA = b"IDAT"
JPEG_SCAN = b"\xff\xda"

# The strip is 30 of some 200 rows and noisier than the rest, so it takes more than 10 % of
# the data; a cut before 4 % leaves a decoder well short of the last row of the box. 0.5 %
# is more than the scan header of a JPEG, which counts here.
KEPT_PARTS = (0.005, 0.04)


def truncated(rng: Random, file: bytes) -> bytes:
    """Return the beginning of the JPEG or PNG file: its header and less than the box needs."""
    # The header stays whole: reading the size works, only decoding fails.
    start = file.index(PNG_DATA if file.startswith(PNG_SIGNATURE) else JPEG_SCAN)
    return file[: start + int((len(file) - start) * rng.uniform(*KEPT_PARTS))]


def too_small(rng: Random, picture: Image.Image) -> Image.Image:
    """Return the picture's top left part, too narrow or too low to contain the box."""
    width, height = picture.size
    if rng.random() < 0.5:
        width = rng.randint(40, BOX[2] - 1)
    else:
        height = rng.randint(8, BOX[3] - 1)
    return picture.crop((0, 0, width, height))
