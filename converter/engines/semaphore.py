"""A semaphore that processes share and that has no name."""

from __future__ import annotations

import os
import select
from multiprocessing.reduction import DupFd
from typing import Any


class Semaphore:
    """Lets as many processes and threads through as its value says; a lock, where that is 1.

    Those of multiprocessing have names in /dev/shm. There they stay when all processes that know
    them are killed together, and they cannot be made where /dev/shm is read-only or full. This one
    is a counter of the kernel's, which is gone with the last process that has it open.
    """

    def __init__(self, value: int = 1) -> None:
        self._fd = -1
        self._fd = os.eventfd(value, os.EFD_SEMAPHORE | os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one, waiting for it if need be; returns whether there was one in time."""
        while True:
            try:
                os.eventfd_read(self._fd)
                return True
            except BlockingIOError:
                # Another process may be quicker; no one here gives a timeout and many rivals.
                if not block or not self._wait(timeout):
                    return False

    def release(self) -> None:
        """Give one back."""
        os.eventfd_write(self._fd, 1)

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def _wait(self, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))

    # A queue of multiprocessing asks so whether it is full.
    @property
    def _semlock(self) -> Semaphore:
        return self

    def _is_zero(self) -> bool:
        return not self._wait(0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self._fd),)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _received(descriptor: Any) -> Semaphore:
    semaphore = Semaphore.__new__(Semaphore)
    semaphore._fd = descriptor.detach()
    return semaphore
