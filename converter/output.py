"""The output folder: what is in it, what is finished, and what becomes of it at the end."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from converter.patience import patiently
from shardio.errors import ManifestError, MissingFileError, OutputError, ShardioError
from shardio.format.done import DoneRecord, Reject
from shardio.format.encoding import RAW
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import (
    DONE_FOLDER,
    INDEX_SUFFIX,
    LOCK,
    MANIFEST,
    PLAN,
    REJECTS,
    WORK_FOLDER,
    ShardName,
)
from shardio.format.plan import ConversionPlan
from shardio.storage import FileInfo, storage_for
from shardio.storage.chooser import join, scheme_of
from shardio.storage.folder_lock import lock_file
from shardio.storage.local_files import translate
from shardio.storage.temporary import final_name

_LISTED = 5


class OutputFolder:
    """The folder that a conversion writes to, on any storage."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._storage = storage_for(folder)

    def _path(self, name: str) -> str:
        return join(self.folder, name)

    def _names(self, folder: str = "") -> dict[str, FileInfo]:
        infos = self._storage.list(self._path(folder) if folder else self.folder)
        return {info.path.rsplit("/", 1)[-1]: info for info in infos}

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file of the folder, None where it is not there."""
        try:
            with self._storage.open_stream(self._path(name)) as stream:
                return stream.read()
        except MissingFileError:
            return None

    def write(self, name: str, data: bytes, *, overwrite: bool = True) -> None:
        """Publish a small file."""

        def publish() -> None:
            attempt = secrets.token_hex(6)
            path = self._path(name)
            with self._storage.publish(path, attempt=attempt, overwrite=overwrite) as file:
                file.write(data)

        patiently(publish)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second conversion out of a local folder while this one runs.

        The kernel gives the lock back when the process ends, however it ends. Other storages have
        no such lock: two conversions with one plan make the same bytes there, and no harm.
        """
        if self._is_remote:
            yield
            return
        try:
            lock = self._lock()
        except (OSError, ValueError) as error:
            if isinstance(error, OutputError):
                raise
            raise translate(error, self.folder) from error
        try:
            yield
        finally:
            if os.path.exists(self._path(PLAN)):
                # Of workers that were killed, since they did not stop in time.
                with suppress(ShardioError):
                    self.remove_half_written()
            else:
                # Nothing was begun here, or all is finished: then no trace stays.
                with suppress(OSError):
                    os.unlink(self._path(LOCK))
                    os.rmdir(self._path(WORK_FOLDER))
            os.close(lock)

    def _lock(self) -> int:
        busy = f"another conversion is writing to {self.folder}; wait until it ends"
        return lock_file(self._path(LOCK), busy)

    @property
    def _is_remote(self) -> bool:
        return scheme_of(self.folder) is not None

    @property
    def has_leftovers(self) -> bool:
        """Whether there is something that only a running conversion needs."""
        return bool(self._names(WORK_FOLDER))

    def complete(self, plan: ConversionPlan) -> Manifest | None:
        """Return the manifest if this very conversion is complete; None if there is none.

        Raises OutputError if the folder holds another dataset, or one that has lost a shard.
        """
        manifest = self.manifest(plan)
        if manifest is None:
            return None
        sizes = {name: info.size for name, info in self._names().items()}
        lost = [shard.file for shard in manifest.shards if sizes.get(shard.file) != shard.bytes]
        if lost:
            raise OutputError(
                f"{self.folder} holds this dataset, but {len(lost)} of its shards are missing or "
                f"of another size ({_listed(lost)}); --repair makes them again"
            )
        indexes = [shard.file + INDEX_SUFFIX for shard in manifest.shards]
        lost = [] if manifest.encoding == RAW else [name for name in indexes if name not in sizes]
        if lost:
            raise OutputError(
                f"{self.folder} holds this dataset, but {len(lost)} of its indexes are missing "
                f"({_listed(lost)}); --repair makes them again"
            )
        return manifest

    def manifest(self, plan: ConversionPlan) -> Manifest | None:
        """Return the manifest of this very conversion, whatever has become of its shards."""
        text = self.read(MANIFEST)
        if text is None:
            return None
        manifest = Manifest.from_json(text, self._path(MANIFEST))
        if manifest.plan_sha256 != plan.sha256:
            raise OutputError(
                f"{self.folder} holds a complete dataset of another table or other options "
                "(see its dataset.json); choose another folder, or --overwrite it"
            )
        return manifest

    def reopen(self, plan: ConversionPlan, done: list[DoneRecord], bad: list[str]) -> None:
        """Make a finished set an unfinished one, of which the shards in `bad` are to be made.

        The manifest goes when all else is written: until then the set is as it was.
        """
        self.write(PLAN, plan.to_json())
        for record in done:
            self.write(f"{DONE_FOLDER}/{record.file}.json", record.to_json())
        self._storage.delete(self._path(MANIFEST))
        for name in bad:
            self._storage.delete(self._path(name))
            self._storage.delete(self._path(name + INDEX_SUFFIX))

    def begin(self, plan: ConversionPlan) -> None:
        """Leave the plan, or make sure that the plan that is there is the same."""
        there = self.read(PLAN)
        if there is None:
            shards = [name for name in self._names() if ShardName.parse(name)]
            if shards:
                raise OutputError(
                    f"{self.folder} holds {len(shards)} shards ({_listed(shards)}) that no "
                    "conversion here has made; choose another folder, or --overwrite them"
                )
            self.write(PLAN, plan.to_json(), overwrite=False)
            return
        differences = plan.differences(there, self._path(PLAN))
        if differences:
            raise OutputError(
                f"{self.folder} holds an unfinished conversion with another plan:\n  "
                + "\n  ".join(differences)
                + "\nGive the same table and options to go on, choose another folder, or "
                "--overwrite it"
            )

    def finished(
        self, names: list[ShardName], *, indexed: bool = False
    ) -> dict[ShardName, DoneRecord]:
        """Return the done-records of the shards that need not be made again.

        Files that a killed run left half-written are removed. With `indexed` each shard has an
        index beside it.
        """
        self.remove_half_written()
        sizes = {name: info.size for name, info in self._names().items()}
        records = self._names(DONE_FOLDER)
        found = {}
        for shard in names:
            record = shard.done_path.rsplit("/", 1)[-1]
            if str(shard) not in sizes or record not in records:
                continue
            if indexed and f"{shard}{INDEX_SUFFIX}" not in sizes:
                continue
            text = self.read(shard.done_path)
            try:
                done = DoneRecord.from_json(text or b"", record)
            except ManifestError:
                continue  # damaged: the shard is made again
            if done.file == str(shard) and done.bytes == sizes[str(shard)]:
                found[shard] = done
        return found

    def remove_half_written(self) -> None:
        """Remove what would have become files of ours."""
        for folder in ("", DONE_FOLDER):
            for name, info in self._names(folder).items():
                if self._is_ours(final_name(name)):
                    self._storage.delete(info.path)

    def write_rejects(self, rejects: list[Reject]) -> None:
        """Publish rejects.csv, in the order of the rows."""
        text = io.StringIO()
        text.write("row,path,reason\n")
        # By itself, the writer would leave a carriage return in a path without quotes.
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerows((reject.row, reject.path, reject.reason) for reject in rejects)
        self.write(REJECTS, text.getvalue().encode())

    def finish(self, manifest: Manifest) -> None:
        """Publish the manifest and remove what only a running conversion needs."""
        self.write(MANIFEST, manifest.to_json())
        self.tidy()

    def tidy(self) -> None:
        """Remove what only a running conversion needs, but for its lock."""
        for name, info in self._names(WORK_FOLDER).items():
            if name != LOCK.rsplit("/", 1)[-1]:
                self._storage.delete(info.path)
        if self._is_remote:
            self._storage.delete(self._path(WORK_FOLDER))

    def clear(self) -> None:
        """Remove a dataset, or what an unfinished conversion left; other files stay.

        The manifest goes first: what is left of a dataset must not look like one.
        """
        for name in (MANIFEST, PLAN, DONE_FOLDER, REJECTS):
            self._storage.delete(self._path(name))
        for name, info in self._names().items():
            shard = ShardName.parse(name.removesuffix(INDEX_SUFFIX))
            if shard or self._is_ours(final_name(name)):
                self._storage.delete(info.path)

    @staticmethod
    def _is_ours(final: str | None) -> bool:
        """Whether a temporary file would have become one of our files."""
        if final is None:
            return False
        return final in (MANIFEST, REJECTS) or bool(
            ShardName.parse(final.removesuffix(".json").removesuffix(INDEX_SUFFIX))
        )


def entry_of(name: ShardName, done: DoneRecord) -> ShardEntry:
    """Return what the manifest says of a finished shard."""
    return ShardEntry(
        done.file,
        name.split,
        done.records,
        done.bytes,
        done.sha256,
        done.first_crc,
        done.last_crc,
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
