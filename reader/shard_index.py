"""The indexes of shards: found beside them or in a cache, or made by reading the shards once."""

from __future__ import annotations

import hashlib
import os
import uuid
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock, get_ident
from typing import TypeVar

import numpy as np

from reader.find import folder_of, name_of
from reader.index_pass import Progress, make_index
from reader.shard_files import ShardFile
from shardio.errors import (
    DatasetError,
    FormatError,
    MissingFileError,
    OutputError,
    StorageError,
)
from shardio.format.index import ShardIndex
from shardio.format.naming import INDEX_SUFFIX
from shardio.storage import FileInfo, storage_for
from shardio.storage.chooser import join, scheme_of

_THREADS = 8

_T = TypeVar("_T")


class IndexNotKeptWarning(UserWarning):
    """An index could be written nowhere; it is made anew each time the shards are opened."""


@dataclass(frozen=True, kw_only=True)
class IndexedShard(ShardFile):
    """A shard whose records are found by an index.

    It `lacked` one when none was beside it that could be its own, and another was found or made.
    """

    index: ShardIndex = field(compare=False, repr=False)
    lacked: bool = field(default=False, compare=False, repr=False)


def index_shards(files: Sequence[FileInfo], *, trusted: bool = False) -> tuple[IndexedShard, ...]:
    """Find or make the index of every shard, several at once.

    With `trusted` an index beside a shard may be older than it. Raises CorruptRecordError for a
    damaged length and DatasetError for a shard that was cut: also just behind a record, where an
    index beside it still lists those that are gone.
    """

    def shard(info: FileInfo, progress: Progress) -> IndexedShard:
        index = read_index(info, beside(info.path), trusted=trusted)
        lacked = index is None
        if index is None:
            # The name of a cached one says of what it is the index.
            index = read_index(info, _cached(info), trusted=True)
        if index is None:
            _refuse_cut(info)
            index = make_index(info, progress)
            keep_index(info, index)
        return IndexedShard(
            info.path, len(index), None, info.identity, info.size, index=index, lacked=lacked
        )

    return tuple(in_threads(shard, files, lambda size: None))


def in_threads(
    work: Callable[[FileInfo, Progress], _T],
    files: Sequence[FileInfo],
    progress: Progress,
    *,
    threads: int = _THREADS,
) -> list[_T]:
    """Do some work for every shard, several at once; after the first error all of it ends.

    The work tells the bytes that it has done, and `progress` is told them, one call at a time.
    """
    turn, ended = Lock(), Event()

    def tell(size: int) -> None:
        if ended.is_set():
            raise CancelledError
        with turn:
            progress(size)

    with ThreadPoolExecutor(threads, thread_name_prefix="shardio-index") as pool:
        waiting = [pool.submit(work, info, tell) for info in files]
        try:
            return [future.result() for future in waiting]
        finally:
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)


def beside(path: str) -> str:
    """Return where the index of a shard lies: beside it."""
    return path + INDEX_SUFFIX


def read_index(info: FileInfo, path: str, *, trusted: bool = False) -> ShardIndex | None:
    """Read the index at `path`; None where it is not there, or not that of the shard.

    One that is older than its shard is made anew, unless it is `trusted`.
    """
    try:
        if not trusted and _is_newer(info.path, path):
            return None
        with storage_for(path).open_stream(path) as stream:
            index = ShardIndex.from_text(stream.read(), path)
    except (StorageError, FormatError):
        return None
    return index if index.end == info.size else None


def _refuse_cut(info: FileInfo) -> None:
    """Raise DatasetError where an index beside a shard has all its records, and then more."""
    path = beside(info.path)
    try:
        with storage_for(path).open_stream(path) as stream:
            index = ShardIndex.from_text(stream.read(), path)
    except (StorageError, FormatError):
        return
    kept = int(np.searchsorted(index.offsets, info.size))
    if info.size < index.end and index.offsets[kept] == info.size:
        raise DatasetError(
            f"{info.path} was cut behind record {kept - 1}: its index lists {len(index)} records, "
            f"and {kept} are there. If it was written anew with fewer of them, remove {path}"
        )


def _is_newer(shard: str, index: str) -> bool:
    """Whether a shard was written to after its index; of remote ones that is not known."""
    if scheme_of(shard) is not None or scheme_of(index) is not None:
        return False
    try:
        return os.stat(shard).st_mtime_ns > os.stat(index).st_mtime_ns
    except OSError:
        return True


def keep_index(info: FileInfo, index: ShardIndex) -> None:
    """Write an index beside its shard or, where that cannot be, into the cache."""
    try:
        write_index(beside(info.path), index)
    except (StorageError, OutputError) as error:
        try:
            path = _cached(info)
            write_index(path, index)
            _drop_older(path)
        except (StorageError, OutputError) as second:
            warnings.warn(
                f"the index of {info.path} can be kept neither beside it ({error}) nor in the "
                f"cache ({second}); it is made anew each time",
                IndexNotKeptWarning,
                stacklevel=2,
            )


def write_index(path: str, index: ShardIndex) -> None:
    """Write an index, whole or not at all, but over nothing that is none."""
    try:
        with storage_for(path).open_stream(path) as stream:
            ShardIndex.from_text(stream.read(), path)
    except MissingFileError:
        pass
    except FormatError as error:
        raise OutputError(f"{error}: it is no index of shards, and is left alone") from error
    attempt = f"{os.getpid()}-{get_ident()}-{uuid.uuid4().hex[:8]}"
    with storage_for(path).publish(path, attempt=attempt) as file:
        file.write(index.to_text())


def _cached(info: FileInfo) -> str:
    """Return where the index of a shard is cached: by its path and its identity."""
    # An empty or relative XDG_CACHE_HOME counts as none, as the specification says.
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(cache):
        cache = os.path.join(os.path.expanduser("~"), ".cache")
    identity = f"{info.identity}:{info.size}"
    return join(cache, "shardio", "index", f"{_hash(info.path)}-{_hash(identity)}{INDEX_SUFFIX}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:24]


def _drop_older(path: str) -> None:
    """Remove the cached indexes of what the shard was before."""
    start = name_of(path).partition("-")[0]
    for info in storage_for(path).list(folder_of(path)):
        if info.path != path and name_of(info.path).startswith(f"{start}-"):
            storage_for(path).delete(info.path)
