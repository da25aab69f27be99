"""The wire format of Protocol buffers: fields, one after the other.

A tag is the number of a field and how it is written: number << 3 | kind.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)
# Tags and lengths have 32 bits.
SHORT_VARINT_BYTES = 5
VARINT_BYTES = 10
_MOST_NESTED = 100


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
        elif kind == GROUP:
            at = _skip_group(view, at, end, tag >> 3)
            continue
        else:
            raise ValueError(f"the field before byte {at} is of no kind that there is")
        if stop > end:
            raise ValueError(f"the field at byte {at} runs past the end")
        yield tag, at, stop
        at = stop


def _skip_group(view: memoryview, at: int, end: int, number: int) -> int:
    """Return the end of a group, an old form of nested fields."""
    open_groups = [number]
    while open_groups:
        tag, at = varint(view, at, end, SHORT_VARINT_BYTES)
        kind = tag & 7
        if kind == GROUP:
            open_groups.append(tag >> 3)
            if len(open_groups) > _MOST_NESTED:
                raise ValueError(f"groups at byte {at} are nested too deeply")
        elif kind == END_GROUP:
            if open_groups.pop() != tag >> 3:
                raise ValueError(f"a group ends at byte {at} that has not begun")
        elif kind == LENGTH:
            size, at = varint(view, at, end, SHORT_VARINT_BYTES)
            at += size
        elif kind == VARINT:
            _, at = varint(view, at, end, VARINT_BYTES)
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"the field before byte {at} is of no kind that there is")
        if at > end or not tag >> 3:
            raise ValueError(f"a group runs past the end at byte {at}")
    return at


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
