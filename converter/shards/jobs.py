"""The jobs of a conversion, each made when an engine asks for it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np

from converter.options import ConvertOptions
from converter.shards.plan import ALL, ShardPlan
from converter.shards.published_rows import SLICE, PublishedJobs, publish_rows
from converter.shards.shard import ShardJob
from converter.sources.image_finder import ImageFinder
from converter.table.image_column import ImageCopy
from converter.table.published_images import PublishedImages
from converter.table.table import Table
from shardio.errors import ShardioError
from shardio.format.naming import ROWS_FOLDER, ShardName
from shardio.storage import storage_for
from shardio.storage.owner import Owner
from shardio.storage.paths import is_local, join


@dataclass(frozen=True)
class ConversionJobs:
    """The jobs of the shards called `names`."""

    folder: str
    table: Table
    options: ConvertOptions
    plan: ShardPlan
    names: Sequence[ShardName]
    images: ImageCopy | PublishedImages | None = None

    @contextmanager
    def ready(self, *, elsewhere: bool = False) -> Iterator[ConversionJobs]:
        """Copy the images that are a column of the table; they are gone when the block ends.

        Where the jobs run `elsewhere` they are copied into the output folder.
        """
        if self.table.images is None or not self.names:
            yield self
            return
        wanted = np.zeros(len(self.table), dtype=np.bool_)
        for name in self.names:
            wanted[self.plan.rows_of(name)] = True
        copy: ImageCopy | PublishedImages
        if elsewhere:
            folder = join(self.folder, ROWS_FOLDER, secrets.token_hex(6))
            copy = PublishedImages(self.table.images, wanted, folder)
        else:
            copy = ImageCopy(
                self.table.images, wanted, self.folder if is_local(self.folder) else None
            )
        with copy as images:
            yield replace(self, images=images)

    @contextmanager
    def published(self) -> Iterator[PublishedJobs]:
        """Publish the rows of all jobs for other machines; they are gone when the block ends."""
        common = replace(self.job(self.names[0], slice(0)), contested=True)
        folder, jobs = publish_rows(self.folder, common, self.names, self._slices)
        owner = Owner()
        try:
            yield jobs
        finally:
            with suppress(ShardioError):  # it goes with the work folder
                owner.check(folder)
                storage_for(folder).delete(folder)

    def _slices(self, name: ShardName) -> Iterator[ShardJob]:
        for start in range(0, self.plan.count_of(name), SLICE):
            yield self.job(name, slice(start, start + SLICE))

    def job(self, name: ShardName, part: slice = ALL) -> ShardJob:
        """Make the job of a shard, or of a part of its rows."""
        rows = self.plan.rows_of(name, part)
        paths = self.table.paths(rows)
        return ShardJob(
            folder=self.folder,
            name=name,
            transform=self.options.transform,
            heads=self.table.heads,
            kinds=self.table.kinds,
            rows=rows,
            labels=self.table.labels[rows],
            paths=paths,
            locations=(
                self.table.locations(rows)
                if self.images is None
                else self.table.marked(rows, self.images.locations(rows))
            ),
            boxes=None if self.table.boxes is None else self.table.boxes[rows],
            finder=None if self.table.has_images else ImageFinder.of(self.table),
            strict_decode=self.options.strict_decode,
            max_pixels=self.options.max_pixels,
            truncated=self.options.truncated,
            encoding=self.options.encoding,
        )
