"""The wire format of Protocol buffers: fields, one after the other.

A tag is the number of a field and its wire type: number << 3 | type. Groups, types 3 and 4, which
nothing has written since proto2, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
# Tags and lengths have 32 bits.
SHORT_VARINT_BYTES = 5
VARINT_BYTES = 10


def signed(value: int) -> int:
    """Return an int64 of which the 64 bits were read."""
    return value - (1 << 64) if value >> 63 else value


def fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield tag, start and end of every field; of a varint, in place of the start, its value."""
    while at < end:
        tag = view[at]
        if tag < 0x80:
            at += 1
        else:
            tag, at = varint(view, at, end, SHORT_VARINT_BYTES)
        kind = tag & 7
        if not 0 < tag >> 3 < 1 << 29:
            raise ValueError(f"the field before byte {at} has no number")
        if kind == LENGTH:
            size, at = varint(view, at, end, SHORT_VARINT_BYTES)
            stop = at + size
        elif kind == VARINT:
            value, at = varint(view, at, end, VARINT_BYTES)
            yield tag, value, at
            continue
        elif kind == FIXED64:
            stop = at + 8
        elif kind == FIXED32:
            stop = at + 4
        else:
            raise ValueError(f"unknown wire type {kind} before byte {at}")
        if stop > end:
            raise ValueError(f"the field at byte {at} runs past the end")
        yield tag, at, stop
        at = stop


def varint(view: memoryview, at: int, end: int, most: int) -> tuple[int, int]:
    """Return the integer at `at`, of at most `most` bytes, and where it ends."""
    value = shift = 0
    for place in range(at, min(at + most, end)):
        byte = view[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place + 1
        shift += 7
    raise ValueError(f"the integer at byte {at} has no end")
