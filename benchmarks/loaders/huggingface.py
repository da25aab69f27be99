"""Hugging Face datasets: Arrow files, a shuffle of indices, buffers joined by hand."""

import numpy as np
from datasets import Dataset, load_from_disk
from loop import BATCH, work

_epochs = iter(range(10**9))


def prepare(folder, data):
    images, labels = data

    def rows():
        for image, heads in zip(images, labels, strict=True):
            yield {"image": image.tobytes(), "labels": heads.tobytes()}

    Dataset.from_generator(rows, cache_dir=str(folder / "cache")).save_to_disk(folder / "set")


def epoch(folder):
    dataset = load_from_disk(folder / "set").with_format("arrow")
    order = np.random.default_rng(next(_epochs)).permutation(len(dataset))
    for start in range(0, len(order) - BATCH + 1, BATCH):
        found = dataset[order[start : start + BATCH]]
        x = b"".join(memoryview(value.as_buffer()) for value in found["image"])
        y = b"".join(memoryview(value.as_buffer()) for value in found["labels"])
        yield np.frombuffer(x, np.uint8).reshape(-1, 32, 128, 3), np.frombuffer(y, np.int64)


if __name__ == "__main__":
    work(prepare, epoch)
