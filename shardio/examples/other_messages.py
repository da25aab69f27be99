"""Records and values that look like an Example or an image, and are messages of another kind."""

from __future__ import annotations

from contextlib import suppress

from shardio.examples.wire import LENGTH, VARINT, fields

_FIRST_NUMBER = 1 << 3 | VARINT
_FIRST, _SECOND = 1 << 3 | LENGTH, 2 << 3 | LENGTH
# Types of tensors that TensorFlow numbers.
_TYPES = 64


def other_message(data: bytes | memoryview) -> str:
    """Return which message of TensorFlow data are, if they are no Example: its name, or nothing.

    A SequenceExample has a second field, with the lists; a TensorProto begins with the number of
    its type and its shape.
    """
    found: list[tuple[int, int]] = []
    with suppress(IndexError, ValueError):  # what comes first counts
        for tag, start, _ in fields(memoryview(data), 0, len(data)):
            found.append((tag, start))
    tags = [tag for tag, _ in found]
    if tags[:2] == [_FIRST_NUMBER, _SECOND] and 0 < found[0][1] < _TYPES:
        return "a tensor of tf.io.serialize_tensor"
    if _SECOND in tags and {*tags} <= {_FIRST, _SECOND}:
        return "a tf.train.SequenceExample"
    return ""
