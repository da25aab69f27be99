"""Labels that are texts: a vocabulary, shared by all heads, gives each text its class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.errors import OptionError
from shardio.storage import storage_for

_SHOWN = 40


def read_vocabulary(path: str) -> tuple[str, ...]:
    """Read a UTF-8 file with a text on each line; its number, from 0, is the class.

    Raises OptionError, which names the line, for a text that is empty or stands there twice.
    """
    with storage_for(path).open_stream(path) as stream:
        data = bytearray()
        while block := stream.read(1 << 20):
            data += block
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is not UTF-8: {error}") from error
    if lines and not lines[-1]:
        lines.pop()  # the end of the last line
    lines = [line.removesuffix("\r") for line in lines]
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            raise OptionError(f"{path}: line {number} is empty")
        if line in seen:
            raise OptionError(f"{path}: line {number} has {line!r} again, as line {seen[line]}")
        seen[line] = number
    if not lines:
        raise OptionError(f"{path} is empty")
    return tuple(lines)


def build_vocabulary(columns: Sequence[Any]) -> tuple[str, ...]:
    """Return the texts of Arrow columns, each once, in the order of their code points."""
    found: set[str] = set()
    for column in columns:
        found.update(column.unique().to_pylist())
    return tuple(sorted(found - {""}))


def classes_of(
    column: Any, vocabulary: tuple[str, ...]
) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
    """Return the class of each text of an Arrow column, and the rows without one, and why."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.index_in(column, pa.array(vocabulary, pa.large_string()))
    bad = []
    for row in np.flatnonzero(found.is_null().to_numpy(False)):
        text = column[int(row)].as_py()
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        bad.append((int(row), f"{shown!r}, not in the vocabulary" if text else "missing"))
    return pc.fill_null(found, 0).to_numpy(False).astype(np.int64), bad
