"""The compiled core under forks and failing disks: an error or the right bytes, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from reader import open_shards
from reader.batching.options import Shuffle
from shardio.errors import StorageError
from shardio.format.layout import RecordLayout
from tests.reader.core.test_core import records_of
from tests.reader.mounts import need_fuse, wait_until

LAYOUT = RecordLayout(32 * 128 * 3, ("y0", "y1"))
SHAPE = (32, 128, 3)
COUNT = 1500
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard of records so large that several threads share a batch."""
    path = tmp_path_factory.mktemp("large") / "large.tfrecord"
    path.write_bytes(records_of(LAYOUT, COUNT, 0))
    return path


def test_forks_beside_busy_streams_read_the_right_records(large: Path) -> None:
    script = """
    import os, signal, sys, threading
    import numpy as np
    from reader import open_shards
    shards = open_shards(sys.argv[1], shape=(32, 128, 3))
    options = dict(dtype="uint8", drop_remainder=False)
    wanted = np.concatenate([x for x, _ in shards.batches(128, shuffle="none", **options)])
    ended = threading.Event()

    def spin(shuffle):
        while not ended.is_set():
            for _ in shards.batches(128, shuffle=shuffle, **options):
                if ended.is_set():
                    break

    threads = [threading.Thread(target=spin, args=(s,)) for s in ("exact", "window")]
    [thread.start() for thread in threads]
    batches = shards.batches(128, shuffle="none", epochs=None, **options)
    for number in range(40):
        next(batches)
        child = os.fork()
        if child == 0:
            signal.alarm(240)  # one that hangs is killed
            code = 1
            try:
                place = batches.state_dict()["samples"] % len(shards)
                x, _ = next(batches)
                code = 0 if (x == wanted[place : place + len(x)]).all() else 2
                found = sum(int(x[:, 0, 0, 0].sum()) for x, _ in shards.batches(100, **options))
                code = code or (0 if found == int(wanted[:, 0, 0, 0].sum()) else 3)
            finally:
                os._exit(code)
        status = os.waitpid(child, 0)[1]
        assert status == 0, (number, status)
    ended.set()
    [thread.join() for thread in threads]
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(large)]
    subprocess.run(command, check=True, timeout=500)


# A file system that hands a file through, until a file beside it says that the disk has failed.
_FAILING = """
import errno, os, sys
os.environ["FUSE_LIBRARY_NAME"] = "fuse3"
import mfusepy

class Failing(mfusepy.Operations):
    use_ns = True

    def getattr(self, path, fh=None):
        found = os.lstat(sys.argv[1] + path)
        return {key: getattr(found, key) for key in ("st_mode", "st_size", "st_nlink", "st_ino")}

    def readdir(self, path, fh):
        return [".", "..", *os.listdir(sys.argv[1] + path)]

    def open(self, path, flags):
        return os.open(sys.argv[1] + path, os.O_RDONLY)

    def read(self, path, size, offset, fh):
        if os.path.exists(sys.argv[2]):
            raise mfusepy.FuseOSError(errno.EIO)
        return os.pread(fh, size, offset)

    def release(self, path, fh):
        os.close(fh)
        return 0

mfusepy.FUSE(Failing(), sys.argv[3], foreground=True, ro=True, nothreads=True)
"""


@pytest.fixture
def failing(large: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A mounted folder with the shard, and the file that makes its disk fail."""
    need_fuse()
    point, failed = tmp_path / "point", tmp_path / "failed"
    point.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _FAILING, str(large.parent), str(failed), str(point)]
    )
    try:
        wait_until(lambda: os.path.ismount(point) or process.poll() is not None)
        assert process.poll() is None
        yield point, failed
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(point)], check=False)
        process.kill()
        process.wait()


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_a_disk_that_fails_under_a_map_is_an_error(
    failing: tuple[Path, Path], shuffle: Shuffle
) -> None:
    point, failed = failing
    shards = open_shards(str(point / "large.tfrecord"), shape=SHAPE)
    batches = shards.batches(4, shuffle=shuffle, dtype="uint8", epochs=None)
    x, _ = next(batches)
    kept = x.copy()
    failed.touch()

    def read_on() -> None:
        """Let the kernel forget what it has read ahead, and what came meanwhile."""
        for _ in range(10):
            with open(point / "large.tfrecord", "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            list(islice(batches, COUNT // 4))

    with pytest.raises(StorageError, match=r"large\.tfrecord, byte \d+: Input/output error"):
        read_on()
    failed.unlink()
    assert np.array_equal(x, kept)

    def is_whole() -> bool:
        # What the kernel was told while the disk failed may still come.
        with suppress(StorageError):
            return sum(len(x) for x, _ in shards.batches(100, shuffle=shuffle)) == COUNT
        return False

    wait_until(is_whole)


def test_a_process_that_can_open_no_more_files_waits_for_some(large: Path) -> None:
    """Nothing is imported then either: that would be another file. No error keeps the stream."""
    script = """
    import gc, os, resource, sys, threading, weakref
    from reader import open_shards
    from reader.files import open_files
    open_files._PAUSES = (0.01,) * 10_000  # on a busy machine the timer comes late
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    batches = open_shards(sys.argv[1], shape=(32, 128, 3)).batches(128)
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    threading.Timer(0.2, lambda: [os.close(file) for file in taken]).start()
    gc.disable()
    assert sum(1 for _ in batches) == len(batches)
    gone = weakref.ref(batches)
    del batches
    assert gone() is None
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(large)]
    subprocess.run(command, check=True, timeout=300)
