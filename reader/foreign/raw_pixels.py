"""Pixels of foreign records that are no encoded image: values as they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import OptionError, UnsupportedRecordError
from shardio.format.transform import COLOURS, MODES

# The dtypes that are read, and what the values are called.
_READ = {"uint8": "", "uint16": "16-bit ", "float32": "float "}


def dtype_of(said: str) -> np.dtype[Any]:
    """Return a NumPy dtype by its name, little-endian if that is not said; "V" where it is none."""
    try:
        found = np.dtype(said)
    except TypeError:
        return np.dtype("V")
    return found.newbyteorder("<") if found.isnative else found


@dataclass(frozen=True)
class RawPixels:
    """How raw pixels are read: `dtype` is NumPy's name of it, with its byte order.

    Of uint16 the high byte is kept, as the converter does it; float32 stays as it is.
    """

    dtype: str = "|u1"

    @classmethod
    def of(cls, name: str, said: str) -> RawPixels:
        """Return what a user says of the pixels in a feature; OptionError for another dtype."""
        found = dtype_of(said)
        if found.name not in _READ:
            raise OptionError(
                f"the pixels in {name!r} are read as {', '.join(map(repr, _READ))}, not as {said!r}"
            )
        return cls(found.str)

    @property
    def is_float(self) -> bool:
        """Whether images are floats."""
        return np.dtype(self.dtype).kind == "f"

    def bytes_of(self, values: int) -> int:
        """Return how many bytes so many values take."""
        return values * np.dtype(self.dtype).itemsize

    def take(self, data: memoryview, pixels: NDArray[Any]) -> None:
        """Copy an image into `pixels`; UnsupportedRecordError where it has another size."""
        size = self.bytes_of(len(pixels))
        if len(data) != size:
            raise UnsupportedRecordError(
                f"its image has {len(data)} bytes, but those of the set have {size}"
            )
        values = np.frombuffer(data, dtype=self.dtype)
        pixels[:] = values >> 8 if values.dtype.itemsize == 2 else values


UINT8 = RawPixels()


def other_pixels(name: str, size: int, shape: tuple[int, int, int]) -> str:
    """Say which images of this height and width have so many bytes, and how to open them."""
    height, width, _ = shape
    found = [
        f"{COLOURS[channels]} {kind}pixels: {_said(name, (height, width, channels), dtype)}"
        for dtype, kind in _READ.items()
        for channels in MODES
        if RawPixels.of(name, dtype).bytes_of(height * width * channels) == size
    ]
    return f"; so many have {', or '.join(found)}" if found else ""


def _said(name: str, shape: tuple[int, int, int], dtype: str) -> str:
    return f"shape={shape}" if dtype == "uint8" else f"shape={shape}, image={ {name: dtype} }"
