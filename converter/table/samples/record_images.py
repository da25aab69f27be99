"""The images of TFRecord files, read one after the other: of compressed ones no place is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from converter.table.samples.records import RecordFile
from shardio.errors import FormatError, TableError
from shardio.examples.example import Feature, bytes_in, parse_example

_BATCH_ROWS, _BATCH_BYTES = 256, 4 << 20


@dataclass(frozen=True)
class RecordImages:
    """The images of some `files`, each with the feature that holds them; `bytes` is about all."""

    name: str
    files: tuple[tuple[str, str], ...]
    bytes: int

    @classmethod
    def of_all(cls, parts: Sequence[RecordImages]) -> RecordImages:
        """Join the images of several files."""
        files = tuple(file for part in parts for file in part.files)
        return cls(parts[0].name, files, sum(part.bytes for part in parts))

    @property
    def column(self) -> str:
        """The feature that holds the images."""
        return self.files[0][1]

    def batches(self) -> Iterator[Any]:
        """Yield the images as Arrow arrays of bytes; one that is not there is empty."""
        import pyarrow as pa

        waiting: list[bytes] = []
        size = 0
        for location, feature in self.files:
            for number, (_, data) in enumerate(RecordFile(location).records()):
                image = bytes_in(features_of(data, location, number), feature)
                waiting.append(b"" if image is None else bytes(image))
                size += len(waiting[-1])
                if len(waiting) == _BATCH_ROWS or size >= _BATCH_BYTES:
                    yield pa.array(waiting, pa.large_binary())
                    waiting, size = [], 0
        if waiting:
            yield pa.array(waiting, pa.large_binary())


def features_of(data: bytes, location: str, number: int) -> dict[str, Feature]:
    """Return the features of a record; TableError where it is no Example."""
    try:
        return parse_example(data)
    except FormatError as error:
        raise TableError(f"{location}: record {number}: {error}") from None
