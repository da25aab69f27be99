"""What is seen of the pixels of many images at once: brightness, contrast, one colour, hashes."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import Any

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

Images = NDArray[np.uint8]

# ITU-R BT.601, as Pillow's mode L.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# A difference hash compares neighbours in rows of a reduced image.
_ROWS, _COLUMNS = 8, 9


def luminance(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return the luminance of images (n, height, width, channels); alpha is left out.

    It is 0 to 255 where the values are. One colour after the other: the products of BLAS are so
    small here that its threads would wait for each other most of the time.
    """
    if images.shape[-1] == 1:
        return images[..., 0].astype(np.float32)
    grey = images[..., 0] * _LUMA[0]
    grey += images[..., 1] * _LUMA[1]
    grey += images[..., 2] * _LUMA[2]
    return np.asarray(grey, dtype=np.float32)


def brightness_and_contrast(
    grey: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and standard deviation of the luminance of each image."""
    return grey.mean(axis=(1, 2)), grey.std(axis=(1, 2))


def have_one_colour(images: Images) -> NDArray[np.bool_]:
    """Return which images have the same colour in all pixels."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    middle = flat.shape[1] // 2
    first = flat[:, :1]
    maybe = (flat[:, [middle, -1]] == first).all(axis=(1, 2))
    # Few images are of one colour at three places; only those are compared whole.
    for number in np.flatnonzero(maybe).tolist():
        maybe[number] = bool((flat[number] == first[number]).all())
    return np.asarray(maybe)


def quick_hashes(images: Images) -> NDArray[np.uint64]:
    """Return 64 bits of each image, the CRC-32C of both halves: equal for the same pixels.

    They take a tenth of the time of exact ones, and a few images may share one by chance.
    """
    flat = np.ascontiguousarray(images.reshape(len(images), -1))
    half = flat.shape[1] // 2
    crcs = [(crc32c(image[:half].data), crc32c(image[half:].data)) for image in flat]
    return np.array(crcs, dtype=np.uint32).reshape(-1, 2).view(np.uint64).reshape(-1)


def exact_hashes(images: Images) -> NDArray[np.uint64]:
    """Return 64 bits of the SHA-256 of the pixels of each image."""
    flat = np.ascontiguousarray(images.reshape(len(images), -1))
    digests = [hashlib.sha256(image.data).digest()[:8] for image in flat]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def difference_hashes(images: Images) -> NDArray[np.uint64]:
    """Return 64 bits of each image, which say where it gets brighter from left to right.

    Its luminance is reduced to 9x8 means; images that look alike differ in few bits.
    """
    count, height, width, _ = images.shape
    lines = [
        images[:, start:stop].sum(axis=1, dtype=np.uint32).astype(np.float32) / (stop - start)
        for start, stop in _parts(height, _ROWS)
    ]
    grey = luminance(np.stack(lines, axis=1))
    columns = [grey[:, :, start:stop].mean(axis=2) for start, stop in _parts(width, _COLUMNS)]
    small = np.stack(columns, axis=2)
    bits = small[:, :, 1:] > small[:, :, :-1]
    packed = np.packbits(bits.reshape(count, 64), axis=1)
    return packed.view(">u8").reshape(-1).astype(np.uint64)


def bit_counts(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many bits of each value are set."""
    if hasattr(np, "bitwise_count"):  # from NumPy 2 on
        return np.bitwise_count(values).astype(np.int64)
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(*values.shape, 8)
    return np.asarray(_BITS[octets].sum(axis=-1, dtype=np.int64))


_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)


def _parts(size: int, count: int) -> list[tuple[int, int]]:
    """Cut `size` values into parts; a part of less than a value has that one."""
    edges = [size * part // count for part in range(count + 1)]
    return [(start, max(stop, start + 1)) for start, stop in pairwise(edges)]
