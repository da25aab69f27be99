"""Records and values that look like an Example or an image, and are messages of another kind."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Types of tensors that TensorFlow numbers.
_TYPES = 64


def other_message(data: bytes | memoryview) -> str:
    """Return which message of TensorFlow data are, if they are no Example: its name, or nothing.

    A SequenceExample has a second field, with the lists; a TensorProto begins with the number of
    its type and its shape.
    """
    fields = list(_fields(bytes(data)))
    kinds = [(number, wire) for number, wire, _ in fields]
    if kinds[:2] == [(1, _VARINT), (2, _BYTES)] and 0 < fields[0][2] < _TYPES:
        return "a tensor of tf.io.serialize_tensor"
    if (2, _BYTES) in kinds and all(kind in ((1, _BYTES), (2, _BYTES)) for kind in kinds):
        return "a tf.train.SequenceExample"
    return ""


def _fields(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield number and wire type of each field of a message, and the value of an integer.

    It ends where data are no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire, value = key >> 3, key & 7, 0
        if at < 0 or not number:
            return
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire == _BYTES:
            size, at = _varint(data, at)
            at = at + size if at >= 0 else -1
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            return
        if not 0 <= at <= len(data):
            return
        yield number, wire, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number, and the place behind it: -1 where there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, -1
