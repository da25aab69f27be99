"""A lock on a folder of this machine, which ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os

from shardio.errors import OutputError


def lock_file(path: str, busy: str) -> int:
    """Make the file `path` and lock it; returns its descriptor, and closing that ends the lock.

    Raises OutputError with the text `busy` where another process has it. Who holds the lock may
    remove the file before closing it.
    """
    while True:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue  # the one that has just finished took the folder away
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one that had the lock before may have removed the file: then this is a lock
            # of nothing, and a third one could have the new file's.
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                return lock
        except BlockingIOError as error:
            os.close(lock)
            raise OutputError(busy) from error
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
