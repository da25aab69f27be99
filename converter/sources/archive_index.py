"""Where the members of a tar or zip archive are: read once, kept as numbers.

| of each member | bytes | |
|---|---|---|
| key | 16 | digest of the name; the names themselves are not kept |
| offset | 8 | tar: of its bytes; zip: of its local header |
| size | 8 | |
| stored, crc, method | 8 + 4 + 2 | zip only: bytes that it takes there, CRC-32, compression |

So a tar of a million files takes 32 MB in each process that reads from it, a zip 46 MB.
"""

from __future__ import annotations

import hashlib
import posixpath
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader, RawIOBase
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from converter.sources.archive_member import ENCRYPTED, Member
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
# Links that lead to links: more than that is a circle.
_MOST_LINKS = 40


@dataclass
class ArchiveIndex:
    """The members of an archive, sorted by key; `keys` are (2, members), its halves."""

    keys: NDArray[np.uint64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    stored: NDArray[np.int64] | None = None
    crcs: NDArray[np.uint32] | None = None
    methods: NDArray[np.uint16] | None = None
    # Files with holes, by their offset: where their pieces lie in the file, and how long they are.
    holes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.offsets)

    def find(self, name: str) -> Member | None:
        """Return the last member of that name."""
        at = _find(self.keys, _key(name))
        if at is None:
            return None
        offset, size = int(self.offsets[at]), int(self.sizes[at])
        if self.stored is None or self.crcs is None or self.methods is None:
            return Member(offset, size, parts=self.holes.get(offset))
        stored, method = int(self.stored[at]), int(self.methods[at])
        return Member(offset, size, stored, method, int(self.crcs[at]))


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
            return _of_zip(file) if is_zip else _of_tar(file)
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


def _of_tar(file: _Buffered) -> ArchiveIndex:
    names, links = _Names(), []
    holes: dict[int, list[tuple[int, int]]] = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for member in _members(archive):
            if member.isfile():
                names.add(member.name, member.offset_data, member.size)
                if member.sparse is not None:
                    holes[member.offset_data] = cast("list[tuple[int, int]]", list(member.sparse))
            elif member.islnk() or member.issym():
                target = member.linkname
                if member.issym():
                    target = posixpath.join(posixpath.dirname(member.name), target)
                links.append((len(names), member.name, target, member.issym()))
                names.add(member.name, -1, 0)
    order, keys = names.in_order()
    offsets, sizes = names.column(0, order), names.column(1, order)
    _follow(links, keys, order, offsets, sizes)
    keep = _last_ones(keys) & (offsets >= 0)
    return ArchiveIndex(keys[:, keep], offsets[keep], sizes[keep], holes=holes)


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the members; tarfile itself keeps them all, a kilobyte each."""
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]
        yield member
    # It takes a damaged header for the end.
    file = archive.fileobj
    assert file is not None
    file.seek(archive.offset)
    rest = file.read(tarfile.BLOCKSIZE)
    if rest.strip(b"\0"):
        raise tarfile.ReadError(f"bad header at byte {archive.offset}")


def _follow(
    links: list[tuple[int, str, str, bool]],
    keys: NDArray[np.uint64],
    order: NDArray[np.int64],
    offsets: NDArray[np.int64],
    sizes: NDArray[np.int64],
) -> None:
    """Give links the place of the file that they name.

    A hard link names a member before it, a symbolic one what has that name in the end.
    """
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    waiting = {number: (target, symbolic) for number, _, target, symbolic in links}
    for first in list(waiting):
        at: int | None = int(place[first])
        for _ in range(_MOST_LINKS):
            if at is None or int(order[at]) not in waiting:
                break
            number = int(order[at])
            target, symbolic = waiting[number]
            at = _find(keys, _key(target), None if symbolic else order, number)
        if at is not None and offsets[at] >= 0:
            offsets[place[first]], sizes[place[first]] = offsets[at], sizes[at]


def _of_zip(file: _Buffered) -> ArchiveIndex:
    names = _Names()
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                encrypted = member.flag_bits & _ENCRYPTED_FLAG
                method = ENCRYPTED if encrypted else member.compress_type
                places = member.header_offset, member.file_size, member.compress_size
                names.add(member.filename, *places, member.CRC, method)
    order, keys = names.in_order()
    last = _last_ones(keys)
    offsets, sizes, stored, crcs, methods = (names.column(n, order)[last] for n in range(5))
    return ArchiveIndex(
        keys[:, last], offsets, sizes, stored, crcs.astype(np.uint32), methods.astype(np.uint16)
    )


class _Names:
    """Keys and numbers of members, in the order of the archive."""

    def __init__(self) -> None:
        self._keys = bytearray()
        self._numbers = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, name: str, *numbers: int) -> None:
        self._keys += _key(name)
        self._numbers += struct.pack(f"={len(numbers)}q", *numbers)
        self._count += 1

    def in_order(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return the order by key, then by place in the archive, and the keys in that order."""
        keys = np.frombuffer(self._keys, np.uint64).reshape(-1, 2).T
        order = np.lexsort((keys[1], keys[0])).astype(np.int64)
        return order, np.ascontiguousarray(keys[:, order])

    def column(self, number: int, order: NDArray[np.int64]) -> NDArray[np.int64]:
        width = len(self._numbers) // max(1, 8 * self._count)
        found = np.frombuffer(self._numbers, np.int64).reshape(-1, max(1, width))
        column: NDArray[np.int64] = found[:, number][order] if self._count else found[:, 0]
        return column


def _key(name: str) -> bytes:
    # Names that are no UTF-8 have surrogates in them.
    normal = posixpath.normpath(name).strip("/").encode(errors="surrogatepass")
    return hashlib.blake2b(normal, digest_size=16).digest()


def _find(
    keys: NDArray[np.uint64],
    key: bytes,
    order: NDArray[np.int64] | None = None,
    before: int = 0,
) -> int | None:
    """Return where the last member with a key is; with `order` one that comes before another."""
    first, second = np.frombuffer(key, np.uint64)
    halves, others = keys
    at, found = int(halves.searchsorted(first)), None
    while at < len(halves) and halves[at] == first:
        if others[at] == second and (order is None or order[at] < before):
            found = at
        at += 1
    return found


def _last_ones(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Of members with one key the last one counts."""
    last = np.ones(keys.shape[1], np.bool_)
    last[:-1] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    return last
