"""What each peer's program does: prepare its data once, then read an epoch whenever it is told to.

It runs in the peer's own environment, with NumPy and nothing of shardio's.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 128
Samples = tuple[Any, Any]


def samples() -> Samples:
    """Return images uint8 (n, 32, 128, 3) and labels int64 (n, 4), memory-mapped."""
    folder = Path(sys.argv[1])
    images = np.load(folder / "images.npy", mmap_mode="r")
    return images, np.load(folder / "labels.npy", mmap_mode="r")


def work(
    prepare: Callable[[Path, Samples], object], epoch: Callable[[Path], Iterable[Samples]]
) -> None:
    """Serve: for each line on standard input read an epoch, and print what it was.

    `prepare` writes the peer's own format into a folder, `epoch` gives batches of uint8 images (n,
    32, 128, 3) and labels (n, 4).
    """
    out = sys.stdout
    sys.stdout = sys.stderr  # what the peers print is no answer
    folder = Path(sys.argv[2])
    done = folder / "prepared"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, samples())
        done.touch()
    for _ in sys.stdin:
        start = time.perf_counter()
        images = 0
        labels = 0
        for x, y in epoch(folder):
            images += len(x)
            labels += int(np.asarray(y).sum())
        seconds = time.perf_counter() - start
        answer = {"images": images, "seconds": seconds, "labels": labels}
        out.write(json.dumps(answer) + "\n")
        out.flush()
