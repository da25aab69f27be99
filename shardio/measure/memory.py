"""The most memory that a process has had."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Memory:
    """Bytes at the most: `resident` as `top` shows it, and `own`.

    What is resident counts the pages of files that are mapped, too, which are the kernel's page
    cache and are taken back when memory is short; they are not the process's `own`.
    """

    resident: int
    own: int

    @classmethod
    def of(cls, sampled: SampledMemory) -> Memory:
        """Return that of this process, and its own memory as it was sampled.

        `getrusage` would say the parent's where that had more.
        """
        return cls(_kilobytes("VmHWM") << 10, sampled.peak << 10)


class SampledMemory:
    """Looks at RssAnon every so many seconds while a block runs; `peak` is in kB."""

    def __init__(self, every: float = 0.003) -> None:
        self.peak = 0
        self._every = every
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.peak = max(self.peak, _kilobytes("RssAnon"))

    def __enter__(self) -> SampledMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join()


def _kilobytes(name: str) -> int:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(name):
                return int(line.split()[1])
    return 0
