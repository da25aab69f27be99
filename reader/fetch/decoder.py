"""Records of fixed size in memory, turned into pixels and integers."""

from __future__ import annotations

from typing import Any, Protocol

import crc32c
import numpy as np
from numpy.typing import NDArray

from shardio.format.framing import FOOTER_BYTES, HEADER_BYTES, mask_crcs
from shardio.format.layout import RecordLayout


class Decoder(Protocol):
    """Decodes records that lie in memory as they are stored."""

    def decode(
        self, memory: NDArray[np.uint8], rows: NDArray[np.int64], images: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Decode `rows` of `memory`, (records, stride), into the first rows of `images`.

        These are uint8 or float32, where pixels are divided by 255. Returns the integers, and which
        of the records are damaged.
        """


class NumpyDecoder:
    """Decodes with NumPy, where the compiled code is missing; it judges the compiled code, too."""

    def __init__(self, layout: RecordLayout, *, verify: bool) -> None:
        self._layout = layout
        self._verify = verify
        self._head = np.frombuffer(layout.head, dtype=np.uint8)

    def decode(
        self, memory: NDArray[np.uint8], rows: NDArray[np.int64], images: NDArray[Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Decode rows."""
        data = memory[rows]
        pixels, rests = np.split(data[:, len(self._head) :], [self._layout.image_bytes], axis=1)
        wrong = (data[:, : len(self._head)] != self._head).any(axis=1)
        if self._verify:
            crcs = [crc32c.crc32c(row[HEADER_BYTES:-FOOTER_BYTES].data) for row in data]
            stored = rests[:, -FOOTER_BYTES:].copy().view("<u4")[:, 0]
            wrong |= mask_crcs(np.array(crcs, dtype=np.uint32)) != stored
        if images.dtype == np.float32:
            np.divide(pixels, np.float32(255), out=images[: len(rows)])
        else:
            images[: len(rows)] = pixels
        return self._layout.integers(rests[:, :-FOOTER_BYTES]), np.flatnonzero(wrong)
