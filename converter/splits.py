"""Which row is in which split: by shares of the paths, or as a column of the table says."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import OptionError
from shardio.format.naming import SPLIT_PATTERN

_EXAMPLE = "train=0.98,val=0.02"


@dataclass(frozen=True)
class SplitShares:
    """The share of each split, by name; together they are 1."""

    shares: tuple[tuple[str, Fraction], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.shares]
        if not names or len(set(names)) != len(names):
            raise OptionError(f"splits must be named, each once, like {_EXAMPLE}")
        for name, share in self.shares:
            if not re.fullmatch(SPLIT_PATTERN, name):
                raise OptionError(f"split {name!r} is not a letter, then letters, digits or _")
            if not 0 < share <= 1:
                raise OptionError(f"the share of split {name} must be above 0, at most 1")
        total = sum(share for _, share in self.shares)
        if total != 1:
            raise OptionError(f"the shares of the splits must make 1, not {float(total):g}")

    @classmethod
    def parse(cls, text: str) -> SplitShares:
        """Read `train=0.98,val=0.02`."""
        shares = []
        for part in text.split(","):
            match = re.fullmatch(r"\s*([^=\s]+)\s*=\s*(\d{0,9}\.?\d{1,18})\s*", part)
            if match is None:
                raise OptionError(f"splits must be like {_EXAMPLE}, not {text!r}")
            shares.append((match[1], Fraction(match[2])))
        return cls(tuple(shares))

    def __str__(self) -> str:
        return ",".join(f"{name}={share}" for name, share in self.shares)

    def deal(self, paths: Any, seed: int) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Return the names of the splits in order, and the split of each row of `paths`.

        A path is dealt by a hash of itself and the seed: all its rows are in one split, whatever
        else the table holds, and in whatever order.
        """
        encoded = paths.dictionary_encode()
        start = f"split {seed}\0".encode()
        places = np.fromiter(
            (
                int.from_bytes(hashlib.sha256(start + path.encode()).digest()[:8], "big")
                for path in encoded.dictionary.to_pylist()
            ),
            dtype=np.uint64,
            count=len(encoded.dictionary),
        )
        ends: list[int] = []
        total = Fraction(0)
        for _, share in self.shares:
            total += share
            ends.append(min(int(total * 2**64), 2**64 - 1))
        ends[-1] = 2**64 - 1
        dealt = np.searchsorted(np.array(ends, dtype=np.uint64), places, side="left")
        of_row = dealt[encoded.indices.to_numpy()]
        names = [name for name, _ in self.shares]
        order = sorted({int(number) for number in of_row}, key=names.__getitem__)
        rank = np.zeros(len(names), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return tuple(names[number] for number in order), rank[of_row]


def in_two_splits(
    paths: Any, splits: tuple[str, ...], split: NDArray[np.int32]
) -> list[tuple[int, str]]:
    """Find rows whose path is in another split already: what was trained on would be tested."""
    if len(splits) < 2:
        return []
    encoded = paths.dictionary_encode()
    codes = encoded.indices.to_numpy()
    first = np.full(len(encoded.dictionary), len(codes), dtype=np.int64)
    np.minimum.at(first, codes, np.arange(len(codes)))
    other = np.flatnonzero(split[first[codes]] != split)
    return [
        (
            int(row),
            f"path {paths[int(row)].as_py()!r} is in split {splits[split[row]]}, and in split "
            f"{splits[split[first[codes[row]]]]} in row {first[codes[row]]}",
        )
        for row in other
    ]
