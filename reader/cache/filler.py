"""The thread that copies the shards of a set into a cache, one by one."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from reader.cache.cached_set import copies_in
from reader.cache.folder import NoRoomError, ShardCache
from shardio.errors import CorruptRecordError, ShardioError
from shardio.format.naming import MANIFEST
from shardio.sizes import in_words
from shardio.storage import copying, storage_for
from shardio.storage.paths import folder_of

_LOG = logging.getLogger("shardio")
# A request that HDFS answers in one piece, and still most of what its disks can do.
_PIECE = 2 << 20
# The piece as it is read, and as it came.
FILLER_BYTES = 2 * _PIECE
# How often a process that waits for the filling one looks for new copies.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Copy:
    """A copy: its source, its path and what it must hold; `sha256` is empty where not known."""

    source: str
    identity: str
    size: int
    sha256: str
    path: str


class _EndedError(Exception):
    """The set is not used any more, or the process ends."""


class _ReplacedError(Exception):
    """The source was replaced; the reader will say so."""


class _DamagedError(Exception):
    """The bytes read do not have the SHA-256 in dataset.json."""


class CacheFiller:
    """Fills the folder of a set with `copies`, by the number of the shard.

    `here` are the shards that are there, as far as is known. `damaged` are those whose source is
    not what dataset.json says, and `problem` why shards could not be copied: the reader tells it.

    One process fills at a time, so that nothing is copied twice; the others wait for what it
    brings, and one of them goes on where it ends. The thread ends when `ended` is set.
    """

    def __init__(self, cache: ShardCache, folder: str, copies: dict[int, Copy]) -> None:
        self.here: set[int] = set()
        self.damaged: dict[int, CorruptRecordError] = {}
        self.problem = ""
        self.ended = False
        self._cache = cache
        self._folder = folder
        self._copies = copies
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Look which copies are there."""
        sizes = copies_in(self._folder)
        self.here = {
            number
            for number, copy in self._copies.items()
            if sizes.get(os.path.basename(copy.path)) == copy.size
        }

    def begin(self) -> None:
        """Start to copy what is missing, unless that is under way."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._missing():
            # No daemon: Python would end it within the client of HDFS, which aborts the process.
            self._thread = threading.Thread(target=self._run, name="shardio-cache", daemon=False)
            self._thread.start()

    def _missing(self) -> Sequence[int]:
        return [n for n in self._copies if n not in self.here and n not in self.damaged]

    def _run(self) -> None:
        try:
            while self._missing():
                self._check_end()
                with self._cache.filling(self._folder) as is_ours:
                    self.look()
                    if is_ours:
                        self._fill()
                        return
                self._wait(_LOOK_SECONDS)
        except (_EndedError, KeyboardInterrupt):  # a storage raises it when the interpreter ends
            pass
        except (ShardioError, OSError) as error:
            self.problem = str(error)
        except RuntimeError as error:
            # So Python refuses threads to the client of HDFS when it is about to end.
            if threading.main_thread().is_alive():
                self.problem = str(error)

    def _fill(self) -> None:
        least = None
        tried: set[int] = set()
        # Computed each time: a copy may turn out to be damaged, and be removed, meanwhile.
        while missing := [number for number in self._missing() if number not in tried]:
            number = missing[0]
            tried.add(number)
            copy = self._copies[number]
            if least is not None and copy.size >= least:
                continue
            try:
                self._copy(number, copy)
            except NoRoomError as error:
                least = copy.size
                if error.disk_is_full:
                    self.problem = str(error)
            except _ReplacedError:
                pass
        if least is not None:
            self._tell_what_fits()

    def _tell_what_fits(self) -> None:
        here = [copy.size for number, copy in self._copies.items() if number in self.here]
        size = sum(copy.size for copy in self._copies.values())
        _LOG.warning(
            "%s keeps %d of the %d shards of %s, %s of %s: there is no room for more. The others "
            "are read from there in every epoch",
            self._cache.folder,
            len(here),
            len(self._copies),
            folder_of(next(iter(self._copies.values())).source),
            in_words(sum(here)),
            in_words(size),
        )

    def _copy(self, number: int, copy: Copy) -> None:
        """Copy a shard; a damaged copy is tried once more, since it may be damaged in transit."""
        for last in (False, True):
            try:
                self._copy_once(copy)
            except _DamagedError as error:
                if last:
                    self.damaged[number] = CorruptRecordError(
                        f"{copy.source} is damaged: its SHA-256 is {error}, {MANIFEST} says "
                        f"{copy.sha256}; the converter's --repair makes it again"
                    )
            else:
                self._remove_older(copy)
                self.here.add(number)
                return

    def _copy_once(self, copy: Copy) -> None:
        storage = storage_for(copy.source)
        reader = storage.open_ranges(copy.source)

        def read(start: int, memory: memoryview) -> int:
            self._check_end()
            return reader.read_into(start, memory)

        try:
            with self._cache.write(copy.path, copy.size) as out:
                pieces = copying.pieces_read(read, _PIECE)
                digest = copying.copy(pieces, copy.size, out, lambda size: None)
                if not digest:
                    raise _ReplacedError
                if copy.sha256 not in ("", digest):
                    raise _DamagedError(digest)
                if copy.identity not in ("", storage.stat(copy.source).identity):
                    raise _ReplacedError
        finally:
            reader.close()

    def _remove_older(self, copy: Copy) -> None:
        """Remove the copies of what the source was before."""
        ours = os.path.basename(copy.path)
        for name in copies_in(self._folder):
            if name != ours and name.partition("-")[2] == ours.partition("-")[2]:
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(self._folder, name))

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._check_end()
            time.sleep(0.02)

    def _check_end(self) -> None:
        # At its end Python waits for this thread without telling it.
        if self.ended or not threading.main_thread().is_alive():
            raise _EndedError
