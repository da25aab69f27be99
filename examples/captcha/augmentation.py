"""What changes images at random while a model learns, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SHIFT = 2


def augment(x: NDArray[np.uint8], ys: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Move each image by up to two pixels, and change its brightness; x is uint8 and stays so."""
    count, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (_SHIFT, _SHIFT), (_SHIFT, _SHIFT), (0, 0)), mode="edge")
    top, left = rng.integers(0, 2 * _SHIFT + 1, (2, count, 1))
    rows, columns = top + np.arange(height), left + np.arange(width)
    moved = padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]]
    light = rng.integers(-24, 25, (count, 1, 1, 1), dtype=np.int16)
    return np.clip(moved + light, 0, 255).astype(np.uint8), ys
