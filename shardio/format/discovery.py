"""The layout of a record, found from its bytes alone: those of any record of a dataset."""

from __future__ import annotations

import numpy as np

from shardio.errors import FormatError
from shardio.format.label import CLASS, FLOAT, INT, LabelKind
from shardio.format.layout import IMAGE, LISTS, ROW, VALUE_BYTES, RecordLayout


def discover(data: bytes) -> RecordLayout:
    """Find the layout from the data of a record.

    Raises FormatError where the record was not written in this layout.
    """
    try:
        image_bytes, (image, *names, row), (*kinds, last) = _walk(data)
        if image != IMAGE or row != ROW or last != CLASS:
            raise ValueError(f"features {image}, {', '.join(names)}, {row}")
        layout = RecordLayout(image_bytes, tuple(names), tuple(kinds))
    except (IndexError, ValueError) as error:
        raise FormatError("the record is not in shardio's layout") from error
    # The lengths first: what was read may claim to be longer than the record is.
    if len(data) == layout.data_bytes and data.startswith(layout.prefix):
        tail = np.frombuffer(data, dtype=np.uint8)[len(data) - layout.tail_bytes :]
        if layout.blank(tail) == layout.tail_template:
            return layout
    raise FormatError("the record is not in shardio's layout")


def _walk(data: bytes) -> tuple[int, list[str], list[LabelKind]]:
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
            number = INT if data[value] == LISTS[INT] else FLOAT
            for tag in (LISTS[number], 0x0A):
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
