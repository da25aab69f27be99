"""A set converted on local disk, and what the same conversion must give on a server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from converter import ConvertOptions, Summary, convert
from converter.engines.protocol import NoProgress
from reader import open_shards
from reader.batching.batches import Batches
from shardio.format.transform import Transform
from tests.converter.inputs import contents, is_same, write_csv, write_images

# Batches of the large set in so little memory that nothing of an epoch is left for the next.
LITTLE: dict[str, Any] = {"epochs": 2, "batch_size": 4, "memory": "32MB"}


@dataclass(frozen=True)
class LocalSet:
    """A table, the options of a conversion, and the folder that it made."""

    table: Path
    options: ConvertOptions
    folder: Path

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of every file by its name, but for the times of the run."""
        return {name: digest(data) for name, data in contents(self.folder).items()}

    @property
    def copied(self) -> dict[str, str]:
        """The SHA-256 of every file by its name, as copies have them."""
        return {path.name: digest(path.read_bytes()) for path in sorted(self.folder.iterdir())}

    def again(self, shards: int, folder: Path) -> LocalSet:
        """Return the same rows in another number of shards."""
        options = replace(self.options, shards=shards)
        convert(str(self.table), str(folder), options, engine="inline")
        return LocalSet(self.table, options, folder)

    def convert_twice_at_once(self, out: str) -> list[Exception]:
        """Convert to another place in two threads; returns what has failed."""
        problems: list[Exception] = []

        def work() -> None:
            try:
                self.convert(out)
            except Exception as error:
                problems.append(error)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return problems

    def convert(self, out: str, do: Callable[[], object] | None = None, **options: Any) -> Summary:
        """Convert to another place; `do` is called once, in the middle of the second half."""
        progress = NoProgress() if do is None else Once(do)
        return convert(
            str(self.table), out, self.options, progress=progress, **{"engine": "inline", **options}
        )


class Once(NoProgress):
    """Calls a function once, when most images are done."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._do: Callable[[], object] | None = do
        self._left = 0

    def begin(self, rows: int, done: int, rejected: int) -> None:
        self._left = (rows - done) * 5 // 8

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        self._left -= images
        if self._left <= 0 and self._do is not None:
            do, self._do = self._do, None
            do()


def make_set(folder: Path, rows: int, shards: int, size: int) -> LocalSet:
    """Convert a new table of `rows` rows, one of them a reject, to square images of `size`."""
    names = write_images(folder / "images", 6, (60, 40))
    lines = [[f"images/{names[row % 6]}", row % 50, row % 7] for row in range(rows)]
    lines[rows // 2][0] = "images/nowhere.png"
    table = write_csv(folder / "labels.csv", ["path", "y0", "y1"], lines)
    options = ConvertOptions(transform=Transform(None, (size, size)), shards=shards)
    convert(str(table), str(folder / "shards"), options, engine="inline")
    return LocalSet(table, options, folder / "shards")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Stored(Protocol):
    """A folder on a server, read without shardio."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...


def digests(place: Stored) -> dict[str, str]:
    """Return the SHA-256 of all files below a folder, hidden ones too, but for the times."""
    return {name: digest(place.read(name)) for name in filter(is_same, place.names())}


def stream_digest(batches: Iterable[Any], at: int = -1, do: Callable[[], object] = int) -> str:
    """Return the SHA-256 of everything in some batches; before batch `at`, `do` is called."""
    found = hashlib.sha256()
    for number, (x, ys, rows) in enumerate(batches):
        if number == at:
            do()
        for array in (x, *ys, rows):
            found.update(array.tobytes())
    return found.hexdigest()


def read(folder: str | Path, **options: Any) -> Batches:
    """Return the batches of a set, with their rows, in an order that is the same everywhere."""
    shards = open_shards(str(folder), split="train")
    usual = {"batch_size": 16, "rows": True, "dtype": "uint8", "shuffle": "exact"}
    return shards.batches(**{**usual, **options})
