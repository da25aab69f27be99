"""How deep values of JSON lie in each other.

Arrow's parser calls itself for each level, and ends the process where its stack does: at 30,000
levels or less.
"""

from __future__ import annotations

import numpy as np

from shardio.errors import TableError

_DEEPEST = 1000
# Where a value begins the depth grows by one, and where it ends it is one less.
_STEPS = bytes.maketrans(b"[{]}", bytes([1, 1, 255, 255]))
_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))


def refuse_deep_values(lines: bytes, name: str, first_line: int) -> None:
    """Raise TableError where a value in some whole lines is nested too deep to be parsed."""
    deepest = _depth(lines)
    if deepest <= _DEEPEST:
        return
    for number, line in enumerate(lines.splitlines(), first_line):
        if _depth(line) > _DEEPEST:
            place = f"line {number}"
            break
    else:
        # A value of many lines.
        place = f"below line {first_line}"
    raise TableError(
        f"{name}, {place}: values are nested {deepest:,} deep, and at most {_DEEPEST:,} can be"
        " read; leave this column out"
    )


def _depth(text: bytes) -> int:
    """Return how many arrays and objects are open at once, at most."""
    text = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS)
    # Every other part is a text between quotes; nothing is left of most of them.
    outside = b"".join(text.replace(b'""', b"").split(b'"')[::2])
    steps = np.frombuffer(outside.translate(_STEPS), np.int8)
    return int(steps.cumsum(dtype=np.int64).max(initial=0))
