"""Texts that are numbered: few different ones in very many rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Numbering:
    """Numbers texts: those that are `given` in their order, else as they come up.

    With `given` texts another one gets -1.
    """

    def __init__(self, given: Iterable[str] | None = None) -> None:
        self._open = given is None
        self._numbers = {text: number for number, text in enumerate(given or ())}

    def of_each(self, texts: Iterable[str]) -> NDArray[np.int32]:
        """Return the number of each text, one by one."""
        numbers = self._numbers
        if self._open:
            found = [numbers.setdefault(text, len(numbers)) for text in texts]
        else:
            found = [numbers.get(text, -1) for text in texts]
        return np.array(found, dtype=np.int32)

    def of_column(self, column: Any) -> NDArray[np.int32]:
        """Return the number of each text of an Arrow array of strings."""
        encoded = column.dictionary_encode()
        codes: NDArray[np.int32] = self.of_each(encoded.dictionary.to_pylist())[
            encoded.indices.to_numpy(zero_copy_only=False)
        ]
        return codes

    def in_order(self) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Return the texts in the order of code points, and the place there of each number."""
        texts = list(self._numbers)
        order = sorted(range(len(texts)), key=texts.__getitem__)
        place = np.empty(len(texts), dtype=np.int32)
        place[order] = np.arange(len(texts), dtype=np.int32)
        return tuple(texts[number] for number in order), place
