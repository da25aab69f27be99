"""A first look at the images of a table: what they are, before any shard is begun.

It decides the size of the records where no option does, and `--dry-run` shows it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.imaging.image_counts import ImageCounts
from converter.options import ConvertOptions
from converter.shards.shard import box_of, reject_of
from converter.sources.image_files import ImageFiles
from converter.sources.image_finder import ImageFinder
from converter.sources.storage_trial import try_roots
from converter.table.image_column import ImageCopy
from converter.table.scratch import slices
from converter.table.table import Table
from shardio.errors import (
    MissingFileError,
    RejectsError,
    SizesError,
    StorageError,
    UnusableFileError,
)
from shardio.format.done import Reject
from shardio.format.transform import APPLY, NO_RESAMPLING, Transform
from shardio.grammar import agreeing, counted
from shardio.imaging.bad_image import BadImageError

_IMAGES = 200
_SHOWN = 5
UNUSABLE = (MissingFileError, UnusableFileError, BadImageError)


@dataclass
class FirstLook:
    """What the images of some rows are; those that cannot be opened are passed over."""

    looked_at: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    turned: int = 0
    # Why images cannot be opened or, after a trial, used.
    rejects: list[Reject] = field(default_factory=list)
    # What the transformer has counted in a trial.
    counts: ImageCounts | None = None

    @property
    def sources(self) -> str:
        """The sizes in a few words, the commonest first."""
        if not self.sizes:
            return ""
        (first, _), *others = self.sizes.most_common()
        more = f" and {counted(len(others), 'other size')}" if others else ""
        return _written(first) + more

    def to_json(self) -> dict[str, Any]:
        """Return the look for programs."""
        return {
            "looked_at": self.looked_at,
            "sizes": {_written(size): count for size, count in self.sizes.most_common()},
            "modes": dict(self.modes.most_common()),
            "turned": self.turned,
            "rejects": [asdict(reject) for reject in self.rejects],
        }


def settle(
    table: Table, options: ConvertOptions, earlier: Transform | None, *, dry_run: bool
) -> tuple[ConvertOptions, FirstLook | None]:
    """Look at the images, and return the options with a transform whose size is known.

    A run that goes on takes the size that an `earlier` one has found, without looking again.
    Raises SizesError where the images have several sizes, RejectsError where none can be opened,
    StorageError where a storage cannot be read.
    """
    transform = options.transform
    if earlier is not None:
        if transform.is_settled:
            return options, None
        if earlier.crop is None and earlier.resample == NO_RESAMPLING:
            height, width, _ = earlier.shape
            return replace(options, transform=transform.settled((width, height))), None
    if table.images is not None and transform.is_settled and not dry_run:
        return options, None  # a few of a Parquet file's images cost as much as all of them
    try_roots(table)
    look = _look_at(table, transform, patiently=not transform.is_settled)
    if not transform.is_settled:
        if table.boxes is None:
            transform = _settled(transform, look, table.name)
        else:
            transform = transform.settled(_size_of_all(table.boxes, table.name))
        options = replace(options, transform=transform)
    return options, look


def _look_at(table: Table, transform: Transform, *, patiently: bool) -> FirstLook:
    """Read the headers of some images, evenly spaced in the table.

    Only when `patiently` is a storage that fails given a minute; else the look ends there.
    """
    from converter.imaging.image_facts import facts_of

    look = FirstLook()
    with sampled(table, time.sleep if patiently else _give_up) as images:
        for row, path, location, read in images:
            try:
                facts = facts_of(read())
            except UNUSABLE as error:
                look.rejects.append(reject_of(error, row, path, location))
            except StorageError:
                if patiently:
                    raise
                break
            else:
                look.sizes[
                    facts.upright_size if transform.orientation == APPLY else facts.size
                ] += 1
                look.modes[facts.mode] += 1
                look.turned += facts.orientation != 1
            look.looked_at += 1
    return look


def try_out(table: Table, options: ConvertOptions, look: FirstLook) -> None:
    """Do to the same images what a conversion would, and add what comes of it to `look`."""
    from converter.imaging.transformer import ImageTransformer

    transformer = ImageTransformer(
        options.transform,
        strict=options.strict_decode,
        max_pixels=options.max_pixels,
        truncated=options.truncated,
    )
    look.rejects.clear()
    with sampled(table, time.sleep) as images:
        for row, path, location, read in images:
            try:
                transformer.pixels(read(), box_of(table.boxes, row))
            except UNUSABLE as error:
                look.rejects.append(reject_of(error, row, path, location))
    look.counts = transformer.counts


def _settled(transform: Transform, look: FirstLook, table: str) -> Transform:
    """Return the transform with the size that all images of the look have."""
    if not look.sizes:
        why = look.rejects[0] if look.rejects else None
        example = "" if why is None else f", such as row {why.row}, {why.path}: {why.reason}"
        raise RejectsError(
            f"{table}: none of the {counted(look.looked_at, 'image')} that "
            f"{agreeing(look.looked_at, 'was')} looked at can be opened{example}. Mend the "
            "paths, or give another --root; with --size other images are tried"
        )
    if len(look.sizes) == 1:
        return transform.settled(next(iter(look.sizes)))
    ranked = look.sizes.most_common()
    shown = ", ".join(f"{_written(size)} ({count:,})" for size, count in ranked[:_SHOWN])
    more = f" and {len(ranked) - _SHOWN:,} more" if len(ranked) > _SHOWN else ""
    resized = " --resample bicubic" if transform.resample == NO_RESAMPLING else ""
    width, height = (min(sides) for sides in zip(*look.sizes, strict=True))
    shorter = min(width, height)
    common = _written(ranked[0][0])
    raise SizesError(
        f"{table}: the images have {counted(len(ranked), 'size')}: {shown}{more}, of "
        f"{look.looked_at:,} that were looked at. Say what becomes of them",
        (
            (f"--size {common}{resized}", f"each is resized to {common}, whatever its shape"),
            (
                f"--shorter-side {shorter} --size {shorter}x{shorter}{resized}",
                f"the shorter side becomes {shorter} pixels, then the centre is cut out",
            ),
            (f"--crop 0,0,{width},{height}", "this box is cut out of each"),
        ),
    )


def _size_of_all(boxes: NDArray[np.int32], table: str) -> tuple[int, int]:
    """Return the size that all boxes have; SizesError where they have several."""
    sizes: Counter[tuple[int, int]] = Counter()
    for part in slices(len(boxes)):
        sides = boxes[part, 2:] - boxes[part, :2]
        found, counts = np.unique(sides, axis=0, return_counts=True)
        sizes.update(dict(zip(map(tuple, found.tolist()), counts.tolist(), strict=True)))
    if len(sizes) == 1:
        return next(iter(sizes))
    common = _written(sizes.most_common(1)[0][0])
    raise SizesError(
        f"{table}: its boxes have {counted(len(sizes), 'size')}, most often {common}. Say what "
        "becomes of them",
        ((f"--size {common} --resample bicubic", f"each box is resized to {common}"),),
    )


@contextmanager
def sampled(
    table: Table, paused: Callable[[float], None], rows: NDArray[np.int64] | None = None
) -> Iterator[Iterator[tuple[int, str, str, Callable[[], bytes]]]]:
    """Open the images of some rows: row, path, location, and a function that reads the file.

    Without `rows` these are 200, evenly spaced. While a storage fails, `paused` is told the seconds
    until the next try.
    """
    if rows is None:
        rows = table.kept(_IMAGES)
    paths = table.paths(rows)
    finder = None if table.has_images else ImageFinder.of(table)
    with (
        _located(table, rows) as locations,
        ImageFiles(locations, paused, finder) as files,
    ):
        yield zip(rows.tolist(), paths, locations, files, strict=True)


@contextmanager
def _located(table: Table, rows: NDArray[np.int64]) -> Iterator[list[str]]:
    if table.images is None:
        yield table.locations(rows)
        return
    wanted = np.zeros(len(table), dtype=np.bool_)
    wanted[rows] = True
    with ImageCopy(table.images, wanted, None) as copy:
        yield copy.locations(rows)


def _give_up(_: float) -> None:
    raise StorageError("the storage does not answer at once")


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
