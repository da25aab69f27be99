"""Batches as a `torch.utils.data.IterableDataset`. The only file that imports torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from reader.batches import Batches
from reader.options import BatchOptions
from shardio.errors import MissingExtraError, OptionError

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise MissingExtraError(
        "to_torch needs PyTorch: it comes with shardio's extra [torch]"
    ) from error

if TYPE_CHECKING:
    from reader.shardset import ShardSet

# Processes of a DataLoader that can be told apart; far more than a machine has use for.
_MOST_WORKERS = 1024


class TorchBatches(IterableDataset[Any]):  # type: ignore[misc]  # torch is not followed
    """Yields whole batches, so that a DataLoader wants `batch_size=None`; each pass is an epoch.

    A tensor shares the memory of the NumPy batch. The processes of a DataLoader make every batch
    once between them, each with the memory of a reader, and the order stays that of one process.
    """

    def __init__(self, shards: ShardSet, options: BatchOptions, *, channels_first: bool) -> None:
        self._shards = shards
        self._options = options
        self._channels_first = channels_first
        # One count for this process and for each of a DataLoader's, in memory that they share: an
        # iterator in another process works on a copy of this object.
        self._passes = torch.zeros(1 + _MOST_WORKERS, dtype=torch.int64).share_memory_()
        # Wrong options are to be seen here, not in the first batch.
        if options.steps(len(shards)) == 0:
            shards.batches(**vars(options))

    def __len__(self) -> int:
        return self._options.steps(len(self._shards)) * (self._options.epochs or 1)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        info = get_worker_info()
        number, count = (0, 1) if info is None else (info.id, info.num_workers)
        if count > _MOST_WORKERS:
            raise OptionError(f"a DataLoader may have {_MOST_WORKERS} workers here, not {count}")
        place = 0 if info is None else 1 + number
        done = int(self._passes[place])
        self._passes[place] += 1
        options = self._options
        start = options.start_epoch + done * (options.epochs or 0)
        stream = Batches(self._shards, replace(options, start_epoch=start), every=(number, count))
        with stream:
            for x, labels, *rows in stream:
                yield self._tensors(x, labels, rows)

    def _tensors(self, x: Any, labels: list[Any], rows: list[Any]) -> tuple[Any, ...]:
        images = torch.from_numpy(x)
        if self._channels_first:
            images = images.permute(0, 3, 1, 2)
        # The losses of torch want int64 classes.
        heads = [torch.from_numpy(y.astype(np.int64) if y.dtype == np.int32 else y) for y in labels]
        return (images, heads, *map(torch.from_numpy, rows))
