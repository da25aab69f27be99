"""Texts that are numbers, as tables write them."""

from __future__ import annotations

import re
from decimal import Decimal

_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
# Of other forms too, such as 1_000, 0x10, 1,5, and the digits of any script.
_NUMERIC = re.compile(r"[+-]?(\d[\d_]*[.,]?[\d_]*|[.,]\d+)(e[+-]?\d+)?|0x[0-9a-f]+", re.IGNORECASE)
_AROUND = "\"' \0\t\r\n\u00a0"


def whole_number(text: str) -> int | None:
    """Return the integer of 63 bits that a decimal number is, such as 3, 3.0 or 3.00e+00."""
    if not _DECIMAL.fullmatch(text):
        return None
    value = Decimal(text)
    if value.copy_abs() >= 2**63 or value != value.to_integral_value():
        return None
    return int(value)


def is_numeric(text: str) -> bool:
    """Return whether a text looks like a number, whole or not, also with quotes around it."""
    return _NUMERIC.fullmatch(text.strip(_AROUND)) is not None
