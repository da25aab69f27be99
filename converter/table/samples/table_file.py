"""What every kind of table gives to those who read its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from converter.table.samples.hugging_face import ClassNames
from converter.table.samples.record_images import RecordImages
from converter.table.samples.samples import Samples


@dataclass(frozen=True)
class TableFile:
    """The names of the columns of a file, and a function that yields batches of some of them.

    `found` says in a few words how the file is read, `notes` returns what was found on the way that
    may be a slip, `lines_of` the lines of some rows, where rows are lines.
    """

    name: str
    names: list[str]
    batches: Callable[[list[str]], Iterator[Any]]
    found: str
    notes: Callable[[], list[str]] = list
    lines_of: Callable[[Sequence[int]], list[int] | None] = field(default=lambda _: None)
    has_header: bool = True
    # What to say where a column, or those of labels are not there.
    hint: str = ""
    label_hint: str = ""
    # Columns of images as Hugging Face writes them, and the names of the classes of others.
    image_columns: tuple[str, ...] = ()
    # Such columns without an image in them, but with paths.
    named_images: tuple[str, ...] = ()
    bytes_columns: tuple[str, ...] = ()
    class_names: ClassNames = field(default_factory=dict)
    # Where the images are, if the file has them in it.
    samples: Samples | None = None
    # Images that are copied before they are used, since no place in the file can be read.
    copied: RecordImages | None = None
