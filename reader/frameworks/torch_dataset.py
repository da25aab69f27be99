"""Batches as a `torch.utils.data.IterableDataset`. The only file that imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakSet

import numpy as np

from reader.batching.batch_form import Batch, BatchParts
from reader.batching.batches import Batches
from reader.batching.options import BatchOptions
from reader.dataset import Dataset
from reader.frameworks import calling_loader
from reader.frameworks.sent_transform import refuse_local_function
from reader.order.mixed import MixStart
from shardio.errors import MissingExtraError, OptionError

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ImportError as error:
    raise MissingExtraError(
        "to_torch needs PyTorch: it comes with shardio's extra [torch]"
    ) from error

# Processes of a DataLoader that can be told apart; far more than a machine has use for.
_MOST_WORKERS = 1024
# Iterations that are told apart: more than go on at once.
_REMEMBERED = 64


class _Passes:
    """Counts the passes over a set, in memory that the processes of DataLoaders share.

    All processes of an iteration belong to the same pass, though each begins it for itself, and
    one may be stopped before it does. An iteration is known by the seed that PyTorch gives to it,
    and by how often its processes have begun one, if they persist.
    """

    def __init__(self) -> None:
        # The number of passes begun so far; seed, turn and pass + 1 of iterations; who began them.
        self._count = torch.zeros(1, dtype=torch.int64).share_memory_()
        self._known = torch.zeros(_REMEMBERED, 3, dtype=torch.int64).share_memory_()
        self._begun = torch.zeros(_REMEMBERED, _MOST_WORKERS, dtype=torch.uint8).share_memory_()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy, by pickle or copy.deepcopy, has memory of its own, which a fork would copy again:
        # all passes of its processes would have the first order. torch's own pickling for a
        # process that it starts keeps the memory shared.
        self.__dict__.update({name: counts.share_memory_() for name, counts in state.items()})

    @property
    def has_workers(self) -> bool:
        """Whether processes of a DataLoader have begun a pass."""
        return bool(self._begun.any())

    def is_last(self, number: int) -> bool:
        """Whether pass `number` was the last one to begin."""
        return int(self._count[0]) == number + 1

    def expect(self, number: int) -> None:
        """Make pass `number` the next one."""
        self._count[0] = number

    def begin(self) -> int:
        """Begin the next pass in this process; returns its number."""
        mine = int(self._count[0])
        self._count[0] = mine + 1
        return mine

    def join(self, seed: int, turn: int, worker: int, number: int | None) -> int:
        """Begin the pass of an iteration, in one of its processes; returns its number.

        Processes that do so at once write the same: the count is read before what it counts, and
        written after it.
        """
        count = int(self._count[0])
        same = (self._known == torch.tensor([seed, turn, 0]))[:, :2].all(dim=1)
        # A caller that seeds before each pass has the same seed for all.
        open_ones = same & (self._known[:, 2] > 0) & (self._begun[:, worker] == 0)
        if bool(open_ones.any()):
            row = int((self._known[:, 2] * open_ones).argmax())
            mine = int(self._known[row, 2]) - 1
        else:
            mine = count if number is None else number
            row = count % _REMEMBERED
            if int(self._known[row, 2]) != mine + 1 or not bool(same[row]):
                self._begun[row] = 0
            self._known[row] = torch.tensor([seed, turn, mine + 1])
            self._count[0] = mine + 1
        self._begun[row, worker] = 1
        return mine


class TorchBatches(IterableDataset[Any]):  # type: ignore[misc]  # torch is not followed
    """Yields whole batches, so that a DataLoader wants `batch_size=None`; each pass is an epoch.

    A loop goes on in the midst of a pass, as over a stream of batches. Each iteration of a
    DataLoader is a whole pass, with and without processes, even if the one before was left early.

    A tensor shares the memory of the NumPy batch. The processes of a DataLoader make every batch
    once between them, each with the memory of a reader, and the order stays that of one process.

    `state_dict` and `load_state_dict` are those of a stream of batches: what was given last, in a
    loop over this object or over a DataLoader without processes. With processes, each has a
    position of its own: torchdata's StatefulDataLoader collects them, through the same methods.

    Rank and world are asked for when an iterator is made, in the process that makes it: those of a
    DataLoader's processes are told to them.
    """

    def __init__(self, shards: Dataset, options: BatchOptions, *, channels_first: bool) -> None:
        self._shards = shards
        self._options = options
        self._channels_first = channels_first
        # Shared: an iterator in another process works on a copy of this object.
        self._passes, self._shared = _Passes(), shards.counts.shared
        # In a process of a DataLoader: its seed, and how many iterations it has begun.
        self._turn = 0, 0
        self._next_pass: int | None = None
        # In a process of a DataLoader: the worker that the process is which has started it.
        self._told: tuple[int, int] | OptionError | None = None
        # Wrong options are to be seen here, not in the first batch.
        Batches(shards, options).close()
        # The pass that was begun last in this process.
        self._stream: Batches | None = None
        self._number = -1
        # Where a mix began: a state of other weights says so, for all passes that follow.
        self._mixed: MixStart | None = None
        # The pass that begins where a state is, and the state.
        self._resumed: tuple[int, dict[str, Any]] = -1, {}
        _SETS.add(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a spawned process needs: also which worker this one is."""
        refuse_local_function(self._options.transform)
        return {**vars(self), "_told": self._worker(), "_stream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._shared = self._shared or self._shards.counts.shared
        _SETS.add(self)

    def tell_fork(self) -> None:
        """Tell the process that is about to be forked which worker this one is."""
        try:
            self._told = self._worker()
        except OptionError as error:
            self._told = error

    def _worker(self) -> tuple[int, int]:
        told = None if get_worker_info() is None else self._told
        if isinstance(told, OptionError):
            raise told
        worker = told or self._options.located().share
        calling_loader.refuse_shared_twice(worker)
        return worker

    def _located(self) -> BatchOptions:
        return replace(self._options, worker=self._worker())

    def __len__(self) -> int:
        options = self._located()
        return options.steps(options.positions(self._shards)) * (options.epochs or 1)

    set_epoch = property(calling_loader.refuse_no_batch_size)  # accelerate looks for it first

    def __iter__(self) -> Iterator[Batch]:
        calling_loader.refuse_batches_of_batches(self)
        # Now, and not at the first batch, which not every rank may ask for.
        return self._begin(self._located())

    def _begin(self, options: BatchOptions) -> Batches:
        info = get_worker_info()
        number, count = (0, 1) if info is None else (info.id, info.num_workers)
        if count > _MOST_WORKERS:
            raise OptionError(f"a DataLoader may have {_MOST_WORKERS} workers here, not {count}")
        wanted, self._next_pass = self._next_pass, None
        if info is None:
            stream = self._stream
            goes_on = stream is not None and stream.goes_on and self._is_last(options)
            if stream is not None and goes_on and not calling_loader.is_read_by_loader():
                return stream
            done = self._passes.begin()
        else:
            seed, turn = info.seed - info.id, 0
            if self._turn[0] == seed:
                turn = self._turn[1] + 1
            self._turn = seed, turn
            # Another number of processes is another iteration.
            done = self._passes.join(seed, turn * _MOST_WORKERS + count, number, wanted)
        start = options.start_epoch + done * (options.epochs or 0)
        stream = Batches(
            self._shards,
            replace(options, start_epoch=start),
            every=(number, count),
            convert=partial(_tensors, channels_first=self._channels_first),
            mixed=self._mixed,
            shared=None if info is None else self._shared,
        )
        resumed, state = self._resumed
        if done == resumed:
            stream.load_state_dict(state)
        self._resumed = -1, {}
        self._stream, self._number = stream, done
        return stream

    def _is_last(self, options: BatchOptions) -> bool:
        """Whether no other pass was begun since the one of this process, by the same worker."""
        stream = self._stream
        same = stream is not None and stream.options.share == options.share
        return same and self._passes.is_last(self._number)

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is; in a process of a DataLoader, where its part of it is."""
        if get_worker_info() is None and self._passes.has_workers:
            raise OptionError(
                "the processes of a DataLoader know where they are, and this one does not: use "
                "torchdata's StatefulDataLoader, and its state_dict"
            )
        if self._resumed[0] >= 0:
            return dict(self._resumed[1])
        if self._stream is None:
            return dict(Batches(self._shards, self._located(), mixed=self._mixed).state_dict())
        return dict(self._stream.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the next pass where the stream of `state` was, and later ones in its order.

        Raises DatasetError for a state of another set of shards, OptionError for what is no state.
        """
        options = self._located()
        epoch = state.get("epoch") if isinstance(state, Mapping) else None
        if not isinstance(epoch, int) or epoch < options.start_epoch:
            raise OptionError(f"this is no state of a stream from epoch {options.start_epoch} on")
        info = get_worker_info()
        every = (0, 1) if info is None else (info.id, info.num_workers)
        stream = Batches(self._shards, options, every=every)
        stream.load_state_dict(state)
        # Without an end there is one pass only.
        done = (stream.place.first - options.start_epoch) // (options.epochs or 1)
        self._resumed, self._stream = (done, dict(stream.state_dict())), None
        self._mixed = stream.mixed
        if info is None:
            self._passes.expect(done)
        else:
            self._next_pass = done
        self._options = replace(stream.options, worker=self._options.worker)


def _tensors(parts: BatchParts, *, channels_first: bool) -> BatchParts:
    found = parts.map(torch.from_numpy, _tensor)
    if not channels_first:
        return found
    if found.images.ndim != 4:
        shape = found.images.shape
        raise OptionError(f"channels_first is for images, not for x of shape {(*shape,)}")
    return found._replace(images=found.images.permute(0, 3, 1, 2))


def _tensor(array: Any) -> Any:
    # The losses of torch want int64 classes.
    return torch.from_numpy(array.astype(np.int64) if array.dtype == np.int32 else array)


# What is alive: a process of a DataLoader that is forked must not ask for itself.
_SETS: WeakSet[TorchBatches] = WeakSet()


def _tell_fork() -> None:
    for batches in list(_SETS):
        batches.tell_fork()


os.register_at_fork(before=_tell_fork)
