"""Input for the converter: images of all kinds, and folders with a table."""

from __future__ import annotations

import csv
import io
import os
import signal
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shardio.format.naming import TIMES
from shardio.format.transform import Transform

# What is done to the demo's captchas, and how a command line says that.
BOXED = Transform((186, 0, 300, 30), (128, 32))
BOXED_OPTIONS = ("--crop", "186,0,300,30", "--size", "128x32")

# Adam7: first column and row of each pass, and its steps.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def picture(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """Draw an image in which every pixel is another: smooth waves with some noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (3 + band + seed % 5) + y / (7 - band)) for band in range(4)]
    pixels = np.stack(waves, axis=-1) * 100 + 128 + random.integers(-20, 20, (height, width, 4))
    eight = pixels.clip(0, 255).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 2**16, (height, width), dtype=np.uint16))
    if mode == "1":
        return Image.fromarray(eight[..., 0]).convert("1")
    if mode == "P":
        palette = Image.fromarray(eight[..., 0] // 2).convert("P")
        palette.putpalette(random.integers(0, 256, 768, dtype=np.uint8).tobytes())
        return palette
    if mode == "LA":
        return Image.merge("LA", [Image.fromarray(eight[..., band]) for band in (0, 3)])
    if mode == "L":
        return Image.fromarray(np.ascontiguousarray(eight[..., 0]))
    if mode in ("CMYK", "YCbCr"):
        return Image.frombytes(
            mode, (width, height), eight[..., : 4 if mode == "CMYK" else 3].tobytes()
        )
    return Image.fromarray(np.ascontiguousarray(eight[..., : len(mode)]))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def png_header(width: int, height: int, colour: int = 2, interlaced: int = 0) -> bytes:
    """Return the start of an 8-bit PNG."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


def interlaced_png(image: Image.Image) -> bytes:
    """Return an interlaced PNG of an RGB or RGBA image; Pillow reads them but writes none."""
    pixels = np.asarray(image)
    lines = b""
    for left, top, across, down in _PASSES:
        part = pixels[top::down, left::across]
        if part.size:
            lines += b"".join(b"\0" + row.tobytes() for row in part)
    colour = 6 if image.mode == "RGBA" else 2
    return (
        png_header(image.width, image.height, colour, 1)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def write_images(folder: Path, count: int, size: tuple[int, int] = (300, 40)) -> list[str]:
    """Write images, JPEG and RGBA PNG in turn; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(count):
        jpeg = number % 2 == 0
        name = f"{number:04d}.{'jpg' if jpeg else 'png'}"
        image = picture("RGB" if jpeg else "RGBA", *size, seed=number)
        image.save(folder / name, quality=90)
        names.append(name)
    return names


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> Path:
    """Write a CSV table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def write_input(
    folder: Path, rows: int, images: int = 6, heads: int = 2, classes: int = 100
) -> Path:
    """Write a table of `rows` rows that name `images` images in turn; returns the table."""
    names = write_images(folder / "images", images)
    return write_csv(
        folder / "labels.csv",
        ["path", *(f"y{head}" for head in range(heads))],
        (
            [
                f"images/{names[row % images]}",
                *((7 * row + head) % classes for head in range(heads)),
            ]
            for row in range(rows)
        ),
    )


def is_same(name: str) -> bool:
    """Whether a file has the same bytes whoever makes the set: all but the times have."""
    return name.rpartition("/")[2] != TIMES


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder, hidden ones too, by their relative path; no times."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and is_same(path.name)
    }


def command(*arguments: object) -> list[str]:
    """Return the command line of the converter."""
    return [sys.executable, "-m", "converter", *map(str, arguments)]


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the converter in a process of its own and wait."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start the converter as the leader of a new process group."""
    return subprocess.Popen(
        command(*arguments),
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    """Return the environment in which any folder can run the converter."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that must come to pass; the limit only ends a broken test."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.005)


def servers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the id of the process that the workers of a running converter are forked from."""
    return [
        pid for pid in children_of(process.pid) if b"multiprocessing.forkserver" in line_of(pid)
    ]


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the ids of the worker processes of a running converter."""
    return [worker for server in servers_of(process) for worker in children_of(server)]


def line_of(pid: int) -> bytes:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def children_of(pid: int) -> list[int]:
    """Return the ids of the children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def maps_of(pid: int) -> bytes:
    """Return what a process has mapped into its memory, as the kernel lists it."""
    try:
        return Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return b""


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill what a test has left running."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def reference(
    data: bytes,
    crop: tuple[int, int, int, int] | None,
    size: tuple[int, int],
    resample: str,
    mode: str = "",
) -> NDArray[np.uint8]:
    """Do what the converter promises, in the words of the promise; `mode` is L or RGBA."""
    image: Image.Image = Image.open(io.BytesIO(data))
    if mode or image.mode not in ("RGB", "RGBA"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a palette with transparency
            image = image.convert(mode or "RGB")
    if crop is not None:
        image = image.crop(crop)
    resized = np.array(image.resize(size, Image.Resampling[resample.upper()]))
    return resized if mode else resized[..., :3]
