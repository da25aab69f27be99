"""What slow storage costs the converter: files that take 5 ms to open, and local ones.

    python benchmarks/slow_storage.py [--images 6000] [--rounds 5] [--latency 0.005]

One worker, JPEG files of 344x384 pixels in the page cache; the slow ones are the same:

- in a folder that FUSE serves and that waits before it opens a file, as one of a server or a slow
  disk does (slow_folder.c, which needs a C compiler and Debian's packages fuse3 and libfuse3-dev);
- behind an fsspec file system that waits as long. The same file system without a wait shows what
  fsspec itself costs.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem
from made_images import KINDS, write_images
from rounds import Way, measure, table

from converter import ConvertOptions, convert
from shardio.format.transform import Transform

SOURCE = Path(__file__).with_name("slow_folder.c")
# More files than that are never opened at once.
THREADS = 128


class SlowFiles(LocalFileSystem):  # type: ignore[misc]
    """Local files behind a wait."""

    protocol: ClassVar[str] = "shardio-slow"
    seconds: ClassVar[float] = 0.0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def _open(self, path: str, *args: Any, **options: Any) -> Any:
        if path.startswith("/slow/"):
            path = path.removeprefix("/slow")
            time.sleep(self.seconds)
        return super()._open(path, *args, **options)


@contextmanager
def slow_folder(folder: Path, seconds: float, scratch: Path) -> Iterator[Path]:
    """Mount `folder` where its files take so long to open."""
    program, point = scratch / "slow_folder", scratch / "slow"
    line = ["pkg-config", "--cflags", "--libs", "fuse3"]
    flags = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    subprocess.run(["cc", "-O2", str(SOURCE), *flags, "-o", str(program)], check=True)
    point.mkdir()
    options = f"max_threads={THREADS},max_idle_threads={THREADS}"
    line = [str(program), str(folder), str(int(seconds * 1e6)), "-f", "-o", options, str(point)]
    with subprocess.Popen(line) as process:
        try:
            while not point.is_mount():
                if process.poll() is not None:
                    raise SystemExit("nothing can be mounted here")
                time.sleep(0.05)
            yield point
        finally:
            process.terminate()


def converted(listed: Path, folder: Path, count: int) -> float:
    """Convert; returns images a second."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        start = time.perf_counter()
        options = ConvertOptions(transform=Transform((186, 0, 300, 30), (128, 32)), shards=1)
        summary = convert(str(listed), out, options, engine="inline")
        assert summary.records == count
        return count / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.005, help="seconds to open a file")
    parser.add_argument("--images-folder", type=Path, default=Path("data/bench-images"))
    arguments = parser.parse_args()
    SlowFiles.seconds = arguments.latency
    fsspec.register_implementation("shardio-slow", SlowFiles, clobber=True)
    kind = next(kind for kind in KINDS if kind.name == "jpeg")
    images = (arguments.images_folder / f"jpeg-{arguments.images}").resolve()
    write_images(images, kind, arguments.images)
    names = sorted(path.name for path in images.glob("*.jpeg"))
    with (
        tempfile.TemporaryDirectory() as scratch,
        slow_folder(images, arguments.latency, Path(scratch)) as slow,
    ):
        starts = {
            "local files": f"{images}/",
            "slow folder": f"{slow}/",
            "fsspec, no wait": f"shardio-slow:/{images}/",
            "fsspec, slow": f"shardio-slow://slow{images}/",
        }
        ways = []
        for number, (name, start) in enumerate(starts.items()):
            listed = Path(scratch) / f"{number}.csv"
            lines = [f"{start}{file},{row % 9}" for row, file in enumerate(names)]
            listed.write_text("\n".join(["path,y0", *lines]) + "\n")
            ways.append(Way(name, partial(converted, listed, Path(scratch), len(names))))
        print(table(measure(ways, arguments.rounds), "local files"))


if __name__ == "__main__":
    main()
