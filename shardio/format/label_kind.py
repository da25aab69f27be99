"""What a label of every record is: integers or floats, one or a vector of them.

| `number` | a value                             | in a record                      |
|----------|-------------------------------------|----------------------------------|
| `int`    | 0 to 2^31 - 1; a class, or an id    | a varint, padded to five bytes   |
| `float`  | a finite float32                    | its four bytes                   |

All values of a record, the row last, are its *numbers*: int64, where a float is its 32 bits. So
whatever moves numbers about (blocks, batches, tables) need not know what they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INT, FLOAT = "int", "float"
NUMBERS = (INT, FLOAT)
# Of the values of one label; far more than boxes and texts have.
MAX_LENGTH = 65_535

_EXPONENT = 0x7F80_0000


class LabelKind(NamedTuple):
    """What the values of a label are, and how many there are; one is a scalar, not a vector."""

    number: str = INT
    length: int = 1

    @property
    def is_float(self) -> bool:
        """Whether the values are floats."""
        return self.number == FLOAT

    @property
    def is_class(self) -> bool:
        """Whether it is a single integer."""
        return self == (INT, 1)

    def __str__(self) -> str:
        word = "float" if self.is_float else "integer"
        return word if self.length == 1 else f"{self.length:,} {word}s"


# What labels mostly are.
CLASS = LabelKind()


def columns_of(kinds: Sequence[LabelKind]) -> list[slice]:
    """Return which of a record's numbers are those of each label."""
    ends = accumulate(kind.length for kind in kinds)
    return [slice(end - kind.length, end) for end, kind in zip(ends, kinds, strict=True)]


def numbers_of(floats: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return floats as numbers."""
    return np.ascontiguousarray(floats, dtype="<f4").view("<u4").astype(np.int64)


def floats_of(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the floats that numbers are."""
    return numbers.astype("<u4", order="C").view("<f4").astype(np.float32, copy=False)


def are_finite(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the numbers of floats are finite ones."""
    fits = (numbers >= 0) & (numbers < 2**32)
    return np.asarray(fits & (numbers & _EXPONENT != _EXPONENT))
