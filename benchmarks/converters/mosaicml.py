"""MosaicML Streaming: a pool of processes, each with an MDSWriter of its own, merged at the end."""

from multiprocessing import get_context

import numpy as np
from job import PROCESSES, parts, pixels, timed
from streaming import MDSWriter
from streaming.base.util import merge_index


def write(job):
    folder, rows = job
    columns = {"image": "bytes", "labels": "bytes"}
    with MDSWriter(out=folder, columns=columns, size_limit=1 << 26) as out:
        for image, labels in rows:
            data = np.array(labels, np.int64).tobytes()
            out.write({"image": pixels(image).tobytes(), "labels": data})


def convert(out):
    jobs = [(str(out / str(number)), rows) for number, rows in enumerate(parts())]
    with get_context("fork").Pool(PROCESSES) as pool:
        pool.map(write, jobs, chunksize=1)
    merge_index(str(out), keep_local=True)


if __name__ == "__main__":
    timed(convert)
