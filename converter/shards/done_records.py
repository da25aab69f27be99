"""The done-records of an output folder; from a server, where each is a request, several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shardio.errors import ManifestError, MissingFileError
from shardio.format.done import DoneRecord
from shardio.format.naming import DONE_FOLDER, ShardName
from shardio.storage import storage_for
from shardio.storage.paths import is_local, join
from shardio.storage.threads import Threads

_REQUESTS = 16


def done_records(folder: str, shards: Sequence[ShardName]) -> dict[ShardName, DoneRecord]:
    """Return the done-records of shards, without those that are damaged or gone.

    Raises StorageError where one cannot be read.
    """
    storage = storage_for(folder)

    def read(shard: ShardName) -> DoneRecord | None:
        path = join(folder, shard.done_path)
        try:
            with storage.open_stream(path) as stream:
                return DoneRecord.from_json(stream.read(), path)
        except (MissingFileError, ManifestError):
            return None

    found = zip(shards, _threads(folder).map(read, shards), strict=True)
    return {shard: done for shard, done in found if done is not None}


def write_done_records(
    folder: str, records: Sequence[DoneRecord], write: Callable[[str, bytes], object]
) -> None:
    """Write done-records with `write`, which is given the name of each, and what it holds."""

    def work(record: DoneRecord) -> None:
        write(f"{DONE_FOLDER}/{record.file}.json", record.to_json())

    _threads(folder).map(work, records)


def _threads(folder: str) -> Threads:
    return Threads(1 if is_local(folder) else _REQUESTS, "shardio-records")
