"""Amounts of bytes, as people write them."""

from __future__ import annotations

import re
from fractions import Fraction

from shardio.errors import OptionError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def parse_bytes(value: int | str, name: str = "a size") -> int:
    """Return an amount in bytes: of 512_000_000, "512MB", "0.5 GB" or "512MiB".

    Raises OptionError for anything else; `name` is what it calls the amount.
    """
    found = re.fullmatch(
        r"\s*(\d{1,18}(?:\.\d{0,18})?)\s*([kmgt]?)(i?)(?:b|bytes)?\s*", str(value), re.IGNORECASE
    )
    if found is None or isinstance(value, bool | float):
        raise OptionError(f'{name} must be a number of bytes, or like "512MB", not {value!r}')
    number, unit, binary = found[1], found[2].lower(), found[3]
    if binary and not unit:
        raise OptionError(f'{name} must be a number of bytes, or like "512MB", not {value!r}')
    size = int(Fraction(number) * (_BINARY[unit] if binary else _UNITS[unit]))
    if size < 1:
        raise OptionError(f"{name} must be at least one byte, not {value!r}")
    return size


def in_words(size: int) -> str:
    """Write an amount so that `parse_bytes` reads at least as much: rounded up, as `measured`."""
    for unit, one in (("MB", 10**6), ("kB", 10**3)):
        if size >= one:
            return f"{-(-10 * size // one) / 10:.1f} {unit}"
    return f"{size} bytes"


def measured(count: int) -> str:
    """Write the size of something that is there, in the unit that suits it."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"
