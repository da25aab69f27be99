"""The indexes of shards: found beside them or in a cache, or made by reading the shards once.

Those of our own sets lie beside their shards. Beside shards of other tools nothing is written
unless a user asks for it: a glob of theirs may take it for a shard. Their indexes are kept in a
cache, under the shard's path and what the storage calls its version, so that the time of a file
does not matter.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
import warnings
from collections.abc import Sequence
from contextlib import suppress
from threading import get_ident
from typing import TypeVar

import numpy as np

from reader.files.cache_home import cache_home
from reader.files.in_threads import Progress, in_threads
from reader.files.shard import IndexedShard
from reader.foreign.index_pass import MAX_RECORD_BYTES, make_index
from shardio.errors import (
    DatasetError,
    FormatError,
    MissingFileError,
    OutputError,
    StorageError,
)
from shardio.format.framing import FRAMING_BYTES
from shardio.format.index import ShardIndex
from shardio.format.naming import INDEX_SUFFIX
from shardio.storage import FileInfo, storage_for
from shardio.storage.paths import join, name_of, scheme_of

_THREADS = 8
# A cached index that no set was opened with for so long is removed when another one is written.
_UNUSED_SECONDS = 180 * 24 * 3600

_T = TypeVar("_T")


class IndexNotKeptWarning(UserWarning):
    """An index could be written nowhere; it is made again whenever the shards are opened."""


def index_shards(files: Sequence[FileInfo], *, ours: bool = False) -> tuple[IndexedShard, ...]:
    """Find or make the index of every shard, several at once.

    With `ours` the shards are of a set of this format: an index beside a shard may be older than
    it, and one that is missing is put there. Raises CorruptRecordError for a
    damaged length and DatasetError for a shard that was cut: also just behind a record, where an
    index beside it still lists those that are gone.
    """

    def shard(info: FileInfo, progress: Progress) -> IndexedShard:
        index = read_index(info, beside(info.path), trusted=ours)
        lacked = index is None
        if index is None:
            index = read_cached(info)
        if index is None:
            refuse_cut(info)
            index = make_index(info, progress)
            _keep(info, index, ours=ours)
        return IndexedShard(
            info.path, len(index), None, info.identity, info.size, index=index, lacked=lacked
        )

    return tuple(in_threads(shard, files, lambda size: None))


def beside(path: str) -> str:
    """Return where the index of a shard lies: beside it."""
    return path + INDEX_SUFFIX


def read_index(info: FileInfo, path: str, *, trusted: bool = False) -> ShardIndex | None:
    """Read the index at `path`; None where it is not there, or not that of the shard.

    One that is older than its shard is ignored, unless it is `trusted`.
    """
    try:
        if not trusted and _is_newer(info.path, path):
            return None
        with storage_for(path).open_stream(path) as stream:
            index = ShardIndex.from_stream(stream, path, info.size)
    except (StorageError, FormatError):
        return None
    if index.end != info.size:
        return None
    longest = int(np.diff(index.offsets).max(initial=0))
    return index if longest <= MAX_RECORD_BYTES + FRAMING_BYTES else None


def read_cached(info: FileInfo) -> ShardIndex | None:
    """Read the index of a shard from the cache; None where it is not there."""
    path = cached(info)
    # Its name says of what it is the index.
    index = read_index(info, path, trusted=True)
    if index is not None:
        with suppress(OSError):
            os.utime(path)
    return index


def refuse_cut(info: FileInfo) -> None:
    """Raise DatasetError where an older index has all records of a shard, and then more.

    It is one that lies beside the shard, or was cached for what the shard was before.
    """
    for path in (beside(info.path), *_cached_before(info)):
        try:
            with storage_for(path).open_stream(path) as stream:
                index = ShardIndex.from_stream(stream, path, info.size)
                more = " or more" if stream.read(1) else ""
        except (StorageError, FormatError):
            continue
        kept = int(np.searchsorted(index.offsets, info.size))
        if info.size < index.end and index.offsets[kept] == info.size:
            raise DatasetError(
                f"{info.path} was cut behind record {kept - 1}: its index lists {len(index)} "
                f"records{more}, and {kept} are there. If it was written anew with fewer of them, "
                f"remove {path}"
            )


def _is_newer(shard: str, index: str) -> bool:
    """Whether a shard was written to after its index; of remote ones that is not known."""
    if scheme_of(shard) is not None or scheme_of(index) is not None:
        return False
    try:
        return os.stat(shard).st_mtime_ns > os.stat(index).st_mtime_ns
    except OSError:
        return True


def _keep(info: FileInfo, index: ShardIndex, *, ours: bool) -> None:
    """Write the index of a shard of ours beside it, and any other into the cache."""
    if ours:
        try:
            write_index(beside(info.path), index)
            return
        except (StorageError, OutputError):
            pass  # a folder that is read-only, mostly
    try:
        write_cached(info, index)
    except (StorageError, OutputError) as error:
        warnings.warn(
            f"the index of {info.path} cannot be kept in the cache ({error}), and is made again "
            "each time; let XDG_CACHE_HOME name a folder that takes files, or write indexes with "
            "`shardio-read index --beside`",
            IndexNotKeptWarning,
            stacklevel=2,
        )


def write_cached(info: FileInfo, index: ShardIndex) -> None:
    """Write the index of a shard into the cache; those that nobody needs any longer go."""
    path = cached(info)
    write_index(path, index)
    oldest = time.time() - _UNUSED_SECONDS
    before = _cached_before(info)
    for other in storage_for(path).list(cache_folder()):
        unused = other.modified < oldest and name_of(other.path).endswith(INDEX_SUFFIX)
        if other.path in before or (unused and other.path != path):
            storage_for(path).delete(other.path)


def _cached_before(info: FileInfo) -> list[str]:
    """Return the cached indexes of what a shard was before."""
    path = cached(info)
    start = name_of(path).partition("-")[0]
    others = (other.path for other in storage_for(path).list(cache_folder()))
    return [other for other in others if other != path and name_of(other).startswith(f"{start}-")]


def write_index(path: str, index: ShardIndex) -> None:
    """Write an index, whole or not at all, but over nothing that is none."""
    try:
        with storage_for(path).open_stream(path) as stream:
            ShardIndex.from_stream(stream, path, index.end)
    except MissingFileError:
        pass
    except FormatError as error:
        raise OutputError(f"{error}: it is no index of shards, and is left alone") from error
    attempt = f"{os.getpid()}-{get_ident()}-{uuid.uuid4().hex[:8]}"
    with storage_for(path).publish(path, attempt=attempt) as file:
        file.write(index.to_text())


def cache_folder() -> str:
    """Return the folder of cached indexes."""
    return cache_home("index")


def cached(info: FileInfo) -> str:
    """Return where the index of a shard is cached: by its path and its identity."""
    identity = f"{info.identity}:{info.size}"
    return join(cache_folder(), f"{_hash(info.path)}-{_hash(identity)}{INDEX_SUFFIX}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]
