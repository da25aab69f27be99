"""Which row is in which split: by shares of the paths, or as a column of the table says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.cells.bad_rows import Bad
from converter.table.cells.numbering import Numbering
from converter.table.scratch import Scratch, recoded
from shardio.errors import OptionError, TableError
from shardio.format.naming import SPLIT_PATTERN

DEFAULT_SPLIT = "train"

_EXAMPLE = "train=0.98,val=0.02"


@dataclass(frozen=True)
class SplitShares:
    """The share of each split, by name; together they are 1."""

    shares: tuple[tuple[str, Fraction], ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.shares]
        if not names or len({name.casefold() for name in names}) != len(names):
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
        else the table holds, and in whatever order. Images are dealt by their bytes in place of
        paths.
        """
        import pyarrow as pa

        start = f"split {seed}\0".encode()
        items = paths.cast(pa.large_binary()).to_pylist()
        digests = b"".join(hashlib.sha256(start + item).digest() for item in items)
        places = np.frombuffer(digests, ">u8")[::4].astype(np.uint64)
        ends: list[int] = []
        total = Fraction(0)
        for _, share in self.shares:
            total += share
            ends.append(min(int(total * 2**64), 2**64 - 1))
        ends[-1] = 2**64 - 1
        dealt = np.searchsorted(np.array(ends, dtype=np.uint64), places, side="left")
        names = [name for name, _ in self.shares]
        order = sorted({int(number) for number in np.unique(dealt)}, key=names.__getitem__)
        rank = np.zeros(len(names), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        return tuple(names[number] for number in order), rank[dealt]


class SplitColumn:
    """The split of each row, slice by slice, on disk; one split takes no space."""

    def __init__(self, scratch: Scratch, names: Sequence[tuple[str, str]] = ()) -> None:
        self._scratch = scratch
        self._names = dict(names)
        self._column = scratch.column(np.int32)
        self._numbering = Numbering()

    def append(self, names: Sequence[str], split: NDArray[np.int32]) -> None:
        """Add rows, each with the index of its split among `names`."""
        self._column.append(self._numbering.of_each(names)[split])

    def append_column(self, column: Any) -> list[Bad]:
        """Add the texts of an Arrow array, or what they are called instead.

        White space around them is left out. Returns those that no shard can be named by.
        """
        encoded = column.dictionary_encode()
        names = [name.strip() for name in encoded.dictionary.to_pylist()]
        names = [self._names.get(name, name) for name in names]
        split = encoded.indices.to_numpy(zero_copy_only=False)
        self.append(names, split)
        bad = np.array([not re.fullmatch(SPLIT_PATTERN, name) for name in names], dtype=np.bool_)
        return [
            Bad(
                np.flatnonzero(bad[split]),
                lambda row: (
                    f"split is {names[split[row]]!r}, not a letter, then letters, digits or _"
                    + (
                        f" (--split-names {names[split[row]]}=train,...)"
                        if names[split[row]]
                        else ""
                    )
                ),
            )
        ]

    def finish(self, rows: int) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Return the names of the splits in order, and the index of each row's.

        TableError where two names differ in case only: their shards are one file on some disks.
        """
        names, place = self._numbering.in_order()
        folded: dict[str, str] = {}
        for name in names:
            other = folded.setdefault(name.casefold(), name)
            if other != name:
                raise TableError(
                    f"the splits {other} and {name} differ in case only; --split-names "
                    f"{other}={name} makes one of them"
                )
        if len(names) < 2:
            return names or (DEFAULT_SPLIT,), np.broadcast_to(np.int32(0), rows)
        return names, recoded(self._scratch, self._column.finish(), place)
