"""FFCV: raw images in the page cache, random order, one worker; it uses its buffers again."""

import sys

here = sys.path.pop(0)
import numpy as np
from ffcv.fields import NDArrayField
from ffcv.fields.ndarray import NDArrayDecoder
from ffcv.loader import Loader, OrderOption
from ffcv.writer import DatasetWriter

sys.path.insert(0, here)
from loop import BATCH, samples, work


class Pairs:
    """The samples, as FFCV's writer asks for them."""

    def __len__(self):
        return len(samples()[0])

    def __getitem__(self, index):
        images, labels = samples()
        return np.array(images[index]), np.array(labels[index])


def prepare(folder, data):
    fields = {
        "image": NDArrayField(np.dtype("uint8"), (32, 128, 3)),
        "labels": NDArrayField(np.dtype("int64"), (4,)),
    }
    DatasetWriter(str(folder / "set.beton"), fields, num_workers=2).from_indexed_dataset(Pairs())


_made = []


def epoch(folder):
    if not _made:
        _made.append(
            Loader(
                str(folder / "set.beton"),
                batch_size=BATCH,
                num_workers=1,
                order=OrderOption.RANDOM,
                os_cache=True,
                drop_last=True,
                pipelines={"image": [NDArrayDecoder()], "labels": [NDArrayDecoder()]},
            )
        )
    return _made[0]


if __name__ == "__main__":
    work(prepare, epoch)
