"""What is known of all records of a set, so that they can be found and sorted.

Labels come from records.parquet or one pass over the shards, and brightness from one pass that is
made when it is asked for; both are arrays that are kept and mapped, as those of `where` are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reader.browse.sound_records import SoundRecords
from reader.browse.task import Task
from reader.look.pixel_facts import brightness_and_contrast, luminance
from reader.look.records import Records
from reader.sets.kept_array import KeptArray, keep_array
from reader.shardset import ShardSet
from shardio.errors import ShardioError
from shardio.format.layout import ROW


class Columns:
    """The labels and rows of all records by name, and their brightness, each when it is there."""

    def __init__(self, shards: ShardSet) -> None:
        self._shards = shards
        names = [ROW, *(label.name for label in shards.labels)]
        self.labels: Task[dict[str, NDArray[Any]]] = Task(
            "the labels of all records are being read, once", len(names), self._labels
        )
        self.brightness: Task[NDArray[np.float32]] = Task(
            "the brightness of all records is being measured, once", len(shards), self._brightness
        )

    def stop(self) -> None:
        """End what is being done."""
        self.labels.stop()
        self.brightness.stop()

    def _labels(self, progress: Callable[[int], object]) -> dict[str, NDArray[Any]]:
        found = {}
        for name in (ROW, *(label.name for label in self._shards.labels)):
            found[name] = self._shards.labels_of(name)
            progress(1)
        return found

    def _brightness(self, progress: Callable[[int], object]) -> NDArray[np.float32]:
        shards = self._shards

        def fill(array: NDArray[Any]) -> None:
            records = Records(shards)
            try:
                for start in range(0, len(shards), records.piece):
                    ids = np.arange(start, min(start + records.piece, len(shards)))
                    try:
                        images, _ = records.read(ids)
                        array[ids] = brightness_and_contrast(luminance(images))[0]
                    except ShardioError:
                        array[ids] = _of_each(shards, ids)
                    progress(len(ids))
            finally:
                records.close()

        made_of = f"brightness {shards.fingerprint} {shards.version}"
        kept: KeptArray = keep_array(made_of, (len(shards),), np.float32, fill)
        return kept.array


def _of_each(shards: ShardSet, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the brightness of records of which some are damaged: those have none."""
    found = np.full(len(ids), np.nan, dtype=np.float32)
    records = SoundRecords(shards)
    try:
        for at, read in enumerate(records.read(ids)):
            if not isinstance(read, ShardioError):
                found[at] = brightness_and_contrast(luminance(read[0][None]))[0][0]
    finally:
        records.close()
    return found
