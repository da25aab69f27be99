"""Batches as a `torch.utils.data.IterableDataset`. The only file that imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

    `state_dict` and `load_state_dict` are those of a stream of batches: what was given last, in a
    loop over this object or over a DataLoader without processes. With processes, each has a
    position of its own: torchdata's StatefulDataLoader collects them, through the same methods.
    """

    def __init__(self, shards: ShardSet, options: BatchOptions, *, channels_first: bool) -> None:
        self._shards = shards
        self._options = options
        self._channels_first = channels_first
        # One count for this process and for each of a DataLoader's, in memory that they share: an
        # iterator in another process works on a copy of this object.
        self._passes = torch.zeros(1 + _MOST_WORKERS, dtype=torch.int64).share_memory_()
        # Wrong options are to be seen here, not in the first batch.
        self._state = Batches(shards, options).state_dict()
        self._resumes = False

    def __len__(self) -> int:
        return self._options.steps(len(self._shards)) * (self._options.epochs or 1)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        info = get_worker_info()
        number, count = (0, 1) if info is None else (info.id, info.num_workers)
        if count > _MOST_WORKERS:
            raise OptionError(f"a DataLoader may have {_MOST_WORKERS} workers here, not {count}")
        place = 0 if info is None else 1 + number
        options, epochs = self._options, self._options.epochs or 0
        done = int(self._passes[place])
        self._passes[place] += 1
        start = options.start_epoch + done * epochs
        stream = Batches(self._shards, replace(options, start_epoch=start), every=(number, count))
        with stream:
            if self._resumes:
                self._resumes = False
                stream.load_state_dict(self._state)
            for x, labels, *rows in stream:
                self._state = stream.state_dict()
                yield self._tensors(x, labels, rows)
            self._state = {**stream.state_dict(), "epoch": start + epochs, "samples": 0}

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is; in a process of a DataLoader, where its part of it is."""
        if get_worker_info() is None and bool(self._passes[1:].any()):
            raise OptionError(
                "the processes of a DataLoader know where they are, and this one does not: use "
                "torchdata's StatefulDataLoader, and its state_dict"
            )
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the next pass go on where the stream of `state` was, and later ones in its order.

        Raises DatasetError for a state of another set of shards, OptionError for what is no state.
        """
        options, info = self._options, get_worker_info()
        epoch = state.get("epoch")
        if not isinstance(epoch, int) or epoch < options.start_epoch:
            raise OptionError(f"this is no state of a stream from epoch {options.start_epoch} on")
        # Without an end there is one pass only.
        done = (epoch - options.start_epoch) // options.epochs if options.epochs else 0
        start = options.start_epoch + done * (options.epochs or 0)
        stream = Batches(self._shards, replace(options, start_epoch=start))
        stream.load_state_dict(state)
        self._passes[0 if info is None else 1 + info.id] = done
        self._state, self._resumes = dict(state), True
        self._options = replace(stream.options, start_epoch=options.start_epoch)

    def _tensors(self, x: Any, labels: list[Any], rows: list[Any]) -> tuple[Any, ...]:
        images = torch.from_numpy(x)
        if self._channels_first:
            images = images.permute(0, 3, 1, 2)
        # The losses of torch want int64 classes.
        heads = [torch.from_numpy(y.astype(np.int64) if y.dtype == np.int32 else y) for y in labels]
        return (images, heads, *map(torch.from_numpy, rows))
