"""A lock on a folder of this machine, which ends with the process that holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from shardio.errors import OutputError, StorageError
from shardio.storage.links import link_error
from shardio.storage.owner import Owner

# A link could lead to a file of somebody else, or make one.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
# The descriptors of the locks that this process has taken, and not its parent.
_held: set[int] = set()
os.register_at_fork(after_in_child=_held.clear)


@contextmanager
def locked(path: str, busy: str) -> Iterator[None]:
    """Hold the lock `path` while the block runs; then remove it, and its folder if that is empty.

    Raises OutputError with the text `busy` where another process has it, and where it is a link;
    StorageError where it cannot be made.
    """
    try:
        lock = lock_file(path, busy)
    except OutputError:
        raise
    except (OSError, ValueError) as error:
        folder = os.path.dirname(os.path.dirname(path))
        reason = getattr(error, "strerror", None) or error
        raise StorageError(f"{folder}: {reason}; name another folder") from error
    owner = Owner()
    try:
        yield
    finally:
        if owner.is_here:
            with suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))
        os.close(lock)


def lock_file(path: str, busy: str) -> int:
    """Make the file `path` and lock it; returns its descriptor, and closing that ends the lock.

    Raises OutputError with the text `busy` where another process has it. The holder of the lock
    may remove the file before closing it.
    """
    lock = try_lock(path)
    if lock is None:
        raise OutputError(busy)
    return lock


def try_lock(path: str, *, shared: bool = False) -> int | None:
    """Make and lock a file as `lock_file`; returns None where another one has it.

    Any number may have a `shared` lock at once, and then no other one is given. Raises OutputError
    where `path` is a symbolic link.
    """
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    folder = os.path.dirname(path)
    while True:
        try:
            os.makedirs(folder, exist_ok=True)
        except FileExistsError:
            if _is_no_folder(folder):
                raise
            continue  # the one that has just finished took the folder away
        try:
            lock = os.open(path, _FLAGS, 0o666)
        except FileNotFoundError:
            continue  # likewise
        except OSError as error:
            if error.errno == errno.ELOOP and os.path.islink(path):
                raise link_error(path) from error
            raise
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
            # The one that had the lock before may have removed the file: then this is a lock
            # of nothing, and a third one could have the new file's.
            if os.path.samestat(os.fstat(lock), os.stat(path)):
                _held.add(lock)
                return lock
        except BlockingIOError:
            os.close(lock)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _is_no_folder(path: str) -> bool:
    """Whether something else is there; one look, since what is there may go at any time."""
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return os.path.islink(path)  # that leads nowhere


def unlock(lock: int) -> None:
    """Release a lock at once, even if a process that was forked meanwhile has its descriptor.

    Such a process only closes it: the lock is its parent's.
    """
    if lock in _held:
        fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)
