"""Objects of S3 that are open: read at any byte by any thread, written as one object or none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import RawIOBase
from typing import Any

from shardio.errors import MissingFileError, StorageError, UnavailableError, UnusableFileError
from shardio.storage.owner import Owner
from shardio.storage.remote_call import LARGE, ask, ask_again

# S3 takes 10,000 parts of an object: of this size that is 160 GB.
PART_BYTES = 16 << 20
# What is read in sequence comes in pieces of so many bytes.
_PIECE_BYTES = 8 << 20


class S3Ranges:
    """An object that any number of threads read at once, also after a fork.

    Every request names the version that was opened: of another one nothing is read.
    """

    descriptor = -1

    def __init__(
        self, path: str, open_file: Callable[[], Any], identity: Callable[[dict[str, Any]], str]
    ) -> None:
        self._path = path
        self._open = open_file
        self._file: Any = ask_again(path, open_file)
        self._pid = os.getpid()
        if self._file.details["type"] == "directory":
            raise UnusableFileError(f"{path}: Is a directory")
        self.size = int(self._file.size)
        self.identity = identity(self._file.details)

    def read_into(self, offset: int, memory: memoryview) -> int:
        """Fill `memory` from byte `offset`."""
        size = max(0, min(len(memory), self.size - offset))
        if size:
            memory[:size] = self._read(offset, size)
        return size

    def packets(self, offset: int) -> Iterator[bytes]:
        """Yield what is in the object from byte `offset` on."""
        for at in range(offset, self.size, _PIECE_BYTES):
            yield self._read(at, min(_PIECE_BYTES, self.size - at))

    def _read(self, offset: int, size: int) -> bytes:
        return ask_again(self._path, lambda: self._read_once(offset, size))

    def _read_once(self, offset: int, size: int) -> bytes:
        if self._pid != os.getpid():
            # What makes the requests of the parent is a thread of the parent's.
            file = self._open()
            if file.details["ETag"] != self._file.details["ETag"]:
                raise StorageError(f"{self._path}: was replaced while it was read")
            self._file, self._pid = file, os.getpid()
        file, at = self._file, f"{self._path}, byte {offset}"
        data: bytes = ask(at, lambda: file._fetch_range(offset, offset + size), size)
        if len(data) != size:
            raise UnavailableError(f"{at}: {len(data)} bytes came, not {size}")
        return data

    def advise(self, offset: int, size: int) -> None:
        """Do nothing: whoever needs many reads has many under way at once."""

    def close(self) -> None:
        """Do nothing: nothing of the file is held, here or on the server."""


class S3Writer(RawIOBase):
    """An object that is there, whole, when `finish` returns, and not before.

    A small one is one request; of a larger one parts are sent while it is written, which nobody
    sees until the last request puts them together.
    """

    def __init__(self, path: str, files: Any, *, overwrite: bool) -> None:
        self._path = path
        self._files = files
        bucket, key, _ = files.split_path(path)
        self._name = {"Bucket": bucket, "Key": key}
        self._owner = Owner()
        self._condition = {} if overwrite else {"IfNoneMatch": "*"}
        self._waiting = bytearray()
        self._upload: dict[str, str] = {}
        self._parts: list[dict[str, Any]] = []

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any, /) -> int:
        """Take all of `data`."""
        self._owner.check(self._path)
        self._waiting += data
        while len(self._waiting) >= PART_BYTES:
            self._send(bytes(self._waiting[:PART_BYTES]))
            del self._waiting[:PART_BYTES]
        return memoryview(data).nbytes

    def finish(self) -> None:
        """Let the object appear, under its name."""
        rest = bytes(self._waiting)
        if not self._upload:
            self._ask("put_object", Body=rest, **self._condition)
            return
        if rest:
            self._send(rest)
        parts = {"Parts": self._parts}
        self._ask("complete_multipart_upload", MultipartUpload=parts, **self._condition)

    def discard(self) -> None:
        """Remove the parts that were sent; where that fails, rules of the bucket may do it."""
        if self._upload:
            with suppress(StorageError):
                self._ask_once("abort_multipart_upload")

    def _send(self, data: bytes) -> None:
        if not self._upload:
            found = self._ask("create_multipart_upload")
            self._upload = {"UploadId": found["UploadId"]}
        number = len(self._parts) + 1
        sent = self._ask("upload_part", PartNumber=number, Body=data)
        # What the server has computed of a part is compared when the parts are put together.
        kept = {key: sent[key] for key in ("ETag", "ChecksumSHA256") if key in sent}
        self._parts.append({"PartNumber": number, **kept})

    def _ask(self, method: str, **arguments: Any) -> Any:
        """Make a request, again while the server is unavailable: a part may be sent twice."""
        try:
            return ask_again(self._path, lambda: self._ask_once(method, LARGE, **arguments))
        except MissingFileError as error:
            # Of two answers to the last request the first one was lost, or somebody has tidied up.
            raise UnavailableError(f"{self._path}: the upload is gone; begin it again") from error

    def _ask_once(self, method: str, size: int = 0, **arguments: Any) -> Any:
        self._owner.check(self._path)
        known = {**self._name, **self._upload, **arguments}
        return ask(self._path, lambda: self._files.call_s3(method, **known), size)
