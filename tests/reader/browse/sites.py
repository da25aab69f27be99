"""Sets for pages, with hostile names, and servers that end with their test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converter import ConvertOptions, convert
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images

ROOT = Path(__file__).resolve().parents[3]
TEXTS = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "</style><b>",
    "猫",
    "a=b&c#d?e",
]
# What a folder of images may be called.
FOLDER = "\"><script>document.title='owned'<\\script>, \x1b]0;é"


def hostile_set(folder: Path, images: int = 130) -> Path:
    """Convert a set with hostile texts and paths, two splits and records.parquet."""
    names = [*write_images(folder / FOLDER, images, (60, 40)), "none.png"]
    rows = [
        [
            *(f"{FOLDER}/{name}", TEXTS[n % 5 if n % 7 else 0], TEXTS[n % 3], n % 4, n / 8),
            "train" if n % 4 else "val",
        ]
        for n, name in enumerate(names)
    ]
    columns = ["path", "y0", "y1", "y2", "score", "split"]
    table = write_csv(folder / "t.csv", columns, [[*map(str, row)] for row in rows])
    options = ConvertOptions(
        transform=Transform(None, (16, 8)),
        shards=5,
        labels=("y0", "y1", "y2"),
        float_labels=("score",),
        text_labels=True,
    )
    convert(
        *(str(table), str(folder / "set"), options),
        engine="inline",
        max_rejects="1",
        metadata={"name": TEXTS[0]},
    )
    return folder / "set"


@contextmanager
def served(*words: str | Path, cache: Path) -> Iterator[str]:
    """Serve a set by the command; gives the address that it prints."""
    command = [sys.executable, "-m", "reader", "browse", *map(str, words), "--port", "0"]
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache))
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split(" ")[0]
        finally:
            process.kill()
