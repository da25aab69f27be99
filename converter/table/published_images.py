"""Images that are a column of the table, copied to where machines of a cluster read them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from converter.table.image_column import COPIED, ImageSource, wanted_images
from converter.table.samples.places import BYTES, Place
from converter.table.scratch import Scratch
from shardio.errors import ShardioError
from shardio.storage import storage_for
from shardio.storage.owner import Owner

# A file ends with the images that take it over this size.
FILE_BYTES = 1 << 30
# As a row of a copy on this disk whose image is not there: nothing is read.
_NO_IMAGE = f"{COPIED}0+0/"


class PublishedImages:
    """The images of the rows that are `wanted`, in files of a folder for the time of a `with`."""

    def __init__(
        self,
        images: ImageSource,
        wanted: NDArray[np.bool_],
        folder: str,
        file_bytes: int = FILE_BYTES,
    ) -> None:
        self._batches = wanted_images(images, wanted)
        self._folder = folder
        self._file_bytes = file_bytes
        self._scratch = Scratch()
        self._owner = Owner()
        self._ends = self._scratch.column(np.int64)
        # Where the bytes of each file begin, among those of all images.
        self._starts: list[int] = []
        self._size = 0

    def __enter__(self) -> PublishedImages:
        try:
            more = True
            while more:
                more = self._write(f"{self._folder}/images-{len(self._starts):05d}.bin")
            self._offsets = np.concatenate([[0], self._ends.finish()])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._scratch.__exit__()
        with suppress(ShardioError):  # they go with the work folder
            self._owner.check(self._folder)
            storage_for(self._folder).delete(self._folder)

    def locations(self, rows: NDArray[np.int64]) -> list[str]:
        """Return where the images of rows are, for any machine."""
        starts, ends = self._offsets[rows], self._offsets[rows + 1]
        files = (np.searchsorted(self._starts, starts, side="right") - 1).tolist()
        return list(map(self._location, files, starts.tolist(), ends.tolist()))

    def _location(self, file: int, start: int, end: int) -> str:
        if start == end:
            return _NO_IMAGE
        name = f"{self._folder}/images-{file:05d}.bin"
        return str(Place(BYTES, start - self._starts[file], end - start, name))

    def _write(self, path: str) -> bool:
        """Write the next file; returns whether there may be more images."""
        begun = self._size
        self._starts.append(begun)
        with storage_for(path).publish(path, attempt=secrets.token_hex(6)) as file:
            for data, ends in self._next_batches():
                file.write(data)
                self._ends.append(ends + self._size)
                self._size += len(data)
                if self._size - begun >= self._file_bytes:
                    return True
        return False

    def _next_batches(self) -> Iterator[tuple[memoryview, NDArray[np.int64]]]:
        for images in self._batches:
            _, places, data = images.buffers()
            offsets = np.frombuffer(places, np.int64)[images.offset :][: len(images) + 1]
            first, last = int(offsets[0]), int(offsets[-1])
            bytes_ = memoryview(data)[first:last] if last > first else memoryview(b"")
            yield bytes_, offsets[1:] - first
