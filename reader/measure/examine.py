"""Measure a set, stage by stage: what `doctor` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from reader.measure.adaptors import (
    KERAS,
    NUMPY,
    TF_DATA,
    begin_face,
    counted,
    faces_apart,
    installed,
)
from reader.measure.budget import Budget, repeated
from reader.measure.findings import ORDERS, Demand, Findings, ModelPass
from reader.measure.model import begin_model
from reader.measure.storage import at_random, forget, in_sequence, resident_share
from reader.shardset import ShardSet
from shardio.measure.apart import Apart
from shardio.measure.measured import Measured, measured
from shardio.measure.others import Others

# A part of the set is looked at: what storage gives in a few seconds, and no more than this.
_SAMPLE_BYTES = 256 << 20
_SAMPLE_SECONDS = 3.0
_SECONDS = 1.0
_COLD_SECONDS = 1.5
# Of one of several passes.
_PASS_SECONDS = 0.6
# All of it, and what is left for a second look at the model.
_BUDGET, _AGAIN = 45.0, 15.0
_HOT_BYTES = 64 << 20
# Reads at once: those of the reader itself, of blocks and of records.
_BLOCKS, _RECORDS = 4, 16
# A file system in memory forgets nothing.
_FORGOTTEN = 0.5

Told = Callable[[str], object]


@dataclass(frozen=True)
class Wanted:
    """What is examined: batches of this size and dtype, for this step or model."""

    batch_size: int
    dtype: str
    step_seconds: float | None = None
    model: tuple[str, str] | None = None


def examine(shards: ShardSet, wanted: Wanted, told: Told, *, seconds: float = _BUDGET) -> Findings:
    """Measure everything; `told` is called with what is measured next.

    It takes little more than `seconds`, besides making the model, and leaves out what there is no
    time for; a model whose step takes seconds takes longer. Raises the ShardioError of a damaged
    record or of a model that fails.
    """
    stored = len(shards) * shards.kind.record_bytes
    found = Findings(
        order="exact" if shards.is_local else "window",
        dtype=wanted.dtype,
        batch_size=wanted.batch_size,
        encoded=shards.kind.example.encoded,
        ours=shards.manifest is not None,
        is_local=shards.is_local,
        fits=stored < _available(),
    )
    # What is in the stack has ended before others are told apart from it.
    with Others() as others, ExitStack() as stack:
        model: Apart[ModelPass] | None = None
        if wanted.model is not None:
            told("nothing yet: the model is made")
            options = {"dtype": wanted.dtype}
            model = Apart(begin_model, shards, *wanted.model, wanted.batch_size, options)
            stack.enter_context(model).ready()
        _examine(shards, found, wanted, model, Budget(seconds), told)
    found.others = others.share
    return found


def _examine(
    shards: ShardSet,
    found: Findings,
    wanted: Wanted,
    model: Apart[ModelPass] | None,
    budget: Budget,
    told: Told,
) -> None:
    told("storage")
    sample = _storage(shards, found, wanted, budget)
    told("decoding and orders")
    if shards.is_local and budget.allows("decoding"):
        found.decoding = _decoding(sample, budget)
    runs = {order: _warm(sample, wanted, order, wanted.dtype, budget) for order in _orders(found)}
    found.warm, found.unsteady = repeated(runs, budget, found.cold)
    if wanted.dtype != shards.kind.image_dtype and budget.allows(f"{found.order}, uint8"):
        bare = {"uint8": _warm(sample, wanted, found.order, "uint8", budget)}
        found.bare = repeated(bare, budget)[0]["uint8"]
    if model is not None:
        told("the model")
        found.model = _model(model, sample, budget)
        found.demand = Demand(found.model.alone.rate, "the model")
    elif wanted.step_seconds is not None:
        rate = wanted.batch_size / wanted.step_seconds
        found.demand = Demand(rate, f"a step of {wanted.step_seconds * 1e3:g} ms")
    told("adaptors")
    _adaptors(sample, found, wanted, budget)
    found.left_out = budget.left_out


def _orders(found: Findings) -> list[str]:
    """Return the orders, the usual one first: it is measured whatever else is left out."""
    return sorted(ORDERS, key=lambda order: order != found.order)


def _storage(shards: ShardSet, found: Findings, wanted: Wanted, budget: Budget) -> ShardSet:
    """Measure storage, and return the part of the set that was read meanwhile."""
    paths = [shard.path for shard in shards.shards if shard.records]
    if found.is_local:
        forget(paths)
        if resident_share(paths) > _FORGOTTEN:
            found.why_not = "the kernel keeps the files in memory: cold reads cannot be had"
    else:
        found.why_not = "a server's own cache cannot be emptied: reads are as it answers them"
    size = shards.kind.record_bytes
    read, sequence = in_sequence(paths, _BLOCKS, seconds=_SAMPLE_SECONDS, most=_SAMPLE_BYTES)
    least = min(len(shards), 4 * wanted.batch_size)
    records = min(len(shards), max(-(-read // size), least))
    found.sampled = records
    sample: ShardSet = shards if records == len(shards) else shards[:records]
    temperature = "" if not found.is_local else ", warm" if found.why_not else ", cold"
    found.storage[f"in sequence{temperature}"] = _images(sequence, size)
    if found.why_not and found.is_local:
        return sample  # nothing is waited for
    if found.is_local:
        forget(paths)
    _, chance = at_random(paths, size, _RECORDS, most=read, seconds=budget.seconds(_SECONDS))
    found.storage[f"at random{temperature}"] = _images(chance, size)
    if found.is_local:
        for order in _orders(found):
            if order == found.order or budget.allows(f"{order}, cold"):
                forget(paths)
                batches = _batches(sample, wanted, order, wanted.dtype)
                found.cold[order] = measured(batches, budget.seconds(_COLD_SECONDS))
        # Warm again.
        in_sequence(paths, _BLOCKS, seconds=budget.seconds(_SAMPLE_SECONDS), most=read)
        _, warm = in_sequence(paths, _BLOCKS, seconds=budget.seconds(_SECONDS), most=read)
        found.storage["in sequence, warm"] = _images(warm, size)
    return sample


def _images(read: Measured, size: int) -> Measured:
    """Turn bytes that were read into records."""
    return Measured(max(1, read.images // size), read.seconds, read.cpu)


def _batches(shards: ShardSet, wanted: Wanted, order: Any, dtype: Any) -> Iterator[int]:
    """Read an epoch with files of its own: what others have mapped cannot be forgotten."""
    with replace(shards).batches(wanted.batch_size, shuffle=order, dtype=dtype) as stream:
        yield from counted(stream)


def _warm(
    shards: ShardSet, wanted: Wanted, order: str, dtype: str, budget: Budget
) -> Callable[[], Measured]:
    options = {"shuffle": order, "dtype": dtype}
    run = begin_face(replace(shards), NUMPY, wanted.batch_size, options)
    return lambda: run(budget.seconds(_PASS_SECONDS))


def _decoding(shards: ShardSet, budget: Budget) -> Measured:
    """Measure records to pixels, again and again the same, so that nothing is waited for."""
    count = max(1, min(len(shards), _HOT_BYTES // shards.kind.record_bytes, 1024))
    ids = shards.chosen.ids(np.arange(count))
    images = np.empty((count, shards.layout.image_bytes), dtype=shards.kind.image_dtype)
    source = shards.source(verify=True)

    def rounds() -> Iterator[int]:
        while True:
            source.fetch(ids, images)
            yield count

    try:
        return measured(rounds(), budget.seconds(_SECONDS), settle=0.01)
    finally:
        source.close()


def _adaptors(shards: ShardSet, found: Findings, wanted: Wanted, budget: Budget) -> None:
    faces, options = installed(), {"dtype": wanted.dtype, "shuffle": found.order}
    # Most of the time goes into imports: Keras and tf.data have theirs together.
    heavy = [face for face in (TF_DATA, KERAS) if face in faces]
    light = [face for face in faces if face not in heavy]
    with ExitStack() as stack:
        begun = {
            each: stack.enter_context(faces_apart(shards, each, wanted.batch_size, options))
            for each in (tuple(light), tuple(heavy))
            if each
        }
        runs: dict[str, Callable[[], Measured]] = {}
        for each, process in begun.items():  # imports go on beside each other
            if not process.ready(budget.left):
                budget.left_out.extend(each)
                continue
            for face in each:
                runs[face] = partial(_pass, process, face, budget)
        found.adaptors, unsteady = repeated(runs, budget)
    found.unsteady += unsteady


def _pass(process: Apart[Measured], face: str, budget: Budget) -> Measured:
    return process.run(face, budget.seconds(_PASS_SECONDS))


def _model(process: Apart[ModelPass], shards: ShardSet, budget: Budget) -> ModelPass:
    """Measure in turn, so that what else the machine does meets all alike."""
    first = process.run(shards, budget.seconds(_SECONDS))
    again = budget.left > _AGAIN
    return first.plus(process.run(shards, budget.seconds(_SECONDS))) if again else first


def _available() -> int:
    """Return the bytes of memory that are free or held by the page cache."""
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0
