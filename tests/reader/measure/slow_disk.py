"""A folder as of a slow disk: each read takes a while. `slow_disk.py FOLDER SECONDS MOUNTPOINT`.

What was read stays in the page cache, as that of a disk does. (benchmarks/slow_folder.c is slow to
open files, which costs a converter much and a reader of few large files little.)
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import mfusepy


class SlowDisk(mfusepy.Operations):  # type: ignore[misc]
    use_ns = True

    def __init__(self, folder: str, seconds: float) -> None:
        self.folder = folder
        self.seconds = seconds

    def getattr(self, path: str, fh: Any = None) -> dict[str, Any]:
        found = os.lstat(self.folder + path)
        names = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink")
        times = {f"st_{name}time": getattr(found, f"st_{name}time_ns") for name in "amc"}
        return {name: getattr(found, name) for name in names} | times

    def readdir(self, path: str, fh: Any) -> list[str]:
        return [".", "..", *os.listdir(self.folder + path)]

    def open(self, path: str, flags: int) -> int:
        return os.open(self.folder + path, os.O_RDONLY)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        time.sleep(self.seconds)
        return os.pread(fh, size, offset)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0


if __name__ == "__main__":
    folder, seconds, point = sys.argv[1:]
    options = {"foreground": True, "nothreads": False, "kernel_cache": True, "ro": True}
    mfusepy.FUSE(SlowDisk(folder, float(seconds)), point, **options)
