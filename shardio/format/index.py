"""The index of a shard: where each record begins.

A text file beside the shard, `SHARD.idx`, with a line `offset size` for each record, the size with
the 16 bytes of framing; what NVIDIA DALI's `tfrecord2idx` writes and its reader takes. Records
follow each other without gaps, so the offsets and the end say everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shardio.errors import FormatError
from shardio.format.framing import FRAMING_BYTES

_LINE = rb"[0-9]{1,18} [0-9]{1,18}\n"


@dataclass(frozen=True, eq=False)
class ShardIndex:
    """Offsets of the records of a shard and, as the last one, its end: (records + 1,).

    They have 32 bits where that is enough: a set of many small records has a long index.
    """

    offsets: NDArray[np.int64] | NDArray[np.uint32]

    @classmethod
    def of_offsets(cls, offsets: NDArray[np.int64]) -> ShardIndex:
        """Keep offsets in as few bytes as they need."""
        return cls(offsets.astype(np.uint32) if offsets[-1] < 2**32 else offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def end(self) -> int:
        """Size of the shard."""
        return int(self.offsets[-1])

    def to_text(self) -> bytes:
        """Return the bytes of the file."""
        offsets = self.offsets.astype(np.int64)
        pairs = zip(offsets[:-1].tolist(), np.diff(offsets).tolist(), strict=True)
        return b"".join([b"%d %d\n" % pair for pair in pairs])

    @classmethod
    def from_text(cls, text: bytes, name: str) -> ShardIndex:
        """Parse a file; `name` stands in the error. Raises FormatError for what is none."""
        if not re.fullmatch(b"(?:%b)*" % _LINE, text):
            lines = text.splitlines(keepends=True)
            line = next(i for i, line in enumerate(lines, 1) if not re.fullmatch(_LINE, line))
            raise FormatError(f"{name}: line {line} is not `offset size`")
        numbers = np.fromstring(text, dtype=np.int64, sep=" ").reshape(-1, 2)
        ends = numbers.sum(axis=1)
        offsets = np.concatenate([[0], ends])
        wrong = (numbers[:, 0] != offsets[:-1]) | (numbers[:, 1] < FRAMING_BYTES)
        if wrong.any():
            line = int(wrong.argmax())
            offset, size = numbers[line].tolist()
            raise FormatError(
                f"{name}: line {line + 1} says {size} bytes from {offset} on, but the record "
                f"before it ends at {offsets[line]}"
                if size >= FRAMING_BYTES
                else f"{name}: line {line + 1} says {size} bytes, less than the framing takes"
            )
        return cls.of_offsets(offsets)
