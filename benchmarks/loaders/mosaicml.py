"""MosaicML Streaming: bytes columns, a local folder, two worker processes."""

import numpy as np
import torch
from loop import BATCH, work
from streaming import MDSWriter, StreamingDataset
from torch.utils.data import DataLoader


def prepare(folder, data):
    images, labels = data
    columns = {"image": "bytes", "labels": "bytes"}
    with MDSWriter(out=str(folder / "set"), columns=columns, size_limit=1 << 26) as out:
        for image, heads in zip(images, labels, strict=True):
            out.write({"image": image.tobytes(), "labels": heads.tobytes()})


def collate(items):
    x = np.frombuffer(b"".join(i["image"] for i in items), np.uint8)
    y = np.frombuffer(b"".join(i["labels"] for i in items), np.int64)
    return torch.from_numpy(x.reshape(-1, 32, 128, 3).copy()), torch.from_numpy(
        y.reshape(-1, 4).copy()
    )


_made = []


def epoch(folder):
    if not _made:
        dataset = StreamingDataset(local=str(folder / "set"), shuffle=True, batch_size=BATCH)
        _made.append(DataLoader(dataset, BATCH, collate_fn=collate, num_workers=2, drop_last=True))
    return _made[0]


if __name__ == "__main__":
    work(prepare, epoch)
