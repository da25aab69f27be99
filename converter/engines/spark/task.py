"""What a machine of the cluster does: make a shard from its published rows.

No more is imported than a worker process of one machine has, and nothing of pyspark.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass

from converter.engines.spark.failure import TaskFailedError
from converter.engines.spark.quick_worker import forget_archives_of_modules, freeze_imports
from converter.shards.published_rows import Piece, RowsGoneError, read_job
from converter.shards.shard import ShardJob, ShardResult, convert_shard
from shardio.errors import WorkerError
from shardio.format.manifest import Versions
from shardio.format.naming import ShardName
from shardio.heap import use_one_heap
from shardio.version import __version__

# The run that this process has worked for last.
_run = ""


@dataclass(frozen=True)
class Made:
    """A shard that was made, the bytes that were read for it, and the name of the machine."""

    result: ShardResult
    bytes_read: int
    host: str


@dataclass(frozen=True)
class TaskRun:
    """What all tasks of a run have in common.

    `shardio` and `versions` are those of the driver: others could make other bytes.
    """

    run: str
    common: ShardJob
    versions: Versions
    shardio: str = __version__

    def make(self, name: ShardName, pieces: tuple[Piece, ...]) -> Made:
        """Make a shard; raises TaskFailedError, which names it, for all that goes wrong."""
        host = socket.gethostname()
        try:
            self._begin(host)
            read = 0

            def image_done(size: int, rejected: bool, written: int) -> None:
                nonlocal read
                read += size

            job = read_job(self.common, name, pieces)
            return Made(convert_shard(job, image_done), read, host)
        except RowsGoneError as error:
            gone = WorkerError(
                f"{error}: OUT must be on storage that all machines reach, such as HDFS or a mount"
            )
            raise TaskFailedError.of(gone, str(name), host) from error
        except Exception as error:
            raise TaskFailedError.of(error, str(name), host) from error
        finally:
            forget_archives_of_modules()

    def _begin(self, host: str) -> None:
        """Forget what was read for another run, and compare versions."""
        global _run
        if _run == self.run:
            return
        from converter.imaging import pillow
        from converter.sources.archives import forget_archives

        if (__version__, pillow.versions()) != (self.shardio, self.versions):
            here, there = (
                _words(__version__, pillow.versions()),
                _words(self.shardio, self.versions),
            )
            raise WorkerError(
                f"it has {here}, and the driver {there}: other versions may make other bytes. Ship "
                "the driver's environment (docs/spark.md)"
            )
        pillow.load_formats()
        use_one_heap()
        forget_archives()
        freeze_imports()
        _run = self.run


def _words(shardio: str, versions: Versions) -> str:
    return f"shardio {shardio}, Pillow {versions.pillow} and {versions.libjpeg}"
