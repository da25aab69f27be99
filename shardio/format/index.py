"""The index of a shard: where each record begins.

A text file beside the shard, `SHARD.idx`, with a line `offset size` for each record, the size with
the 16 bytes of framing; what NVIDIA DALI's `tfrecord2idx` writes and its reader takes. Records
follow each other without gaps, so the offsets and the end say everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from shardio.errors import FormatError
from shardio.format.framing import FRAMING_BYTES

_LINE = rb"[0-9]{1,18} [0-9]{1,18}\n"
_LINE_BYTES = 18 + 1 + 18 + 1
_BLOCK_BYTES = 1 << 20


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
    def from_stream(cls, stream: BinaryIO, name: str, most: int) -> ShardIndex:
        """Parse a file, and stop soon after a record that ends behind byte `most` of the shard.

        A record has 16 bytes at least, so that no more memory is taken than a shard of `most` bytes
        justifies, however long the file is. Raises FormatError for what is no index.
        """
        parts = [np.zeros(1, dtype=np.int64)]
        lines, rest = 0, b""
        while parts[-1][-1] <= most:
            block = stream.read(_BLOCK_BYTES)
            text = rest + block
            cut = text.rfind(b"\n") + 1 if block else len(text)
            if len(text) - cut >= _LINE_BYTES:
                cut = len(text)  # no line is as long
            if cut:
                parts.append(_ends(text[:cut], int(parts[-1][-1]), lines, name))
                lines += len(parts[-1])
            rest = text[cut:]
            if not block:
                break
        return cls.of_offsets(np.concatenate(parts))


def _ends(text: bytes, start: int, before: int, name: str) -> NDArray[np.int64]:
    """Return where the records of some lines end, the first of which begins at byte `start`.

    There are `before` lines before them.
    """
    if not re.fullmatch(b"(?:%b)*" % _LINE, text):
        lines = text.splitlines(keepends=True)
        line = next(i for i, line in enumerate(lines, 1) if not re.fullmatch(_LINE, line))
        raise FormatError(f"{name}: line {before + line} is not `offset size`")
    numbers = np.fromstring(text, dtype=np.int64, sep=" ").reshape(-1, 2)
    ends: NDArray[np.int64] = numbers.sum(axis=1)
    starts = np.concatenate([[start], ends[:-1]])
    wrong = (numbers[:, 0] != starts) | (numbers[:, 1] < FRAMING_BYTES)
    if wrong.any():
        line = int(wrong.argmax())
        offset, size = numbers[line].tolist()
        raise FormatError(
            f"{name}: line {before + line + 1} says {size} bytes from {offset} on, but the record "
            f"before it ends at {starts[line]}"
            if size >= FRAMING_BYTES
            else f"{name}: line {before + line + 1} says {size} bytes, less than the framing takes"
        )
    return ends
