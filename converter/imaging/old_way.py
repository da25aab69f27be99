"""The usual generator: open, crop and resize each image of a batch, again in every epoch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shardio.format.transform import MODES, NO_RESAMPLING, Transform

Box = tuple[int, int, int, int]


def old_way(
    images: Iterable[tuple[Callable[[], bytes], Box | None]], transform: Transform, batch_size: int
) -> Iterator[int]:
    """Make batches of float32 images in [0, 1] of files, as such a generator does.

    `images` are what reads each file, and a box of its own. Yields how many images each batch has;
    those that cannot be used are left out.
    """
    left = iter(images)
    while some := list(islice(left, batch_size)):
        batch = []
        for read, box in some:
            try:
                batch.append(_pixels(read(), transform, box))
            # Pillow's plugins raise nearly anything, and the conversion says what is wrong.
            except Exception:
                continue
        yield len(np.stack(batch).astype(np.float32) / 255) if batch else 0


def _pixels(data: bytes, transform: Transform, box: Box | None) -> NDArray[np.uint8]:
    height, width, channels = transform.shape
    image = Image.open(io.BytesIO(data)).convert(MODES[channels])
    cut = box or transform.crop
    if cut is not None:
        image = image.crop(cut)
    elif transform.shorter is not None:
        scale = transform.shorter / min(image.size)
        image = image.resize([max(1, round(side * scale)) for side in image.size])
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    if image.size != (width, height) and transform.resample != NO_RESAMPLING:
        image = image.resize((width, height), Image.Resampling[transform.resample.upper()])
    return np.asarray(image).reshape(height, width, channels)
