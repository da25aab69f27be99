"""The records of TFRecord files, read from the start to the end, also compressed ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import Any, BinaryIO

from converter.table.samples.archive_stream import buffered
from shardio.errors import TableError
from shardio.format.framing import (
    FOOTER_BYTES,
    HEADER_BYTES,
    compression_of,
    masked_crc,
    parse_header,
)
from shardio.storage import storage_for

MAX_RECORD_BYTES = 1 << 30
_BUFFER = 1 << 20
# zlib finds out whether it is gzip's header or its own.
_EITHER = 47


class RecordFile:
    """A TFRecord file; `compression` is gzip, zlib or nothing."""

    def __init__(self, location: str) -> None:
        self._location = location
        with self._stream() as stream:
            start = stream.read(HEADER_BYTES)
        is_plain = len(start) == HEADER_BYTES and parse_header(start) is not None
        self.compression = "" if is_plain else compression_of(start)

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Yield each record, and the byte at which it begins in the file.

        Of a compressed file that is no place in it. Raises TableError for one that is damaged or
        cut, after the records before that.
        """
        with self._stream() as plain:
            stream: Any = plain
            if self.compression:
                stream = BufferedReader(_Inflated(plain), _BUFFER)
            number = at = 0
            while True:
                try:
                    header = stream.read(HEADER_BYTES)
                    if not header:
                        return
                    if len(header) < HEADER_BYTES:
                        raise EOFError
                    length = parse_header(header)
                    if length is None or length > MAX_RECORD_BYTES:
                        raise self._damaged(number, at)
                    data = stream.read(length)
                    footer = stream.read(FOOTER_BYTES)
                    if len(data) < length or len(footer) < FOOTER_BYTES:
                        raise EOFError
                except EOFError:
                    raise TableError(
                        f"{self._location}: cut within record {number}, which begins at byte {at}"
                    ) from None
                except zlib.error as error:
                    raise TableError(
                        f"{self._location}: record {number}: damaged {self.compression} ({error})"
                    ) from None
                if masked_crc(data) != int.from_bytes(footer, "little"):
                    raise TableError(
                        f"{self._location}: record {number} at byte {at}: its CRC does not match"
                    )
                yield at + HEADER_BYTES, data
                number += 1
                at += HEADER_BYTES + length + FOOTER_BYTES

    def _stream(self) -> BufferedReader[Any]:
        stream = storage_for(self._location).open_stream(self._location)
        return buffered(stream, _BUFFER)

    def _damaged(self, number: int, at: int) -> TableError:
        what = "its length or the CRC of its length is damaged"
        if number == 0:
            what = f"this is no TFRecord file, or {what.replace('its', 'its first', 1)}"
        return TableError(f"{self._location}: record {number} at byte {at}: {what}")


class _Inflated(RawIOBase):
    """The contents of a stream of gzip or zlib; EOFError where it is cut."""

    def __init__(self, stream: BinaryIO | BufferedReader[Any]) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(_EITHER)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while True:
            if self._inflater.eof:
                # Another part may follow, as in joined gzip files.
                self._rest = self._inflater.unused_data or self._stream.read(_BUFFER)
                if not self._rest:
                    return 0
                self._inflater = zlib.decompressobj(_EITHER)
            data = self._inflater.decompress(self._rest, len(buffer))
            self._rest = self._inflater.unconsumed_tail
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not self._rest and not self._inflater.eof:
                self._rest = self._stream.read(_BUFFER)
                if not self._rest:
                    raise EOFError
