"""Patience with storage: servers restart, others take over, networks fail for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from shardio.errors import (
    MissingFileError,
    StorageError,
    UnavailableError,
    UnknownStorageError,
    UnusableFileError,
)
from shardio.storage.waiting import Wait, patiently

T = TypeVar("T")

# The NameNode of HDFS gives new blocks to a DataNode that has died for another 10.5 minutes.
_OUTPUT_SECONDS = 15 * 60.0
# A storage may have tried for as long by itself.
_INPUT_SECONDS = 60.0
_FOR_GOOD = (MissingFileError, UnusableFileError, UnknownStorageError)


def writing(action: Callable[[], T], pause: Callable[[float], None] = time.sleep) -> T:
    """Call `action`, which writes, until it succeeds.

    Raises UnavailableError when its output has been unavailable for 15 minutes, and every other
    error at once.
    """

    def is_passing(error: BaseException) -> bool:
        return isinstance(error, UnavailableError)

    try:
        return patiently(action, is_passing, Wait(_OUTPUT_SECONDS), pause, since_failure=True)
    except UnavailableError as error:
        minutes = _OUTPUT_SECONDS / 60
        raise UnavailableError(f"{error} (tried for {minutes:.0f} minutes)") from error


def reading(action: Callable[[], T], pause: Callable[[float], None] = time.sleep) -> T:
    """Call `action`, which reads an image, until it succeeds, for a minute where that may help.

    Raises StorageError where it does not: then the storage is at fault, and not the image.
    """

    def is_passing(error: BaseException) -> bool:
        failed = isinstance(error, StorageError | TimeoutError | ConnectionError)
        return failed and not isinstance(error, _FOR_GOOD)

    wait = Wait(_INPUT_SECONDS)
    try:
        return patiently(action, is_passing, wait, pause)
    except _FOR_GOOD:
        raise
    except (StorageError, TimeoutError, ConnectionError) as error:
        raise StorageError(
            f"{error} (tried for a minute). The storage is at fault, so the image is not rejected: "
            "run the same command again when it works, which goes on from here"
        ) from error
