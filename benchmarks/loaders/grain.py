"""grain over ArrayRecord: a shuffled map dataset, two threads, no worker processes."""

import sys

here = sys.path.pop(0)
import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

sys.path.insert(0, here)
from loop import BATCH, work


def prepare(folder, data):
    images, labels = data
    writer = ArrayRecordWriter(str(folder / "set.array_record"), "group_size:1")
    for image, heads in zip(images, labels, strict=True):
        writer.write(heads.tobytes() + image.tobytes())
    writer.close()


def parse(record):
    data = np.frombuffer(record, np.uint8)
    return data[32:].reshape(32, 128, 3), data[:32].view(np.int64)


_epochs = iter(range(10**9))


def epoch(folder):
    source = grain.sources.ArrayRecordDataSource(str(folder / "set.array_record"))
    dataset = grain.MapDataset.source(source).shuffle(seed=next(_epochs)).map(parse)
    options = grain.ReadOptions(num_threads=2, prefetch_buffer_size=512)
    return dataset.to_iter_dataset(options).batch(BATCH, drop_remainder=True)


if __name__ == "__main__":
    work(prepare, epoch)
