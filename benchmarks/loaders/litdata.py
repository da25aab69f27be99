"""litData: bytes leaves, its own shuffle, no worker processes."""

import sys

sys.path.pop(0)  # this file has the package's name
import litdata as ld
import numpy as np
import torch

sys.path.insert(0, __file__.rpartition("/")[0])
from loop import BATCH, samples, work


def sample(index):
    images, labels = samples()
    return {"image": images[index].tobytes(), "labels": labels[index].tobytes()}


def prepare(folder, data):
    ld.optimize(
        fn=sample,
        inputs=list(range(len(data[0]))),
        output_dir=str(folder / "set"),
        chunk_bytes="64MB",
        num_workers=2,
    )


def collate(items):
    x = np.frombuffer(b"".join(i["image"] for i in items), np.uint8)
    y = np.frombuffer(b"".join(i["labels"] for i in items), np.int64)
    return torch.from_numpy(x.reshape(-1, 32, 128, 3).copy()), y.reshape(-1, 4)


def epoch(folder):
    dataset = ld.StreamingDataset(str(folder / "set"), shuffle=True)
    return ld.StreamingDataLoader(dataset, batch_size=BATCH, collate_fn=collate, num_workers=0)


if __name__ == "__main__":
    work(prepare, epoch)
