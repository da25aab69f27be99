"""What each peer's program does with an image, and how it is timed.

It runs in the peer's own environment, with NumPy, pillow-simd and nothing of shardio's.
"""

import csv
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

HEADS = ("y0", "y1", "y2", "y3")
PROCESSES = 2


def rows():
    """Return the path and the labels of every image of the table."""
    table = Path(sys.argv[1])
    with table.open(newline="") as file:
        return [
            (str(table.parent / row["path"]), [int(row[head]) for head in HEADS])
            for row in csv.DictReader(file)
        ]


def pixels(path):
    """Crop and resize an image; returns uint8 (32, 128, 3)."""
    image = Image.open(path).crop((186, 0, 300, 30)).resize((128, 32))
    return np.ascontiguousarray(np.array(image)[..., :3])


def parts():
    """Deal the rows to the processes."""
    all_rows = rows()
    return [all_rows[number::PROCESSES] for number in range(PROCESSES)]


def timed(convert):
    """Convert into a new folder and print the seconds."""
    out = Path(sys.argv[2])
    out.mkdir(parents=True)
    start = time.perf_counter()
    convert(out)
    print(time.perf_counter() - start)
