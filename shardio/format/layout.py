"""The byte layout of one record: a `tf.train.Example` in which nothing moves.

    prefix   tags and lengths, the name `image`       the same in every record
    image    height x width x channels bytes of uint8
    tail     the labels, then `row`, each as

        0a LL                     entry of the feature map, LL bytes
           0a NN name             its key
           12 LL                  its value, a Feature
              1a LL               an int64 list, or 12 LL, a float list
                 0a LL            packed, 5 or 4 bytes a value
                    v v v v v     each integer a varint, padded to 5 bytes; each float its 4

A varint holds 7 bits a byte, low bits first; all bytes but the last have the high bit set, also
where the higher bits are zero. Protocol buffers allow that longer form and parsers read it, and
so every record of a dataset is `stride` bytes long and every value stands at a known place.
Lengths are plain varints: they are the same in all records anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shardio.cached_property import cached_property
from shardio.errors import FormatError, OptionError
from shardio.format.framing import FOOTER_BYTES, HEADER_BYTES, frame_header
from shardio.format.label import (
    CLASS,
    FLOAT,
    INT,
    MAX_LABEL,
    MAX_LENGTH,
    NUMBERS,
    LabelKind,
    are_finite,
    columns_of,
    numbers_of,
)

IMAGE = "image"
ROW = "row"
MAX_ROW = 2**35 - 1

VARINT_BYTES = 5
FLOAT_BYTES = 4
VALUE_BYTES = {INT: VARINT_BYTES, FLOAT: FLOAT_BYTES}
# Tags of the lists of a Feature.
LISTS = {INT: 0x1A, FLOAT: 0x12}

_SHIFTS = np.arange(0, 7 * VARINT_BYTES, 7, dtype=np.int64)
_CONTINUE = np.array([0x80] * (VARINT_BYTES - 1) + [0], dtype=np.uint8)


@dataclass(frozen=True)
class RecordLayout:
    """Where everything stands in the records of a dataset with raw images.

    `image_bytes` is the size of the pixels, `labels` are the names of the heads in order, `kinds`
    what each of them is: one integer, if nothing is said.
    """

    image_bytes: int
    labels: tuple[str, ...]
    kinds: tuple[LabelKind, ...] = ()

    def __post_init__(self) -> None:
        taken = [IMAGE, ROW, *self.labels]
        if len(set(taken)) != len(taken) or "" in taken:
            raise OptionError(
                f"label names must be distinct, not empty, and neither {IMAGE!r} nor {ROW!r}: "
                f"{', '.join(self.labels)}"
            )
        try:
            "".join(self.labels).encode()
        except UnicodeEncodeError as error:
            raise OptionError(
                f"label names must be valid UTF-8: {', '.join(map(ascii, self.labels))}"
            ) from error
        if self.image_bytes < 1:
            raise OptionError(f"an image needs at least one byte, not {self.image_bytes}")
        if not self.kinds:
            object.__setattr__(self, "kinds", (CLASS,) * len(self.labels))
        for name, kind in zip(self.labels, self.kinds, strict=True):
            if kind.number not in NUMBERS or not 1 <= kind.length <= MAX_LENGTH:
                raise OptionError(
                    f"label {name} must be 1 to {MAX_LENGTH:,} values of {' or '.join(NUMBERS)}, "
                    f"not {kind.length:,} of {kind.number}"
                )

    @cached_property
    def prefix(self) -> bytes:
        """All bytes of the data before the first pixel."""
        inner = tag_length(0x0A, self.image_bytes)
        feature = tag_length(0x0A, len(inner) + self.image_bytes) + inner
        name = IMAGE.encode()
        value_bytes = len(feature) + self.image_bytes
        value = tag_length(0x12, value_bytes) + feature
        key = tag_length(0x0A, len(name)) + name
        image = tag_length(0x0A, len(key) + len(value) + self.image_bytes) + key + value
        features_bytes = len(image) + self.image_bytes + len(self.tail_template)
        return tag_length(0x0A, features_bytes) + image

    @cached_property
    def tail_template(self) -> bytes:
        """All bytes of the data after the last pixel, with every value zero."""
        return b"".join(entry(name, kind) for name, kind in self._features)

    @property
    def _features(self) -> list[tuple[str, LabelKind]]:
        """What stands after the image: the labels, then the row."""
        return [*zip(self.labels, self.kinds, strict=True), (ROW, CLASS)]

    @cached_property
    def numbers(self) -> int:
        """How many numbers a record holds: the values of its labels, and the row."""
        return sum(kind.length for kind in self.kinds) + 1

    @cached_property
    def number_bytes(self) -> bytes:
        """How many bytes each of a record's numbers takes."""
        return b"".join(
            bytes([VALUE_BYTES[kind.number]]) * kind.length for _, kind in self._features
        )

    @cached_property
    def number_offsets(self) -> tuple[int, ...]:
        """Offset in the tail of each of a record's numbers."""
        offsets: list[int] = []
        ends = accumulate(len(entry(name, kind)) for name, kind in self._features)
        for end, (_, kind) in zip(ends, self._features, strict=True):
            size = VALUE_BYTES[kind.number]
            offsets += range(end - kind.length * size, end, size)
        return tuple(offsets)

    @cached_property
    def _floats(self) -> NDArray[np.bool_]:
        """Which of a record's numbers are floats."""
        return np.asarray(np.frombuffer(self.number_bytes, dtype=np.uint8) == FLOAT_BYTES)

    @cached_property
    def _integer_bytes(self) -> NDArray[np.int64]:
        """Index in the tail of every byte of every integer: (integers, 5)."""
        offsets = np.array(self.number_offsets)[~self._floats]
        return np.asarray(offsets[:, None] + np.arange(VARINT_BYTES))

    @cached_property
    def _float_bytes(self) -> NDArray[np.int64]:
        """Index in the tail of every byte of every float: (floats, 4)."""
        offsets = np.array(self.number_offsets)[self._floats]
        return np.asarray(offsets[:, None] + np.arange(FLOAT_BYTES))

    @property
    def tail_bytes(self) -> int:
        """Size of the tail."""
        return len(self.tail_template)

    @property
    def data_bytes(self) -> int:
        """Size of the data of a record, without its framing."""
        return len(self.prefix) + self.image_bytes + self.tail_bytes

    @property
    def stride(self) -> int:
        """Size of a record with its framing; record `i` starts at byte `i * stride`."""
        return HEADER_BYTES + self.data_bytes + FOOTER_BYTES

    @cached_property
    def head(self) -> bytes:
        """All bytes of a framed record before its first pixel; the same in every record."""
        return frame_header(self.data_bytes) + self.prefix

    def tails(self, labels: NDArray[np.integer], rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Write the tails of n records, (n, tail_bytes): labels as numbers, and rows (n,).

        Raises FormatError for a value that a record cannot hold.
        """
        n = len(rows)
        values = np.empty((n, self.numbers), dtype=np.int64)
        values[:, :-1] = labels
        values[:, -1] = rows
        integers, floats = values[:, ~self._floats], values[:, self._floats]
        if n and (integers.min() < 0 or integers[:, :-1].max(initial=0) > MAX_LABEL):
            raise FormatError(f"labels must be 0 to {MAX_LABEL} and rows not negative")
        if n and values[:, -1].max() > MAX_ROW:
            raise FormatError(f"rows must be at most {MAX_ROW}")
        if not are_finite(floats).all():
            raise FormatError("float labels must be finite numbers of 32 bits")
        out = np.tile(np.frombuffer(self.tail_template, dtype=np.uint8), (n, 1))
        out[:, self._integer_bytes] = (
            (integers[:, :, None] >> _SHIFTS).astype(np.uint8) & 0x7F
        ) | _CONTINUE
        four = floats.astype("<u4", order="C").view(np.uint8)
        out[:, self._float_bytes] = four.reshape(n, floats.shape[1], FLOAT_BYTES)
        return out

    def integers(self, tails: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Read the numbers of n tails (n, tail_bytes) to (n, numbers), the last one the row."""
        groups = tails[:, self._integer_bytes].astype(np.int64) & 0x7F
        # A sum of disjoint bit groups; einsum and bitwise_or.reduce are both slower here.
        integers = np.asarray((groups << _SHIFTS).sum(axis=2))
        if not self._floats.any():
            return integers
        found = np.empty((len(tails), self.numbers), dtype=np.int64)
        found[:, ~self._floats] = integers
        four = np.ascontiguousarray(tails[:, self._float_bytes])
        found[:, self._floats] = four.view("<u4")[:, :, 0]
        return found

    def encode(self, image: bytes, labels: Sequence[Any], row: int) -> bytes:
        """Return the data of one record, without its framing; vectors are sequences."""
        if len(image) != self.image_bytes:
            raise FormatError(f"the image has {len(image)} bytes, not {self.image_bytes}")
        numbers = np.empty((1, self.numbers - 1), dtype=np.int64)
        for value, kind, columns in zip(labels, self.kinds, columns_of(self.kinds), strict=True):
            values = np.atleast_1d(value)
            if values.shape != (kind.length,) or (values.dtype.kind == "f") != kind.is_float:
                raise FormatError(f"a label of {kind} cannot be {value!r}")
            numbers[0, columns] = numbers_of(values) if kind.is_float else values
        return self.prefix + image + self.tails(numbers, np.array([row])).tobytes()

    def blank(self, tail: NDArray[np.uint8]) -> bytes:
        """Return a tail with every value zero."""
        blank = tail.copy()
        blank[self._integer_bytes] &= 0x80
        blank[self._float_bytes] = 0
        return blank.tobytes()


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
    feature = tag_length(LISTS[kind.number], len(packed)) + packed
    value = tag_length(0x12, len(feature)) + feature
    return tag_length(0x0A, len(key) + len(value)) + key + value
