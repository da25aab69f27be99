"""Where the members of a tar or zip archive are: read once, kept as numbers.

| of each member | bytes | |
|---|---|---|
| key | 16 | digest of the name; the names themselves are not kept |
| offset | 8 | tar: of its bytes; zip: of its local header |
| size | 8 | |
| method | 2 | compression, or why it is not read |
| stored, crc | 8 + 4 | zip only: bytes that it takes there, CRC-32 |

So a tar of a million files takes 34 MB in each process that reads from it, a zip 46 MB.
"""

from __future__ import annotations

import hashlib
import posixpath
import struct
import tarfile
import zipfile
from bisect import bisect_left
from collections.abc import Iterator
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from converter.sources.archive_member import ENCRYPTED, LINK, PLAIN, SPARSE, Member
from shardio.errors import StorageError, UnusableFileError

if TYPE_CHECKING:
    _Buffered = BufferedReader[Any]

_ZIP = (b"PK\3\4", b"PK\5\6", b"PK\7\x08")
_ZIP_ENDINGS = (".zip", ".cbz")
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
# What Python's readers raise on bytes that are no archive, or a damaged one.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, OverflowError, LookupError),
    *(struct.error, NotImplementedError, RuntimeError),
)
_ENCRYPTED_FLAG = 0x1
_BUFFER = 1 << 16
# What is kept of a member, with codes that struct and NumPy share.
_OF_TAR = {"offset": "q", "size": "q", "method": "H"}
_OF_ZIP = {**_OF_TAR, "stored": "q", "crc": "I"}


class ArchiveIndex:
    """The members of an archive, sorted by key; of those with one name the last one."""

    def __init__(self, fields: dict[str, str], members: Iterator[tuple[Any, ...]]) -> None:
        self._fields = tuple(fields)
        row = struct.Struct("=16s" + "".join(fields.values()))
        rows = bytearray()
        for name, *numbers in members:
            rows += row.pack(_key(name), *numbers)
        kind = np.dtype([("first", "Q"), ("second", "Q"), *fields.items()])
        found = np.frombuffer(rows, kind)
        # Members with one key stay in the order of the archive.
        found = found[np.lexsort((found["second"], found["first"]))]
        keys = np.stack((found["first"], found["second"]))
        last = np.ones(len(found), np.bool_)
        last[:-1] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
        self._members = found[last]

    def __len__(self) -> int:
        return len(self._members)

    def find(self, name: str) -> Member | None:
        """Return the last member of that name."""
        key = tuple(np.frombuffer(_key(name), np.uint64).tolist())
        members = self._members
        at = bisect_left(range(len(self)), key, key=lambda at: members[at].item()[:2])
        if at == len(self) or members[at].item()[:2] != key:
            return None
        return Member(**dict(zip(self._fields, members[at].item()[2:], strict=True)))


def read_index(stream: BinaryIO, path: str) -> ArchiveIndex:
    """Read the index of an archive, whose kind its first bytes tell.

    UnusableFileError for what is none, or not whole; an error of the storage stays one. The stream
    is closed.
    """
    watched = _Watched(stream)
    with BufferedReader(watched, _BUFFER) as file:  # headers are small
        start = file.read(8)
        file.seek(0)
        for magic, kind in _COMPRESSED.items():
            if start.startswith(magic):
                raise UnusableFileError(
                    f"{path}: compressed with {kind}; a compressed tar has to be decompressed first"
                )
        is_zip = start.startswith(_ZIP) or path.lower().endswith(_ZIP_ENDINGS)
        try:
            if is_zip:
                return ArchiveIndex(_OF_ZIP, _of_zip(file))
            return ArchiveIndex(_OF_TAR, _of_tar(file))
        except StorageError:
            raise
        except _DAMAGE as error:
            if watched.failure is not None:
                raise watched.failure from error
            raise UnusableFileError(f"{path}: not a whole tar or zip archive ({error})") from error


class _Watched(RawIOBase):
    """A stream that remembers its error: zipfile takes any for a sign of damage."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readinto(self, buffer: Any, /) -> int:
        try:
            data = self._stream.read(len(buffer))
        except OSError as error:
            self.failure = error
            raise
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        super().close()
        self._stream.close()


def _of_tar(file: _Buffered) -> Iterator[tuple[Any, ...]]:
    with tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it keeps all, a kilobyte each
            if member.isfile():
                method = PLAIN if member.sparse is None else SPARSE
                yield member.name, member.offset_data, member.size, method
            elif member.islnk() or member.issym():
                yield member.name, 0, 0, LINK
        # It takes a damaged header for the end.
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise tarfile.ReadError(f"bad header at byte {archive.offset}")


def _of_zip(file: _Buffered) -> Iterator[tuple[Any, ...]]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                encrypted = member.flag_bits & _ENCRYPTED_FLAG
                method = ENCRYPTED if encrypted else member.compress_type
                places = member.header_offset, member.file_size
                yield member.filename, *places, method, member.compress_size, member.CRC


def _key(name: str) -> bytes:
    # Names that are no UTF-8 have surrogates in them.
    normal = posixpath.normpath(name).strip("/").encode(errors="surrogatepass")
    return hashlib.blake2b(normal, digest_size=16).digest()
