"""The changes that a process makes to files: counted, and ended before one of them."""

from __future__ import annotations

import os
import signal
import sys

_EVENTS = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}


class Changes:
    """Counts what this process changes below a folder, and kills it right before one change.

    What is on a disk after a kill at any moment is there after a kill before some change, too. With
    `start` the first one that counts is the one that names it.
    """

    def __init__(
        self, folder: str, end_before: int | None = None, start: str | None = None
    ) -> None:
        self.count = 0
        self._folder = folder
        self._end_before = end_before
        self._start = start
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            mode = arguments[1]
            if not isinstance(mode, str) or mode[:1] not in "wxa":
                return
        elif event not in _EVENTS:
            return
        names = [name for name in map(_name, arguments) if self._folder in name]
        if self._start is not None and any(self._start in name for name in names):
            self._start = None
        if not names or self._start is not None:
            return
        if self.count == self._end_before:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def _name(argument: object) -> str:
    return os.fsdecode(argument) if isinstance(argument, str | bytes | os.PathLike) else ""
