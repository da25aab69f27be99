"""Copying a set of shards from slow storage to a fast disk: whole, checked, and restartable.

While a copy is under way, `.shardio/stage.json` says of what: the files that lie there already are
taken over by the next try only if it copies the same ones. `dataset.json` comes last.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reader.files.in_threads import Progress, in_threads
from reader.opening.absent_shards import mark_staged, staged_splits
from reader.opening.find import ALL_SPLITS, Source, absent_by_name, find_shards, read_manifest
from reader.opening.open_shards import open_shards
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    MissingFileError,
    OptionError,
    OutputError,
    StorageError,
    UnusableFileError,
)
from shardio.format.manifest import Manifest
from shardio.format.naming import (
    BESIDE,
    INDEX_SUFFIX,
    LOCK,
    MANIFEST,
    RECORDS,
    STAGE,
    STAGED,
    WORK_FOLDER,
)
from shardio.grammar import agreeing, counted
from shardio.storage import FileInfo, storage_for
from shardio.storage.chooser import confined_to, local_path
from shardio.storage.copying import copy, pieces_of
from shardio.storage.folder_lock import locked
from shardio.storage.links import refuse_link
from shardio.storage.paths import folder_of, join, name_of, scheme_of
from shardio.storage.temporary import temporary_name
from shardio.storage.whole_file import digest_of

JOBS = 4
_ATTEMPT = "stage"


@dataclass(frozen=True)
class Staged:
    """Files and bytes that `stage` has copied, and files that were there already."""

    copied: int
    bytes: int
    kept: int


class Staging:
    """A copy of the set `source`, or of one of its splits, to the local folder `folder`.

    Raises MissingFileError where there are no shards, and DatasetError where they are not whole.
    """

    def __init__(self, source: Source | Sequence[Source], folder: str, split: str | None) -> None:
        if scheme_of(folder) is not None:
            raise OptionError(f"shards are staged on a disk of this machine, not on {folder}")
        self.folder = os.path.abspath(folder)
        shards = find_shards(source, split or ALL_SPLITS)
        folders = sorted({folder_of(info.path) for info in shards})
        if len(folders) > 1:
            raise OptionError(
                f"the shards are in the folders {' and '.join(folders)}; stage one after the other"
            )
        self.source = folders[0]
        if os.path.realpath(self.source) == os.path.realpath(self.folder):
            raise OptionError(f"{folder} is where the shards are")
        self.manifest: Manifest | None = read_manifest(self.source)
        if self.manifest is not None:
            left_out = open_shards(source, split or ALL_SPLITS).left_out
        else:
            left_out = tuple(absent_by_name(shards))
        if left_out:
            raise OptionError(
                f"whole splits are staged, and {counted(len(left_out), 'shard')} of them "
                f"{agreeing(len(left_out), 'is')} not named, such as {left_out[0]}"
            )
        self.files = self._with_others(shards)
        # A link that leads out is told before anything is copied, and refused once more then.
        self._from = confined_to(self.source)
        paths = [info.path for info in self.files]
        for path in [*paths, *([join(self.source, MANIFEST)] if self.manifest else [])]:
            self._from.stat(local_path(path) or path)
        self.size = sum(info.size for info in self.files)
        entries = self.manifest.shards if self.manifest else ()
        self._digests = {entry.file: entry.sha256 for entry in entries}
        if self.manifest is not None and self.manifest.records:
            self._digests[RECORDS] = self.manifest.records

    def _with_others(self, shards: list[FileInfo]) -> list[FileInfo]:
        """Add the files that belong to the shards, which come first."""
        wanted = {name_of(info.path) + INDEX_SUFFIX for info in shards} | {*BESIDE}
        others = storage_for(self.source).list(self.source)
        found = [info for info in others if name_of(info.path) in wanted and not info.is_folder]
        return shards + sorted(found, key=lambda info: info.path)

    @property
    def _what(self) -> bytes:
        """What is copied, as stage.json holds it: another set, or a changed one, differs."""
        if self.manifest is not None:
            files: object = self.manifest.fingerprint
        else:
            files = {name_of(i.path): [i.size, i.identity] for i in self.files}
        return json.dumps({"source": self.source, "files": files}, indent=1).encode()

    def run(self, progress: Progress, *, jobs: int = JOBS, limit: int | None = None) -> Staged:
        """Copy what is not there yet, `jobs` files at once; `progress` is told bytes.

        Raises OptionError where the set has more than `limit` bytes, StorageError where the disk
        has not enough space, OutputError where the folder holds something else, and
        CorruptRecordError where a shard is not what dataset.json says. What was copied until then
        stays, and the same call goes on.
        """
        if limit is not None and self.size > limit:
            raise OptionError(
                f"the set has {self.size:,} bytes, and the limit is {limit:,}; stage one split of "
                "it, or read it with open_shards(..., cache=)"
            )
        refuse_link(join(self.folder, WORK_FOLDER))
        busy = f"another process writes to {self.folder}; wait until it ends"
        with locked(join(self.folder, LOCK), busy):
            missing = self._missing()
            self._check_space(sum(info.size for info in missing))
            self._write(STAGE, self._what)
            progress(self.size - sum(info.size for info in missing))
            copied = sum(in_threads(self._copy, missing, progress, threads=jobs))
            if self.manifest is not None:
                self._mark(self.manifest)
                self._write(MANIFEST, self.manifest.to_json())
            else:
                self._write(STAGED, self._what)
            self._path_delete(STAGE)
        return Staged(len(missing), copied, len(self.files) - len(missing))

    def _missing(self) -> list[FileInfo]:
        """Return the files that are to be copied; the others were, by an earlier call."""
        ours = self._is_ours()
        missing = []
        for info in self.files:
            name = name_of(info.path)
            self._path_delete(temporary_name(name, _ATTEMPT))
            try:
                size = storage_for(self.folder).stat(join(self.folder, name)).size
            except MissingFileError:
                missing.append(info)
                continue
            if not ours:
                raise OutputError(
                    f"{self.folder} holds {name} of another set, or of one that has changed since; "
                    "name another folder, or remove it"
                )
            # Other bytes of it may be those of the same records.
            if size != info.size or (name == RECORDS and self._has_other(name)):
                missing.append(info)
        return missing

    def _has_other(self, name: str) -> bool:
        """Whether a file here is another one than dataset.json says."""
        return digest_of(join(self.folder, name)) != self._digests.get(name)

    def _is_ours(self) -> bool:
        manifest = read_manifest(self.folder, unfinished=True)
        if manifest is not None:
            if self.manifest is None or manifest.fingerprint != self.manifest.fingerprint:
                raise OutputError(
                    f"{self.folder} holds another dataset; name another folder, or remove it"
                )
            return True
        return any(self._read(name) == self._what for name in (STAGE, STAGED))

    def _mark(self, manifest: Manifest) -> None:
        """Say which splits are here if not all are, so that the others are not taken for lost."""
        splits = {entry.split for entry in manifest.shards}
        here = staged_splits(self.folder)
        if not here and read_manifest(self.folder, unfinished=True) is not None:
            here = frozenset(splits)
        files = {name_of(info.path) for info in self.files}
        here |= {entry.split for entry in manifest.shards if entry.file in files}
        if here == splits:
            self._path_delete(STAGED)
        else:
            self._write(STAGED, mark_staged(sorted(here)))

    def _check_space(self, size: int) -> None:
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise StorageError(
                f"{self.folder} has {free:,} bytes free, and {size:,} are to be copied; name a "
                "larger disk, stage one split, or read with open_shards(..., cache=)"
            )

    def _copy(self, info: FileInfo, tell: Progress) -> int:
        name = name_of(info.path)
        to = join(self.folder, name)
        with (
            self._from.open_stream(local_path(info.path) or info.path) as stream,
            storage_for(to).publish(to, attempt=_ATTEMPT) as out,
        ):
            digest = copy(pieces_of(stream), info.size, out, tell)
            if not digest:
                raise StorageError(f"{info.path} was cut while it was copied")
            self._check(info, digest)
        return info.size

    def _check(self, info: FileInfo, digest: str) -> None:
        """Compare what was copied with dataset.json or, without one, the file with itself."""
        wanted = self._digests.get(name_of(info.path))
        if wanted is not None and digest != wanted:
            raise CorruptRecordError(
                f"{info.path} is damaged: its SHA-256 is {digest}, {MANIFEST} says {wanted}; "
                "the converter's --repair makes it again"
            )
        now = storage_for(info.path).stat(info.path)
        if wanted is None and replace(now, path=info.path) != info:
            raise DatasetError(f"{info.path} was replaced while it was copied; stage it again")

    def _read(self, name: str) -> bytes | None:
        """Return a note of what is copied; None where it is not there, or longer than ours."""
        try:
            return storage_for(self.folder).read_file(join(self.folder, name), len(self._what))
        except (MissingFileError, UnusableFileError):
            return None

    def _write(self, name: str, data: bytes) -> None:
        path = join(self.folder, name)
        with storage_for(path).publish(path, attempt=_ATTEMPT) as file:
            file.write(data)

    def _path_delete(self, name: str) -> None:
        storage_for(self.folder).delete(join(self.folder, name))
