"""An output folder after a job on machines that may have died."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from converter.shards.output import OutputFolder
from shardio.errors import ShardioError
from shardio.storage.owner import Owner


@contextmanager
def swept(folder: OutputFolder, *, elsewhere: bool) -> Iterator[None]:
    """Remove what attempts `elsewhere` have left that ended without a word, after the block."""
    owner = Owner()
    try:
        yield
    finally:
        if elsewhere and owner.is_here:
            with suppress(ShardioError):
                folder.remove_half_written()
