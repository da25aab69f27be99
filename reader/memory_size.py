"""An amount of memory, as people write it."""

from __future__ import annotations

import re

from shardio.errors import OptionError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_memory(value: int | str | None, name: str = "memory") -> int | None:
    """Return an amount in bytes: of 512_000_000, "512MB", "0.5 GB" or "512MiB"; None stays None.

    `name` is what an error calls it.
    """
    if value is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", str(value), re.IGNORECASE)
    if found is None or isinstance(value, bool | float):
        raise OptionError(f'{name} must be a number of bytes, or like "512MB", not {value!r}')
    number, unit, binary = found[1], found[2].lower(), found[3]
    if binary and not unit:
        raise OptionError(f'{name} must be a number of bytes, or like "512MB", not {value!r}')
    size = int(float(number) * (_BINARY[unit] if binary else _UNITS[unit]))
    if size < 1:
        raise OptionError(f"{name} must be at least one byte, not {value!r}")
    return size


def in_words(size: int) -> str:
    """Write an amount so that `parse_memory` reads at least as much."""
    if size < 10**6:
        return f"{-(-size // 10**3)}kB"
    return f"{-(-size // 10**6)}MB"
