"""What slow storage costs the converter: files that take 5 ms to open, and local ones.

    python benchmarks/slow_storage.py [--images 3000] [--rounds 5] [--latency 0.005]

One worker, JPEG files of 344x384 pixels in the page cache; the slow ones are the same, behind an
fsspec file system that waits before it opens a file, as a server or a disk would. The same file
system without a wait shows what fsspec itself costs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from PIL import Image
from rounds import Way, measure, table

from converter import ConvertOptions, convert


class SlowFiles(LocalFileSystem):  # type: ignore[misc]
    """Local files behind a wait."""

    protocol: ClassVar[str] = "shardio-slow"
    seconds: ClassVar[float] = 0.0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def _open(self, path: str, *args: Any, **options: Any) -> Any:
        if "/slow/" in path:
            path = path.replace("/slow/", "/")
            time.sleep(self.seconds)
        return super()._open(path, *args, **options)


STARTS = {
    "local files": "",
    "slow files": "shardio-slow://slow/",
    "fsspec, no wait": "shardio-slow://",
}


def write_images(folder: Path, count: int) -> None:
    """Write JPEG files that differ."""
    y, x = np.mgrid[0:384, 0:344]
    for number in range(count):
        waves = np.stack([np.sin(x / (9 + band + number % 17) + y / 11) for band in range(3)], -1)
        data = BytesIO()
        Image.fromarray((waves * 100 + 128).astype(np.uint8)).save(data, "JPEG", quality=90)
        (folder / f"{number}.jpg").write_bytes(data.getvalue())


def converted(table: Path, folder: Path, count: int) -> float:
    """Convert; returns images a second."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        summary = convert(str(table), out, ConvertOptions(shards=1), engine="inline")
        assert summary.records == count
        return count / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.005, help="seconds to open a file")
    arguments = parser.parse_args()
    SlowFiles.seconds = arguments.latency
    fsspec.register_implementation("shardio-slow", SlowFiles, clobber=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_images(folder, arguments.images)
        ways = []
        for name, start in STARTS.items():
            lines = [f"{start}{folder}/{n}.jpg,{n % 9}" for n in range(arguments.images)]
            listed = folder / f"{name.split()[0]}.csv"
            listed.write_text("\n".join(["path,y0", *lines]) + "\n")
            ways.append(Way(name, partial(converted, listed, folder, arguments.images)))
        print(table(measure(ways, arguments.rounds), "local files"))


if __name__ == "__main__":
    main()
