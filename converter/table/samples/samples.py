"""The samples of a file that holds images and their labels, as other tools write it.

What is known of them is read once and kept on disk: the name of each, where its image is, and its
labels as texts. The images themselves stay where they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.paths.locations import SEPARATOR
from converter.table.reading import PATH, SPLIT
from converter.table.samples.places import NO_IMAGE
from converter.table.scratch import Scratch, Texts, slices
from shardio.errors import TableError
from shardio.storage.paths import name_of

KEY = "key"
# Endings of members that hold JSON.
JSON = frozenset(["json", "jsn"])
_ROWS = 1 << 14
_MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Samples:
    """The samples of the file at `location`, whose images `reader` reads by place and size.

    `columns` are the names of their labels. `digest` is that of the names, the sizes and the labels
    of all of them. `unread` are labels of which some are neither numbers nor texts, each with the
    number of the first such sample.
    """

    location: str
    reader: str
    columns: tuple[str, ...]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    digest: bytes
    unread: Mapping[str, int]
    _names: Texts
    _labels: Texts

    def __len__(self) -> int:
        return len(self.offsets)

    def key_of(self, row: int) -> str:
        """Return the key of a sample."""
        return str(json.loads(self._labels.take(np.array([row]))[0])[KEY])

    @property
    def short_names(self) -> dict[str, str]:
        """Names by which columns are found besides their own: NAME for `json.NAME`.

        Paths and splits are not in objects of JSON, and what another column is called is that one.
        """
        found: dict[str, str] = {}
        taken = {PATH, SPLIT, *self.columns}
        for column in self.columns:
            ending, _, name = column.partition(".")
            if ending in JSON and name and name not in taken:
                found.setdefault(name, column)
        return found

    def batches(self, path: str, wanted: list[str]) -> Iterator[Any]:
        """Yield Arrow batches of columns; paths begin with that of the file.

        TableError for a column that is `unread`.
        """
        import pyarrow as pa

        for name in wanted:
            if name in self.unread:
                raise TableError(
                    f"{self.location}: record {self.unread[name]}: {name} is neither numbers nor "
                    "one text in UTF-8"
                )
        short = self.short_names
        for part in slices(len(self), _ROWS):
            rows = np.arange(part.start, part.stop)
            columns: dict[str, list[str]] = {name: [] for name in wanted}
            if PATH in columns:
                columns[PATH] = [f"{path}{SEPARATOR}{name}" for name in self._names.take(rows)]
            if columns.keys() - {PATH}:
                for text in self._labels.take(rows):
                    labels = json.loads(text)
                    for name, values in columns.items():
                        if name != PATH:
                            values.append(labels.get(short.get(name, name), ""))
            arrays = [pa.array(values, pa.large_string()) for values in columns.values()]
            yield pa.record_batch(arrays, names=wanted)


class SampleList:
    """Samples as they are found, one after the other, in the file at `location`."""

    def __init__(self, location: str, scratch: Scratch, columns: tuple[str, ...] = ()) -> None:
        self._location = location
        self._columns = dict.fromkeys(columns)
        self._offsets, self._sizes = scratch.column(np.int64), scratch.column(np.int64)
        self._names, self._labels = scratch.texts(), scratch.texts()
        self._waiting: list[tuple[str, int, int, str]] = []
        self._digest = hashlib.sha256(_framed(name_of(location), 0))
        self._any_image = False

    def add(self, name: str, place: tuple[int, int] | None, labels: Mapping[str, str]) -> None:
        """Add a sample: its name, offset and size of its image, if it has one, and its labels."""
        offset, size = place or (NO_IMAGE, 0)
        self._any_image |= place is not None
        if not self._columns.keys() >= labels.keys():
            self._columns.update(dict.fromkeys(labels))
            if len(self._columns) > _MOST_COLUMNS:
                raise TableError(
                    f"{self._location}{SEPARATOR}{name}: the labels of all samples so far have "
                    f"more than {_MOST_COLUMNS:,} names"
                )
        text = json.dumps(labels, ensure_ascii=False)
        for what, words in (("name", name), ("text of a label", text)):
            try:
                words.encode()
            except UnicodeEncodeError:
                raise TableError(
                    f"{self._location}: the {what} of the sample {name!r} is not UTF-8"
                ) from None
        self._digest.update(_framed(name, size))
        self._digest.update(_framed(text, 0))
        self._waiting.append((name, offset, size, text))
        if len(self._waiting) == _ROWS:
            self._flush()

    def finish(self, reader: str, unread: Mapping[str, int] | None = None) -> Samples:
        """Return all samples; TableError where there is none, or none with an image."""
        self._flush()
        if not self._any_image:
            raise TableError(f"{self._location} holds no images")
        return Samples(
            self._location,
            reader,
            tuple(self._columns),
            self._offsets.finish(),
            self._sizes.finish(),
            self._digest.digest(),
            unread or {},
            self._names.finish(),
            self._labels.finish(),
        )

    def _flush(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        names, offsets, sizes, texts = zip(*self._waiting, strict=True)
        self._names.append(pa.array(names, pa.large_string()))
        self._labels.append(pa.array(texts, pa.large_string()))
        self._offsets.append(np.array(offsets, np.int64))
        self._sizes.append(np.array(sizes, np.int64))
        self._waiting.clear()


def _framed(text: str, number: int) -> bytes:
    """Return bytes that no other text and number have."""
    data = text.encode()
    return len(data).to_bytes(8, "little") + data + number.to_bytes(8, "little")
