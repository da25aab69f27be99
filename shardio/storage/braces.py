"""Names with braces, as shells and WebDataset write them: `train-{000..099}.tar`, `{a,b}.csv`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shardio.errors import OptionError
from shardio.storage.search import is_there

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_MOST = 1_000_000


def expanded(name: str) -> Iterator[str]:
    """Yield the names that a name with braces stands for; one that is there is meant as it is.

    Raises OptionError for a range of more than a million names.
    """
    match = next((one for one in _BRACES.finditer(name) if _values(one[1], name)), None)
    if match is None or is_there(name):
        yield name
        return
    for value in _values(match[1], name):
        yield from expanded(f"{name[: match.start()]}{value}{name[match.end() :]}")


def _values(text: str, name: str) -> list[str]:
    """Return what one pair of braces stands for; nothing where that is no list and no range."""
    span = _RANGE.fullmatch(text)
    if span is None:
        return text.split(",") if "," in text else []
    first, last = int(span[1]), int(span[2])
    if last - first >= _MOST:
        raise OptionError(f"{name} stands for {last - first + 1:,} names; {_MOST:,} is the most")
    # Zeros in front of a number are kept, as shells do it.
    zeros = any(len(one) > 1 and one.startswith("0") for one in span.groups())
    width = max(map(len, span.groups())) if zeros else 0
    return [f"{number:0{width}}" for number in range(first, last + 1)]
