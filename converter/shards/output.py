"""The output folder: what is in it, what is finished, and what becomes of it at the end."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from converter.shards.done_records import done_records, write_done_records
from converter.shards.half_written import is_half_written
from converter.shards.kept_root import keep_root
from converter.shards.other_plan import begun_otherwise, finished_otherwise
from converter.shards.work_folder import WorkFolder
from converter.sources.patience import writing
from shardio.errors import MissingFileError, OutputError, RejectsError, ShardioError
from shardio.format.done import DoneRecord, Reject
from shardio.format.encoding import RAW
from shardio.format.inputs import ConversionInputs
from shardio.format.manifest import Manifest
from shardio.format.naming import (
    BESIDE,
    DONE_FOLDER,
    INDEX_SUFFIX,
    INPUTS,
    MANIFEST,
    METADATA,
    PLAN,
    RECORDS,
    REJECTS,
    ROWS_FOLDER,
    ShardName,
)
from shardio.format.plan import ConversionPlan, transform_in
from shardio.format.transform import Transform
from shardio.grammar import agreeing, counted
from shardio.storage import FileInfo, storage_for
from shardio.storage.paths import is_local, join

_LISTED = 5


class OutputFolder:
    """The folder that a conversion writes to, on any storage."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._storage = storage_for(folder)
        self.work = WorkFolder(folder)

    def _path(self, name: str) -> str:
        return join(self.folder, name)

    def _names(self) -> dict[str, FileInfo]:
        infos = self._storage.list(self.folder)
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
            path, attempt = self._path(name), secrets.token_hex(6)
            with self._storage.publish(path, attempt=attempt, overwrite=overwrite) as file:
                file.write(data)

        writing(publish)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second conversion out while this one runs; see WorkFolder."""
        with self.work.locked():
            try:
                yield
            except RejectsError:
                with suppress(ShardioError):
                    self._withdraw_inputs()
                raise
            finally:
                # Of workers that were killed, since they did not stop in time.
                with suppress(ShardioError):
                    if is_local(self.folder) and self.read(PLAN) is not None:
                        self.remove_half_written()

    def complete(self, plan: ConversionPlan) -> Manifest | None:
        """Return the manifest if this very conversion is complete; None if there is none.

        Raises OutputError if the folder holds another dataset, or one that has lost a shard.
        """
        manifest = self.manifest(plan)
        if manifest is None:
            return None
        if lost := self._lost(manifest):
            what = "shards" if ShardName.parse(lost[0]) else "files"
            how = "missing or of another size" if what == "shards" else "missing"
            raise OutputError(
                f"{self.folder} holds this dataset, but {len(lost)} of its {what} "
                f"{agreeing(len(lost), 'is')} {how} ({_listed(lost)}); --repair makes "
                f"{agreeing(len(lost), 'it')} again"
            )
        return manifest

    def _lost(self, manifest: Manifest) -> list[str]:
        """Return the shards that are missing or of another size; with none, other missing files."""
        sizes = {name: info.size for name, info in self._names().items() if not info.is_folder}
        lost = [shard.file for shard in manifest.shards if sizes.get(shard.file) != shard.bytes]
        indexed = () if manifest.encoding == RAW else manifest.shards
        others = [shard.file + INDEX_SUFFIX for shard in indexed]
        others += [RECORDS] if manifest.records else []
        return lost or [name for name in others if name not in sizes]

    def transform(self) -> Transform | None:
        """Return the transform of the conversion that was begun or finished here, if there is one.

        What is damaged is for others to report.
        """
        text = self.read(PLAN) or self.read(MANIFEST)
        return None if text is None else transform_in(text)

    def manifest(self, plan: ConversionPlan) -> Manifest | None:
        """Return the manifest of this very conversion; raises OutputError for another one's."""
        text = self.read(MANIFEST)
        if text is None:
            return None
        manifest = Manifest.from_json(text, self._path(MANIFEST))
        if manifest.plan_sha256 != plan.sha256:
            raise finished_otherwise(self.folder, plan, manifest)
        return manifest

    def reopen(
        self,
        plan: ConversionPlan,
        inputs: ConversionInputs,
        done: list[DoneRecord],
        bad: list[str],
    ) -> None:
        """Make a finished set an unfinished one, of which the shards in `bad` are to be made.

        The manifest goes when all else is written: until then the set is as it was.
        """
        self.work.refuse_links()
        here = self._names()
        gone = {n: here[n] for name in bad for n in (name, name + INDEX_SUFFIX) if n in here}
        self._refuse_folders(gone)
        # A run that was killed at its end may have left the records of all.
        self._storage.delete(self._path(DONE_FOLDER))
        self.write(PLAN, plan.to_json())
        self.write(INPUTS, inputs.to_json())
        write_done_records(self.folder, done, self.write)
        self._storage.delete(self._path(MANIFEST))
        for name in gone:
            self._storage.delete(self._path(name))

    def begin(self, plan: ConversionPlan) -> None:
        """Write the plan, or compare it; raises OutputError for another one, or for its shards."""
        there = self.read(PLAN)
        if there is None:
            shards = [name for name in self._names() if ShardName.parse(name)]
            if shards:
                raise OutputError(
                    f"{self.folder} holds {counted(len(shards), 'shard')} ({_listed(shards)}) "
                    "that no conversion here has made; choose another folder, or --overwrite them"
                )
            self.write(PLAN, plan.to_json(), overwrite=False)
            return
        if plan.differences(there, self._path(PLAN)):
            raise begun_otherwise(self.folder, plan, there)

    def keep_inputs(
        self, inputs: ConversionInputs, finished: Collection[DoneRecord], *, moved: bool
    ) -> None:
        """Record where the images are, or compare it; see keep_root."""
        there = None if moved else self.read(INPUTS)
        keep_root(self.folder, inputs, there, finished, self.write, moved=moved)

    def _withdraw_inputs(self) -> None:
        """Let another root be given where no image of this one was of use."""
        shards = [info for name, info in self._names().items() if ShardName.parse(name)]
        if not is_local(self.folder) and not any(info.size for info in shards):
            self._storage.delete(self._path(INPUTS))

    def finished(
        self, names: list[ShardName], *, indexed: bool = False
    ) -> dict[ShardName, DoneRecord]:
        """Return the done-records of the shards that need not be made again.

        Files that a killed run left half-written are removed, and done-records of other shards.
        With `indexed` each shard has an index beside it.
        """
        self.remove_half_written()
        sizes = {name: info.size for name, info in self._names().items() if not info.is_folder}
        records = self.work.files(DONE_FOLDER)
        made = [
            shard
            for shard in names
            if str(shard) in sizes
            and f"{shard}.json" in records
            and (not indexed or f"{shard}{INDEX_SUFFIX}" in sizes)
        ]
        # Of a damaged one the shard is made again.
        found = {
            shard: done
            for shard, done in done_records(self.folder, made).items()
            if done.file == str(shard) and done.bytes == sizes[str(shard)]
        }
        self.work.remove_records_but({f"{shard}.json" for shard in found})
        return found

    def unfinish(self, file: str) -> None:
        """Mark a shard as not done; it stays until it is made again."""
        self._storage.delete(self._path(f"{DONE_FOLDER}/{file}.json"))

    def remove_half_written(self) -> None:
        """Remove what would have become files of ours."""
        work = self.work
        for files in (self._names(), work.files(), work.files(DONE_FOLDER)):
            for info in files.values():
                if is_half_written(info):
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
        """Publish the manifest and remove what only a running conversion needs.

        Raises OutputError where a file that the manifest lists has vanished since it was finished.
        """
        if lost := self._lost(manifest):
            raise OutputError(
                f"{counted(len(lost), 'finished file')} of {self.folder} "
                f"{agreeing(len(lost), 'is')} gone, or of another size ({_listed(lost)}): "
                "something else writes there. Give the same command again to make them again"
            )
        self.write(MANIFEST, manifest.to_json())
        self.work.remove()

    def clear(self) -> None:
        """Remove a dataset, or what an unfinished conversion left; other files stay.

        The manifest goes first: what is left of a dataset must not look like one.
        """
        self.work.refuse_links()
        ours = {
            name: info
            for name, info in self._names().items()
            if name in (MANIFEST, *BESIDE)
            or ShardName.parse(name.removesuffix(INDEX_SUFFIX))
            or is_half_written(info)
        }
        self._refuse_folders(ours)
        for name in (MANIFEST, PLAN, INPUTS, METADATA, DONE_FOLDER, ROWS_FOLDER, *ours):
            self._storage.delete(self._path(name))

    def _refuse_folders(self, found: dict[str, FileInfo]) -> None:
        """Raise OutputError where a folder has the name of one of our files."""
        folders = [name for name, info in found.items() if info.is_folder]
        if folders:
            raise OutputError(
                f"{self.folder} holds folders with names of our files ({_listed(folders)}), which "
                "no conversion has made; move them away"
            )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
