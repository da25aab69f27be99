"""LMDB sets as tables, as they are written for text recognition.

`num-samples` is how many there are; `image-000000001` and so on, counted from 1, are files of
images, and `label-000000001` the texts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from converter.table.samples.places import LMDB
from converter.table.samples.sample_table import table_of
from converter.table.samples.samples import KEY, SampleList
from converter.table.samples.table_file import TableFile
from converter.table.scratch import Scratch
from shardio.errors import MissingExtraError, TableError
from shardio.storage.paths import is_local

DATA = "data.mdb"
LABEL = "label"
_COUNT = b"num-samples"
_MOST = 999_999_999
_SHOWN_KEYS = 5
# Walks a set in a process of its own, by this file.
_WALK = (
    "import sys; sys.path[:] = sys.argv[2:]; from converter.table.samples import lmdb_set; "
    "lmdb_set.walk(sys.argv[1])"
)
_DAMAGED = "; it is damaged: fetch it again, or write it again from its images and labels"
_HINT = (
    ". --characters label makes a label of each character of the texts, --sequence label:25 keeps "
    "those of several lengths, --labels label --text-labels makes classes of them, and --labels '' "
    "takes images alone"
)


def image_key(number: int) -> bytes:
    """Return the key of an image, counted from 1."""
    return b"image-%09d" % number


@contextmanager
def opened(location: str) -> Iterator[Any]:
    """Open an LMDB, a folder or a file, for reading.

    Raises TableError where it is cut: a page that is not there would end the process.
    """
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtraError(
            f"{location}: reading LMDB needs the package lmdb: it comes with shardio's extra [lmdb]"
        ) from error
    if not is_local(location):
        raise TableError(f"{location}: an LMDB is read from a disk; copy it to one")
    is_folder = os.path.isdir(location)
    file = os.path.join(location, DATA) if is_folder else location
    if os.path.exists(file) and not os.path.getsize(file):
        raise TableError(f"{file} is cut: it is empty; fetch it again")
    try:
        with lmdb.open(
            location, subdir=is_folder, readonly=True, lock=False, readahead=False, max_dbs=0
        ) as found:
            need = _size(found)
            size = os.path.getsize(file)
            if size < need:
                raise TableError(
                    f"{file} is cut: it has {size:,} bytes of {need:,}; fetch it again"
                )
            yield found
    except lmdb.Error as error:
        raise TableError(f"{file} cannot be read as LMDB: {explained(error)}") from error


def _size(found: Any) -> int:
    """Return the bytes of all pages."""
    return int((found.info()["last_pgno"] + 1) * found.stat()["psize"])


def explained(error: Exception) -> str:
    """Say what an error of lmdb means for a file, and what to do."""
    import lmdb

    said = str(error).rpartition("MDB_")[2].partition(": ")[2] or str(error)
    if isinstance(error, lmdb.InvalidError):
        return "it is none, or its first pages are damaged: fetch it again"
    if isinstance(error, lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.PanicError):
        return said + _DAMAGED
    return said


def open_lmdb(location: str, scratch: Scratch, *, root: str) -> TableFile:
    """Read what is in an LMDB.

    Raises TableError for one that is damaged, or holds something else. An image that is not there
    is a reject, and a label that is not there a bad row.
    """
    with opened(location):  # what can be said without the walk
        pass
    _try_walk(location)
    with opened(location) as found, found.begin(buffers=True) as view:
        samples = SampleList(location, scratch, (KEY, LABEL))
        for key, place, labels in _samples(view, location, _size(found)):
            samples.add(key, place, labels)
    return table_of(samples.finish(LMDB), "LMDB", root, label_hint=_HINT)


def _samples(
    view: Any, location: str, most: int
) -> Iterator[tuple[str, tuple[int, int] | None, dict[str, str]]]:
    """Yield name, place and labels of each sample; TableError for values above `most` bytes."""
    count = _count_of(view, location)
    _check_last(view, count, location)
    for number in range(1, count + 1):
        key, label = image_key(number), b"label-%09d" % number
        image, text = view.get(key), view.get(label)
        for name, value in ((key, image), (label, text)):
            if value is not None and len(value) > most:
                raise TableError(
                    f"{location}: {name.decode()} claims {len(value):,} bytes{_DAMAGED}"
                )
        labels = {KEY: key.decode()}
        if text is not None:
            labels[LABEL] = _text_of(text, label, location)
        yield key.decode(), None if image is None else (number, len(image)), labels


def _try_walk(location: str) -> None:
    """Raise TableError where a set is damaged so that reading it ends the process.

    LMDB trusts what its pages say of places, and these may be beyond the end of the file.
    """
    trial = subprocess.run(
        [sys.executable, "-c", _WALK, location, *(path or os.getcwd() for path in sys.path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if trial.returncode < 0:
        name = signal.Signals(-trial.returncode).name
        raise TableError(f"{location}: reading it ended a process with {name}{_DAMAGED}")


def walk(location: str) -> None:
    """Read what `open_lmdb` reads."""
    with opened(location) as found, found.begin(buffers=True) as view:
        for _ in _samples(view, location, _size(found)):
            pass


def _count_of(view: Any, location: str) -> int:
    value = view.get(_COUNT)
    if value is None:
        first = islice(view.cursor().iternext(values=False), _SHOWN_KEYS)
        keys = [repr(bytes(key))[1:] for key in first]
        raise TableError(
            f"{location} has no key num-samples, as sets of text images have; its first keys are "
            f"{', '.join(keys) or 'none'}"
        )
    text = bytes(value).decode(errors="replace").strip()
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _MOST:
        raise TableError(f"{location}: num-samples is {text!r}, not a number from 1 on")
    return int(text)


def _check_last(view: Any, count: int, location: str) -> None:
    """Raise TableError where num-samples is not the number of the last image."""
    cursor = view.cursor()
    last = 0
    # What comes behind all keys of images.
    if not cursor.set_range(b"image-:"):
        cursor.last()
    else:
        cursor.prev()
    key = bytes(cursor.key())
    if key.startswith(b"image-") and key[6:].isdigit():
        last = int(key[6:])
    if last != count:
        raise TableError(
            f"{location}: num-samples is {count:,}, but the last image is number {last:,}; write "
            "num-samples as it is, or what is missing"
        )


def _text_of(value: memoryview, key: bytes, location: str) -> str:
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise TableError(
            f"{location}: {key.decode()} is no UTF-8; write the labels as UTF-8"
        ) from None
