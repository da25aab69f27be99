"""Files that are read by ranges, as streams with a position; those of servers are read ahead."""

from __future__ import annotations

from collections.abc import Iterator
from io import SEEK_CUR, SEEK_END, SEEK_SET, RawIOBase
from typing import Any, Protocol

from shardio.storage.protocol import RangeReader

# Many readers want a start only, or parts; one that has read so much in sequence will go on.
_SEQUENCE_BYTES = 256 << 10


class StreamedRanges(RangeReader, Protocol):
    """An open file that can be read on and on, too."""

    @property
    def size(self) -> int:
        """Its bytes."""

    def packets(self, offset: int) -> Iterator[bytes]:
        """Yield what is in the file from byte `offset` on, in pieces of the storage's choice."""


class RangesFile(RawIOBase):
    """A file of `size` bytes with a position."""

    def __init__(self, ranges: RangeReader, size: int) -> None:
        self._ranges = ranges
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        """Move the position, also past the end; raises ValueError before the start."""
        starts = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self._size}
        position = starts[whence] + offset
        if position < 0:
            raise ValueError(f"negative seek position {position}")
        self._position = position
        return position

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        if self.closed:
            raise ValueError("read of closed file")
        count = self._read_into(memoryview(buffer).cast("B"))
        self._position += count
        return count

    def _read_into(self, view: memoryview) -> int:
        return self._ranges.read_into(self._position, view)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            self._ranges.close()


class RangesStream(RangesFile):
    """A file read from its start to its end, and ahead of its reader. It can be moved in."""

    _ranges: StreamedRanges

    def __init__(self, ranges: StreamedRanges) -> None:
        super().__init__(ranges, ranges.size)
        # Where a read goes on in sequence, and how much has been read so.
        self._next = 0
        self._sequence = 0
        self._packets: Iterator[bytes] | None = None
        self._packet = memoryview(b"")

    def _read_into(self, view: memoryview) -> int:
        if self._position != self._next:
            self._sequence, self._packets, self._packet = 0, None, memoryview(b"")
        if self._packets is None and self._sequence + len(view) > _SEQUENCE_BYTES:
            self._packets = self._ranges.packets(self._position)
        if self._packets is None:
            count = super()._read_into(view)
        else:
            try:
                count = self._read_on(self._packets, view)
            except BaseException:  # also an interrupt: the next read begins here again
                self._packets, self._packet = None, memoryview(b"")
                raise
        self._next = self._position + count
        self._sequence += count
        return count

    def _read_on(self, packets: Iterator[bytes], view: memoryview) -> int:
        done = 0
        while done < len(view):
            self._packet = self._packet or memoryview(next(packets, b""))
            if not self._packet:
                break
            piece = self._packet[: len(view) - done]
            view[done : done + len(piece)] = piece
            self._packet = self._packet[len(piece) :]
            done += len(piece)
        return done

    def pieces(self) -> Iterator[bytes]:
        """Yield what is left as it comes, and not as a reader asks for it; the position stays."""
        return self._ranges.packets(self._position)

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._packets, self._packet = None, memoryview(b"")
