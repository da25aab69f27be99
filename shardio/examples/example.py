"""A serialized `tf.train.Example`, whoever wrote it: features by name.

    Example     1: Features             (twice: merged)
    Features    1: entries of a map     in any order; the last one of a name counts
    entry       1: name, 2: Feature
    Feature     1: BytesList, 2: FloatList, 3: Int64List    the last kind that stands there counts
    a list      1: values               numbers packed or one by one, in any mixture

Read as Protocol buffers read it: unknown fields are skipped, integers may be padded. Time and
memory are linear in the size of the record, whatever it holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from shardio.errors import FormatError
from shardio.examples.wire import (
    FIXED32,
    LENGTH,
    SHORT_VARINT_BYTES,
    VARINT,
    VARINT_BYTES,
    fields,
    signed,
    varint,
)

BYTES = "bytes"
FLOAT = "float"
INT64 = "int64"

# Tags of fields with a length: number << 3 | 2.
_FIRST = 1 << 3 | LENGTH
_SECOND = 2 << 3 | LENGTH
_THIRD = 3 << 3 | LENGTH
_LISTS = {_FIRST: BYTES, _SECOND: FLOAT, _THIRD: INT64}


class Feature(NamedTuple):
    """The values of a feature; `kind` is `bytes`, `float`, `int64`, or empty where it has none.

    Values of kind `bytes` are views of the record.
    """

    kind: str
    values: list[memoryview] | list[float] | list[int]


def bytes_in(features: Mapping[str, Feature], name: str) -> memoryview | None:
    """Return the value of a feature of bytes; None where there is none, or not one."""
    kind, values = features.get(name, ("", []))
    if kind != BYTES or len(values) != 1:
        return None
    value = values[0]
    assert isinstance(value, memoryview)
    return value


def parse_example(
    data: bytes | bytearray | memoryview, names: Collection[str] | None = None
) -> dict[str, Feature]:
    """Return the features of a record by name, only those in `names` if that is given.

    What stands within the others is not looked at. Raises FormatError where Protocol buffers would
    not read the record.
    """
    view = memoryview(data)
    if names is not None and (plain := _parse_plain(view, names)) is not None:
        return plain
    found: dict[str, Feature] = {}
    try:
        for tag, start, stop in fields(view, 0, len(view)):
            if tag == _FIRST:
                for entry_tag, entry, entry_stop in fields(view, start, stop):
                    if entry_tag == _FIRST:
                        _add_entry(view, entry, entry_stop, names, found)
    except (IndexError, ValueError) as error:
        raise FormatError(f"it is no tf.train.Example: {error}") from error
    return found


def _add_entry(
    view: memoryview, at: int, end: int, names: Collection[str] | None, found: dict[str, Feature]
) -> None:
    name = ""
    features: list[tuple[int, int]] = []
    for tag, start, stop in fields(view, at, end):
        if tag == _FIRST:
            name = bytes(view[start:stop]).decode()
        elif tag == _SECOND:
            features.append((start, stop))
    if names is None or name in names:
        found[name] = _feature(view, features)


def _feature(view: memoryview, parts: list[tuple[int, int]]) -> Feature:
    """Read a Feature that may stand there in several parts."""
    kind = ""
    values: list[Any] = []
    for at, end in parts:
        for tag, start, stop in fields(view, at, end):
            if tag in _LISTS:
                if _LISTS[tag] != kind:
                    kind, values = _LISTS[tag], []
                values += _VALUES[kind](view, start, stop)
    return Feature(kind, values)


def _texts(view: memoryview, at: int, end: int) -> Iterator[memoryview]:
    return (view[start:stop] for tag, start, stop in fields(view, at, end) if tag == _FIRST)


def _integers(view: memoryview, at: int, end: int) -> Iterator[int]:
    for tag, start, stop in fields(view, at, end):
        if tag == 1 << 3 | VARINT:
            yield signed(start)
        elif tag == _FIRST:
            while start < stop:
                value, start = varint(view, start, stop, VARINT_BYTES)
                yield signed(value)


def _floats(view: memoryview, at: int, end: int) -> Iterator[float]:
    for tag, start, stop in fields(view, at, end):
        if tag == _FIRST or tag == 1 << 3 | FIXED32:
            if (stop - start) % 4:
                raise ValueError(f"the floats at byte {start} are cut")
            yield from struct.unpack(f"<{(stop - start) // 4}f", view[start:stop])


_VALUES: dict[str, Callable[[memoryview, int, int], Iterator[Any]]]
_VALUES = {BYTES: _texts, FLOAT: _floats, INT64: _integers}


def _parse_plain(view: memoryview, names: Collection[str]) -> dict[str, Feature] | None:
    """Read a record as nearly all are written, with a quarter of the steps; None for any other.

    There, every part fills the one around it: one Features, whose entries are a name and a Feature
    of one list, those in `names` of bytes with one value, or of packed numbers.
    """
    found: dict[str, Feature] = {}
    try:
        at, end = _enter(view, 0, _FIRST)
        if end != len(view):
            return None
        while at < end:
            at, stop = _enter(view, at, _FIRST)
            key, at = _enter(view, at, _FIRST)
            name = bytes(view[key:at]).decode()
            at, value_stop = _enter(view, at, _SECOND)
            if value_stop != stop or stop > end:
                return None
            if name in names:
                tag = view[at]
                at, list_stop = _enter(view, at, tag)
                at, value_stop = _enter(view, at, _FIRST)
                if list_stop != stop or value_stop != stop:
                    return None
                if tag == _FIRST:
                    found[name] = Feature(BYTES, [view[at:stop]])
                elif tag == _THIRD:
                    integers = []
                    while at < stop:
                        value, at = varint(view, at, stop, VARINT_BYTES)
                        integers.append(signed(value))
                    found[name] = Feature(INT64, integers)
                elif tag == _SECOND and (stop - at) % 4 == 0:
                    found[name] = Feature(
                        FLOAT, list(struct.unpack_from(f"<{(stop - at) // 4}f", view, at))
                    )
                else:
                    return None
            at = stop
    except (IndexError, ValueError):
        return None
    return found


def _enter(view: memoryview, at: int, tag: int) -> tuple[int, int]:
    """Return start and end of the field at `at`, which has `tag` and a length."""
    if view[at] != tag:
        raise ValueError("another tag")
    size = view[at + 1]
    at += 2
    if size >= 0x80:
        size, at = varint(view, at - 1, len(view), SHORT_VARINT_BYTES)
    return at, at + size
