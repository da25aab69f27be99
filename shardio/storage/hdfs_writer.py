"""Files of HDFS that are written."""

from __future__ import annotations

from io import RawIOBase
from typing import Any

from shardio.storage.hdfs_client import HdfsClient
from shardio.storage.owner import Owner

_WRITE_BYTES = 1 << 20


class HdfsWriter(RawIOBase):
    """A file that is written; only `finish` makes it one that is complete."""

    def __init__(self, client: HdfsClient, url: str, raw: Any, owner: Owner) -> None:
        self._client = client
        self._url = url
        self._raw = raw
        self._owner = owner
        self._buffer = bytearray()
        self.written = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self.written

    def write(self, data: Any, /) -> int:
        """Write all of `data`."""
        if self.closed:
            raise ValueError("write to closed file")
        self._owner.check(self._url)
        view = memoryview(data).cast("B")
        self._buffer += view
        self.written += len(view)
        if len(self._buffer) >= _WRITE_BYTES:
            self._send()
        return len(view)

    def _send(self) -> None:
        # A thread that hangs in this keeps its own bytes.
        data, self._buffer = bytes(self._buffer), bytearray()
        self._client.ask_once(self._url, lambda _: self._raw.write(data))

    def finish(self) -> None:
        """Write what is left and let the NameNode close the file."""
        self._owner.check(self._url)
        if self._buffer:
            self._send()
        self._client.ask_once(self._url, lambda _: self._raw.close())
        self.close()
