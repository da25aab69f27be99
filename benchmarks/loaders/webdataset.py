"""WebDataset: tar shards, a shuffle buffer, two worker processes."""

import sys

here = sys.path.pop(0)
import numpy as np
import torch
import webdataset as wds

sys.path.insert(0, here)
from loop import BATCH, work


def prepare(folder, data):
    images, labels = data
    with wds.ShardWriter(str(folder / "set-%05d.tar"), maxcount=8192, verbose=0) as out:
        for number, (image, heads) in enumerate(zip(images, labels, strict=True)):
            out.write(
                {"__key__": f"{number:08}", "x.bin": image.tobytes(), "y.bin": heads.tobytes()}
            )


def collate(items):
    x = np.frombuffer(b"".join(i[0] for i in items), np.uint8)
    y = np.frombuffer(b"".join(i[1] for i in items), np.int64)
    return torch.from_numpy(x.reshape(-1, 32, 128, 3).copy()), torch.from_numpy(
        y.reshape(-1, 4).copy()
    )


def epoch(folder):
    paths = sorted(map(str, folder.glob("set-*.tar")))
    dataset = wds.WebDataset(paths, shardshuffle=len(paths)).shuffle(4096)
    dataset = dataset.to_tuple("x.bin", "y.bin").batched(BATCH, collation_fn=collate)
    return wds.WebLoader(dataset, batch_size=None, num_workers=2)


if __name__ == "__main__":
    work(prepare, epoch)
