"""Loaders that read a set, found among the callers. Nothing is imported here.

A DataLoader of PyTorch asks a set for an iterator as any loop does, and its users expect a whole
pass of it. It tells no set whether it is going to put batches of the items together, which it does
unless it has `batch_size=None`, and its own default is 1. A loader of Hugging Face accelerate
shares the batches of a set among processes itself: what a process reads of a set that is shared
already would be shared again, and the rest of the records never seen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from shardio.errors import OptionError

# The module by which a DataLoader reads its set.
_FETCHER = "torch.utils.data._utils.fetch"
_ACCELERATE = "accelerate.data_loader"
# A SkipDataLoader reads one of these, or a loader that shares nothing.
_BY_ITEM = "IterableDatasetShard"
_SHARE = ("DataLoaderDispatcher", "DataLoaderShard", _BY_ITEM)
# What to write where each process reads everything and keeps some items.
_ITEMS = (
    "accelerate with dispatch_batches=False shares the items of a loader among processes, and an "
    "item of to_torch is a batch: write DataLoader(shards.to_torch(64, worker=(0, 1)), "
    "batch_size=1, drop_last=True, collate_fn=operator.itemgetter(0)), or do not prepare the loader"
)


def is_read_by_loader() -> bool:
    """Return whether a DataLoader asks, in the process that it reads in."""
    return any(frame.f_globals.get("__name__") == _FETCHER for frame in callers())


def refuse_batches_of_batches(batches: object) -> None:
    """Raise OptionError where a DataLoader would put several of these batches together.

    With a `collate_fn` of the caller's own, the caller knows.
    """
    for frame in callers():
        fetcher = frame.f_locals.get("self")
        if frame.f_globals.get("__name__") != _FETCHER or fetcher is None:
            continue
        collate = getattr(fetcher, "collate_fn", None)
        joins = getattr(fetcher, "auto_collation", False)
        is_default = getattr(collate, "__name__", "") == "default_collate"
        if not joins or not is_default:
            continue
        dataset = getattr(fetcher, "dataset", None)
        if getattr(dataset, "dataset", None) is batches:
            raise OptionError(_ITEMS)
        if dataset is batches:
            raise OptionError(
                "to_torch gives whole batches, and this DataLoader would stack them, to x of shape "
                "(n, batch, ...): write DataLoader(shards.to_torch(batch_size=64), "
                "batch_size=None); without batch_size=None a DataLoader takes 1"
            )


def refuse_no_batch_size(batches: object) -> NoReturn:
    """Raise OptionError where accelerate shares items by a batch size that the loader lacks.

    For all others it is an attribute that is not there.
    """
    for frame in callers():
        loader = frame.f_locals.get("self")
        is_asking = frame.f_globals.get("__name__") == _ACCELERATE
        if is_asking and type(loader).__name__ == _BY_ITEM:
            if getattr(loader, "batch_size", 1) is None:
                raise OptionError(_ITEMS)
            break
    raise AttributeError("each pass is the next epoch, without a set_epoch")


def refuse_shared_twice(worker: tuple[int, int]) -> None:
    """Raise OptionError where a loader of accelerate reads what a single worker gets."""
    if worker[1] > 1 and _is_shared():
        raise OptionError(
            f"accelerate shares the batches of a loader that it has prepared, and this set is "
            f"shared already, as worker {worker}: give to_torch worker=(0, 1), or do not prepare "
            "the loader"
        )


def _is_shared() -> bool:
    """Return whether a loader of accelerate that shares batches asks."""
    return any(
        # It changes the class of its loaders, and keeps the name.
        frame.f_globals.get("__name__") == _ACCELERATE
        and type(frame.f_locals.get("self")).__name__ in _SHARE
        for frame in callers()
    )


def callers() -> Iterator[FrameType]:
    """Yield the frames of all callers, the nearest first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back
