"""Attempts at a shard, of which several may be under way on machines of a cluster.

All that publish the shard have made the same bytes, so it does not matter which one is the last:
the first one publishes its done-record, and those that have read other images give up.
"""

from __future__ import annotations

from shardio.errors import ManifestError, MissingFileError, OutputError, WorkerError
from shardio.format.done import DoneRecord
from shardio.format.naming import DONE_FOLDER, PLAN
from shardio.storage import storage_for
from shardio.storage.paths import join


class RunEndedError(WorkerError):
    """The run that an attempt belongs to has ended without it."""


def publish_done(folder: str, done: DoneRecord, attempt: str, *, contested: bool = False) -> None:
    """Publish the done-record of a shard.

    Where it is `contested` the first attempt's stays. Raises WorkerError where that is of other
    bytes, and RunEndedError where the run has ended.
    """
    storage = storage_for(folder)
    path = join(folder, DONE_FOLDER, f"{done.file}.json")
    if contested:
        try:
            storage.stat(join(folder, PLAN))
        except MissingFileError as error:
            raise RunEndedError("its run has ended: another attempt was first") from error
    try:
        with storage.publish(path, attempt=attempt, overwrite=not contested) as file:
            file.write(done.to_json())
    except OutputError:
        if not contested:
            raise
        with storage.open_stream(path) as stream:
            text = stream.read()
        _compare(done, text)


def _compare(done: DoneRecord, text: bytes) -> None:
    """Raise WorkerError where a done-record is not that of the same bytes."""
    try:
        first = DoneRecord.from_json(text, done.file)
    except ManifestError:
        raise WorkerError("another attempt has published what is no done-record") from None
    if (first.sha256, first.records) == (done.sha256, done.records):
        return
    ours, theirs = ({reject.row: reject for reject in one.rejects} for one in (done, first))
    for row in sorted(ours.keys() ^ theirs.keys()):
        reject = ours.get(row) or theirs[row]
        raise WorkerError(
            f"row {row}, {reject.path}, could be used in one attempt and not in another "
            f"({reject.reason}): is it on storage that all machines reach? Give the same command "
            "again to make the shard again"
        )
    raise WorkerError(
        "two attempts at it have read different images: something writes to them. Give the same "
        "command again when it rests"
    )
