"""The byte layout of one record: a `tf.train.Example` in which nothing moves.

    prefix   tags and lengths, the name `image`       the same in every record
    image    height x width x 3 bytes of uint8 RGB
    tail     the labels, then `row`, each as

        0a LL                     entry of the feature map, LL bytes
           0a NN name             its key
           12 LL                  its value, a Feature
              1a 07               an int64 list of 7 bytes
                 0a 05            packed, 5 bytes
                    v v v v v     one varint, padded to 5 bytes

A varint holds 7 bits a byte, low bits first; all bytes but the last have the high bit set, also
where the higher bits are zero. Protocol buffers allow that longer form and parsers read it, and
so every record of a dataset is `stride` bytes long and every integer stands at a known place.
Lengths are plain varints: they are the same in all records anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from shardio.cached_property import cached_property
from shardio.errors import FormatError, OptionError
from shardio.format.framing import FOOTER_BYTES, HEADER_BYTES, frame_header

IMAGE = "image"
ROW = "row"
MAX_LABEL = 2**31 - 1
MAX_ROW = 2**35 - 1

_VARINT_BYTES = 5
_SHIFTS = np.arange(0, 7 * _VARINT_BYTES, 7, dtype=np.int64)
_CONTINUE = np.array([0x80] * (_VARINT_BYTES - 1) + [0], dtype=np.uint8)


@dataclass(frozen=True)
class RecordLayout:
    """Where everything stands in the records of a dataset with raw images.

    `image_bytes` is the size of the pixels, `labels` are the names of the heads in order.
    """

    image_bytes: int
    labels: tuple[str, ...]

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

    @cached_property
    def prefix(self) -> bytes:
        """All bytes of the data before the first pixel."""
        inner = _tag_length(0x0A, self.image_bytes)
        feature = _tag_length(0x0A, len(inner) + self.image_bytes) + inner
        name = IMAGE.encode()
        value_bytes = len(feature) + self.image_bytes
        value = _tag_length(0x12, value_bytes) + feature
        key = _tag_length(0x0A, len(name)) + name
        entry = _tag_length(0x0A, len(key) + len(value) + self.image_bytes) + key + value
        features_bytes = len(entry) + self.image_bytes + len(self.tail_template)
        return _tag_length(0x0A, features_bytes) + entry

    @cached_property
    def tail_template(self) -> bytes:
        """All bytes of the data after the last pixel, with every integer zero."""
        return b"".join(_int64_entry(name) for name in (*self.labels, ROW))

    @cached_property
    def integer_offsets(self) -> tuple[int, ...]:
        """Offset in the tail of the varint of each label and of the row."""
        ends = accumulate(len(_int64_entry(name)) for name in (*self.labels, ROW))
        return tuple(end - _VARINT_BYTES for end in ends)

    @cached_property
    def _integer_bytes(self) -> NDArray[np.int64]:
        """Index in the tail of every byte of every integer: (labels + 1, 5)."""
        return np.array(self.integer_offsets)[:, None] + np.arange(_VARINT_BYTES)

    @property
    def tail_bytes(self) -> int:
        """Size of the tail."""
        return len(self.tail_template)

    @property
    def image_offset(self) -> int:
        """Byte of the framed record at which the pixels start."""
        return HEADER_BYTES + len(self.prefix)

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
        """Write the tails of n records: labels (n, heads) and rows (n,) to (n, tail_bytes)."""
        n = len(rows)
        values = np.empty((n, len(self.labels) + 1), dtype=np.int64)
        values[:, :-1] = labels
        values[:, -1] = rows
        if n and (values.min() < 0 or (labels.size and labels.max() > MAX_LABEL)):
            raise FormatError(f"labels must be 0 to {MAX_LABEL} and rows not negative")
        if n and values[:, -1].max() > MAX_ROW:
            raise FormatError(f"rows must be at most {MAX_ROW}")
        out = np.tile(np.frombuffer(self.tail_template, dtype=np.uint8), (n, 1))
        out[:, self._integer_bytes] = (
            (values[:, :, None] >> _SHIFTS).astype(np.uint8) & 0x7F
        ) | _CONTINUE
        return out

    def integers(self, tails: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Read the integers of n tails (n, tail_bytes) to (n, heads + 1), the last one the row."""
        groups = tails[:, self._integer_bytes].astype(np.int64) & 0x7F
        # A sum of disjoint bit groups; einsum and bitwise_or.reduce are both slower here.
        return np.asarray((groups << _SHIFTS).sum(axis=2))

    def encode(self, image: bytes, labels: Sequence[int], row: int) -> bytes:
        """Return the data of one record, without its framing."""
        if len(image) != self.image_bytes:
            raise FormatError(f"the image has {len(image)} bytes, not {self.image_bytes}")
        heads = np.array(labels, dtype=np.int64).reshape(1, len(self.labels))
        return self.prefix + image + self.tails(heads, np.array([row])).tobytes()

    @classmethod
    def discover(cls, data: bytes) -> RecordLayout:
        """Find the layout from the data of any record of the dataset.

        Raises FormatError where the record was not written in this layout.
        """
        try:
            names, image_bytes = _walk(data)
            layout = cls(image_bytes, names)
        except (IndexError, ValueError) as error:
            raise FormatError("the record is not in shardio's layout") from error
        # The lengths first: what was read may claim to be longer than the record is.
        if len(data) != layout.data_bytes or not data.startswith(layout.prefix):
            raise FormatError("the record is not in shardio's layout")
        tail = np.frombuffer(data, dtype=np.uint8)[len(data) - layout.tail_bytes :]
        blank = tail.copy()
        blank[layout._integer_bytes] &= 0x80
        if blank.tobytes() != layout.tail_template:
            raise FormatError("the record is not in shardio's layout")
        return layout


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag_length(tag: int, length: int) -> bytes:
    return bytes([tag]) + _varint(length)


def _int64_entry(name: str) -> bytes:
    key = name.encode()
    key = _tag_length(0x0A, len(key)) + key
    varint = bytes([0x80] * (_VARINT_BYTES - 1) + [0])
    packed = _tag_length(0x0A, len(varint)) + varint
    feature = _tag_length(0x1A, len(packed)) + packed
    value = _tag_length(0x12, len(feature)) + feature
    return _tag_length(0x0A, len(key) + len(value)) + key + value


def _walk(data: bytes) -> tuple[tuple[str, ...], int]:
    """Return the label names and the image's size of a record in our order of features."""
    at, end = _enter(data, 0, 0x0A)
    names: list[str] = []
    image_bytes = 0
    while at < end:
        entry, at = _enter(data, at, 0x0A)
        key, key_end = _enter(data, entry, 0x0A)
        names.append(data[key:key_end].decode())
        if len(names) == 1:
            for tag in (0x12, 0x0A, 0x0A):  # Feature, BytesList, its one value
                key_end, value_end = _enter(data, key_end, tag)
            image_bytes = value_end - key_end
    if not names or names[0] != IMAGE or names[-1] != ROW:
        raise ValueError(f"features {names}")
    return tuple(names[1:-1]), image_bytes


def _enter(data: bytes, at: int, tag: int) -> tuple[int, int]:
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
    if at + length > len(data):
        raise ValueError(f"field at {at} runs past the end")
    return at, at + length
