"""The entry of a feature in a record: its name, and values of which each takes as many bytes.

Written and read in the one form that layout.py states; example.py reads every other one.
"""

from __future__ import annotations

from shardio.format.label_kind import FLOAT, INT, LabelKind

VARINT_BYTES = 5
FLOAT_BYTES = 4
VALUE_BYTES = {INT: VARINT_BYTES, FLOAT: FLOAT_BYTES}
# Tags of the lists of a Feature.
_LISTS = {INT: 0x1A, FLOAT: 0x12}


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag_length(tag: int, length: int) -> bytes:
    """Return a tag and the length of what follows it."""
    return bytes([tag]) + _varint(length)


def entry(name: str, kind: LabelKind) -> bytes:
    """Return the entry of a label in the feature map, with every value zero."""
    key = name.encode()
    key = tag_length(0x0A, len(key)) + key
    zero = bytes(FLOAT_BYTES)
    if kind.number == INT:
        zero = bytes([0x80] * (VARINT_BYTES - 1) + [0])
    values = zero * kind.length
    packed = tag_length(0x0A, len(values)) + values
    feature = tag_length(_LISTS[kind.number], len(packed)) + packed
    value = tag_length(0x12, len(feature)) + feature
    return tag_length(0x0A, len(key) + len(value)) + key + value


def walk(data: bytes) -> tuple[int, list[str], list[LabelKind]]:
    """Return the size of the first feature's value, all names, and the kinds of the others.

    Raises IndexError or ValueError where a record is not made of such features.
    """
    at, end = _enter(data, 0, len(data), 0x0A)
    names: list[str] = []
    kinds: list[LabelKind] = []
    image_bytes = 0
    while at < end:
        start, stop = _enter(data, at, end, 0x0A)
        key, key_end = _enter(data, start, stop, 0x0A)
        names.append(data[key:key_end].decode())
        value, value_end = _enter(data, key_end, stop, 0x12)
        if len(names) == 1:
            for tag in (0x0A, 0x0A):  # BytesList, its one value
                value, value_end = _enter(data, value, value_end, tag)
            image_bytes = value_end - value
        else:
            number = INT if data[value] == _LISTS[INT] else FLOAT
            for tag in (_LISTS[number], 0x0A):
                value, value_end = _enter(data, value, value_end, tag)
            length, rest = divmod(value_end - value, VALUE_BYTES[number])
            if rest:
                raise ValueError(f"{value_end - value} bytes of {number} at {value}")
            kinds.append(LabelKind(number, length))
        # So none claims bytes of another one, and all together no more than the record has.
        if value_end != stop:
            raise ValueError(f"the entry at {at} goes on behind its value")
        at = stop
    return image_bytes, names, kinds


def _enter(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    """Return start and end of the length-delimited field at `at`, which must have `tag`."""
    if data[at] != tag:
        raise ValueError(f"tag {data[at]} at {at}")
    at += 1
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 63:
            raise ValueError(f"length at {at} has no end")
    if at + length > end:
        raise ValueError(f"field at {at} runs past the end")
    return at, at + length
