"""The images that an earlier run has rejected: which they are, and which can be used by now."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Mapping, Sequence

import numpy as np

from converter.shards.output import OutputFolder
from converter.shards.plan import ShardPlan
from converter.shards.shard import box_of
from converter.sources.image_files import ImageFiles
from converter.sources.image_finder import ImageFinder
from converter.table.paths.locations import NO_FILE
from converter.table.table import Table
from shardio.errors import MissingFileError, OutputError, StorageError, UnusableFileError
from shardio.format.done import DoneRecord, Reject, unusable
from shardio.format.manifest import Manifest
from shardio.format.naming import REJECTS
from shardio.format.plan import ConversionPlan
from shardio.grammar import counted
from shardio.imaging.bad_image import BadImageError

# Reasons that depend on the machine and the user.
_UNSEEN = (NO_FILE, *(os.strerror(number) for number in (errno.EACCES, errno.EPERM)))


def rejects_of(
    folder: OutputFolder, manifest: Manifest, shards: ShardPlan
) -> dict[str, list[Reject]]:
    """Return the rejects of each shard of a finished set, in the order of its rows.

    Raises OutputError where rejects.csv does not list what the manifest counts.
    """
    try:
        text = (folder.read(REJECTS) or b"").decode()
        rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
        rejects = {int(row): Reject(int(row), path, reason) for row, path, reason in rows}
    except (ValueError, csv.Error):
        rejects = {}
    if len(rejects) != manifest.rows_rejected:
        raise OutputError(
            f"{folder.folder}/{REJECTS} does not list the "
            f"{counted(manifest.rows_rejected, 'row')} that "
            "dataset.json counts; --overwrite makes the set again"
        )
    if not rejects:
        return {}
    return {
        str(name): [rejects[row] for row in shards.rows_of(name).tolist() if row in rejects]
        for name in shards.names()
    }


class RejectedImages:
    """Opens rejected images again; `looked_at` counts them, `usable` those that can be used now."""

    def __init__(self, plan: ConversionPlan, table: Table) -> None:
        self.looked_at = 0
        self.usable = 0
        self._plan = plan
        self._table = table

    def shards_to_make(self, rejects: Mapping[str, Sequence[Reject]]) -> set[str]:
        """Return the names of the shards, of those in `rejects`, that lack a usable image.

        Of each shard, images are opened up to the first one that can be used.
        """
        if self._table.images is not None:
            return set()  # they are of the table, which is the same
        return {name for name, found in rejects.items() if self._is_one_usable(found)}

    def check_unseen(self, done: DoneRecord) -> None:
        """Raise StorageError where another machine found no file for an image, and this one does.

        Nor is a file rejected that only the user of this process may read.
        """
        unseen = [reject for reject in done.rejects if reject.reason.startswith(_UNSEEN)]
        if self._table.images is None and (found := self._usable_one(unseen)) is not None:
            raise StorageError(
                f"{done.file}: row {found.row}, {found.path}: {found.reason}, says a machine of "
                "the cluster; here it can be read. Images must be on storage that all machines "
                "reach, and readable for the user that they work as"
            )

    def _is_one_usable(self, rejects: Sequence[Reject]) -> bool:
        return self._usable_one(rejects) is not None

    def _usable_one(self, rejects: Sequence[Reject]) -> Reject | None:
        from converter.imaging.transformer import ImageTransformer

        rejects = unusable(rejects)
        if not rejects:
            return None
        transformer = ImageTransformer(
            self._plan.transform,
            strict=self._plan.strict_decode,
            max_pixels=self._plan.max_pixels,
            truncated=self._plan.truncated,
        )
        locations = self._table.locations(np.array([reject.row for reject in rejects], np.int64))
        finder = None if self._table.has_images else ImageFinder.of(self._table)
        with ImageFiles(locations, finder=finder) as files:
            for reject, read in zip(rejects, files, strict=True):
                self.looked_at += 1
                try:
                    transformer.pixels(read(), box_of(self._table.boxes, reject.row))
                except (MissingFileError, UnusableFileError, BadImageError):
                    continue
                self.usable += 1
                return reject
        return None
