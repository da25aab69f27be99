"""The caller's function that changes batches: called, seeded, and what it returns is checked."""

from __future__ import annotations

from collections import deque
from threading import Lock, Semaphore
from traceback import extract_tb
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from reader.batching.batch_form import RESERVED, BatchForm, BatchParts
from reader.batching.options import TransformFunction
from shardio.errors import TransformError

Array = NDArray[Any]

# Kinds of numbers that frameworks have: bool, integers and floats.
_NUMBERS = "biuf"
# Batches that are made ahead, or kept, and were made so recently.
_REMEMBERED = 32


def batch_rng(seed: int, epoch: int, position: int) -> np.random.Generator:
    """Return the generator of the batch whose first sample is at a position of an epoch's order."""
    words = np.array([seed, epoch, position], dtype="<u8").view("<u4")
    return np.random.default_rng(words)


class BatchTransform:
    """Calls `function` on batches, at most `threads` times at once.

    The labels that it is given, and returns, are in the form of those of a NumPy batch: an array, a
    list of them, or with `as_dict` a dict.
    """

    def __init__(
        self, function: TransformFunction, form: BatchForm, *, seed: int, threads: int
    ) -> None:
        self._function = function
        self._form = form
        self._seed = seed
        self._turn = Semaphore(threads)
        self._recent: deque[list[ref[Array]]] = deque(maxlen=_REMEMBERED)
        self._lock = Lock()

    def of(self, parts: BatchParts, epoch: int, position: int) -> BatchParts:
        """Return what the function makes of the batch whose first sample is at a position.

        Raises TransformError, with the cause, for any error of the function, and ValueError where
        it returns what is no batch.
        """
        rng = batch_rng(self._seed, epoch, position)
        given = self._form.labels(parts.labels)
        try:
            with self._turn:
                found = self._function(parts.images, given, rng)
        except Exception as error:
            raise TransformError(f"{type(error).__name__}: {error} ({_line(error)})") from error
        images, heads, labels = self._taken(found)
        names = ["x", *(heads or [f"ys[{number}]" for number in range(len(labels))])]
        arrays = [
            _plain(name, part, len(parts.images))
            for name, part in zip(names, [images, *labels], strict=True)
        ]
        self._refuse_memory_used_again(names, arrays)
        return parts._replace(images=arrays[0], labels=arrays[1:], heads=heads)

    def _taken(self, found: Any) -> tuple[Any, tuple[str, ...] | None, list[Any]]:
        """Take apart what the function returned: images, names of the labels, labels."""
        if not isinstance(found, tuple) or len(found) != 2:
            raise ValueError(f"it is {_described(found)}, and not the pair (x, ys)")
        images, ys = found
        if not self._form.as_dict:
            return images, None, list(ys) if isinstance(ys, list | tuple) else [ys]
        if not isinstance(ys, dict):
            raise ValueError(f"ys is {_described(ys)}; with as_dict it has to be a dict")
        for name in ys:
            if not isinstance(name, str) or name in RESERVED:
                raise ValueError(f"{name!r} cannot be the name of a label")
        return images, tuple(ys), list(ys.values())

    def _refuse_memory_used_again(self, names: list[str], arrays: list[Array]) -> None:
        with self._lock:
            recent = [known() for batch in self._recent for known in batch]
            self._recent.append([ref(array) for array in arrays])
        for name, array in zip(names, arrays, strict=True):
            if any(known is not None and np.may_share_memory(known, array) for known in recent):
                raise ValueError(
                    f"{name} lies in the memory of an earlier batch, which is still in use: it has "
                    "to be what was given, or a new array each time"
                )


def _plain(name: str, part: Any, samples: int) -> Array:
    """Return an array that every framework takes: in one piece, and the caller's to change."""
    if not isinstance(part, np.ndarray):
        raise ValueError(f"{name} is {_described(part)}, and has to be a NumPy array")
    if part.dtype.kind not in _NUMBERS or not part.dtype.isnative:
        raise ValueError(f"{name} has the dtype {part.dtype}, and has to be an array of numbers")
    if part.shape[:1] != (samples,):
        raise ValueError(f"{name} has the shape {part.shape}, and the batch {samples} samples")
    return np.require(part, requirements=["C", "W"])


def _described(value: object) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _line(error: BaseException) -> str:
    """Name the line of code that an error comes from."""
    last = extract_tb(error.__traceback__)[-1]
    return f"{last.filename}, line {last.lineno}"
