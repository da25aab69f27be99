"""Measure a set, stage by stage: what `doctor` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from reader.foreign.layout import ForeignLayout
from reader.measure.adaptors import begin_face, counted, face_apart, installed
from reader.measure.findings import Demand, Findings, ModelPass
from reader.measure.model import begin_model
from reader.measure.storage import at_random, forget, in_sequence, resident_share
from reader.shardset import ShardSet
from shardio.measure.apart import Apart
from shardio.measure.measured import Measured, measured

# A part of the set is looked at: what storage gives in a few seconds, and no more than this.
_SAMPLE_BYTES = 256 << 20
_SAMPLE_SECONDS = 3.0
_SECONDS = 1.0
_COLD_SECONDS = 1.5
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


def examine(shards: ShardSet, wanted: Wanted, told: Told) -> Findings:
    """Measure everything; `told` is called with what is measured next.

    Raises the ShardioError of a damaged record or of a model that fails.
    """
    layout = shards.layout
    stored = len(shards) * shards.kind.record_bytes
    found = Findings(
        order="exact" if shards.is_local else "window",
        dtype=wanted.dtype,
        batch_size=wanted.batch_size,
        encoded=isinstance(layout, ForeignLayout) and layout.encoded,
        ours=shards.manifest is not None,
        is_local=shards.is_local,
        fits=stored < _available(),
    )
    with ExitStack() as stack:
        model: Apart[ModelPass] | None = None
        if wanted.model is not None:
            told("nothing yet: the model is made")
            options = {"dtype": wanted.dtype}
            model = Apart(begin_model, shards, *wanted.model, wanted.batch_size, options)
            stack.enter_context(model).ready()
        _examine(shards, found, wanted, model, told)
    return found


def _examine(
    shards: ShardSet,
    found: Findings,
    wanted: Wanted,
    model: Apart[ModelPass] | None,
    told: Told,
) -> None:
    told("storage")
    sample = _storage(shards, found, wanted)
    told("decoding and orders")
    if shards.is_local:
        found.decoding = _decoding(sample)
    for order in ("exact", "window", "none"):
        found.warm[order] = _warm(sample, wanted, order, wanted.dtype)
    if wanted.dtype != "uint8":
        found.bare = _warm(sample, wanted, found.order, "uint8")
    told("adaptors")
    _adaptors(sample, found, wanted)
    if model is not None:
        told("the model")
        found.model = _model(model, sample)
        found.demand = Demand(found.model.alone.rate, "the model")
    elif wanted.step_seconds is not None:
        rate = wanted.batch_size / wanted.step_seconds
        found.demand = Demand(rate, f"a step of {wanted.step_seconds * 1e3:g} ms")


def _storage(shards: ShardSet, found: Findings, wanted: Wanted) -> ShardSet:
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
    _, chance = at_random(paths, size, _RECORDS, most=read, seconds=_SECONDS)
    found.storage[f"at random{temperature}"] = _images(chance, size)
    if found.is_local:
        for order in ("exact", "window", "none"):
            forget(paths)
            batches = _batches(sample, wanted, order, wanted.dtype)
            found.cold[order] = measured(batches, _COLD_SECONDS)
        in_sequence(paths, _BLOCKS, seconds=_SAMPLE_SECONDS, most=read)  # warm again
        _, warm = in_sequence(paths, _BLOCKS, seconds=_SECONDS, most=read)
        found.storage["in sequence, warm"] = _images(warm, size)
    return sample


def _images(read: Measured, size: int) -> Measured:
    """Turn bytes that were read into records."""
    return Measured(max(1, read.images // size), read.seconds, read.cpu)


def _batches(shards: ShardSet, wanted: Wanted, order: Any, dtype: Any) -> Iterator[int]:
    """Read an epoch with files of its own: what others have mapped cannot be forgotten."""
    with replace(shards).batches(wanted.batch_size, shuffle=order, dtype=dtype) as stream:
        yield from counted(stream)


def _warm(shards: ShardSet, wanted: Wanted, order: str, dtype: str) -> Measured:
    options = {"shuffle": order, "dtype": dtype}
    return begin_face(replace(shards), "NumPy", wanted.batch_size, options)(_SECONDS)


def _decoding(shards: ShardSet) -> Measured:
    """Measure records to pixels, again and again the same, so that nothing is waited for."""
    count = max(1, min(len(shards), _HOT_BYTES // shards.kind.record_bytes, 1024))
    ids = shards.chosen.ids(np.arange(count))
    images = np.empty((count, shards.layout.image_bytes), dtype=np.uint8)
    source = shards.source(verify=True)

    def rounds() -> Iterator[int]:
        while True:
            source.fetch(ids, images)
            yield count

    try:
        return measured(rounds(), _SECONDS, settle=0.01)
    finally:
        source.close()


def _adaptors(shards: ShardSet, found: Findings, wanted: Wanted) -> None:
    faces, options = installed(), {"dtype": wanted.dtype, "shuffle": found.order}
    with ExitStack() as stack:
        processes = {
            face: stack.enter_context(face_apart(shards, face, wanted.batch_size, options))
            for face in faces
        }
        for process in processes.values():  # imports go on beside each other
            process.ready()
        for face, process in processes.items():
            found.adaptors[face] = process.run(_SECONDS)


def _model(process: Apart[ModelPass], shards: ShardSet) -> ModelPass:
    """Measure in turn, so that what else the machine does meets all alike."""
    return process.run(shards, _SECONDS).plus(process.run(shards, _SECONDS))


def _available() -> int:
    """Return the bytes of memory that are free or held by the page cache."""
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 0
