"""A table whose rows are the samples of a file that holds the images, too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from converter.table.reading import PATH
from converter.table.samples.record_images import RecordImages
from converter.table.samples.samples import Samples
from converter.table.samples.table_file import TableFile


def table_of(
    samples: Samples,
    kind: str,
    root: str,
    *,
    label_hint: str,
    notes: Sequence[str] = (),
    copied: RecordImages | None = None,
) -> TableFile:
    """Return the samples as rows whose paths are relative to `root`, where they are below it.

    A path is the file's and the name in it: `train-000.tar::000042.jpg`.
    """
    names = [PATH, *samples.columns]
    path = samples.location.removeprefix(f"{root.rstrip('/')}/")
    return TableFile(
        samples.location,
        [*names, *samples.short_names],
        partial(samples.batches, path),
        f"{kind}, columns {', '.join(names)}",
        lambda: list(notes),
        label_hint=label_hint,
        samples=samples,
        copied=copied,
    )
