"""litData: `optimize` with two workers."""

import sys

here = sys.path.pop(0)  # this file has the package's name
import litdata as ld
import numpy as np

sys.path.insert(0, here)
from job import PROCESSES, pixels, rows, timed


def sample(row):
    path, labels = row
    return {"image": pixels(path).tobytes(), "labels": np.array(labels, np.int64).tobytes()}


def convert(out):
    stdout, sys.stdout = sys.stdout, sys.stderr  # what it prints is no answer
    ld.optimize(
        fn=sample,
        inputs=rows(),
        output_dir=str(out / "set"),
        chunk_bytes="64MB",
        num_workers=PROCESSES,
    )
    sys.stdout = stdout


if __name__ == "__main__":
    timed(convert)
