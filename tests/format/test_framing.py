"""TFRecord framing, held against the file that TensorFlow's own writer makes."""

from __future__ import annotations

from pathlib import Path

import crc32c
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.format.framing import (
    FRAMING_BYTES,
    HEADER_BYTES,
    frame_footer,
    frame_header,
    mask_crc,
    mask_crcs,
    masked_crc,
    parse_header,
)


def test_framing_is_what_tensorflow_writes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [rng.bytes(size) for size in (0, 1, 7, 8, 127, 128, 12_345, 70_000)]
    path = tmp_path / "records"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    ours = b"".join(frame_header(len(data)) + data + frame_footer(data) for data in records)
    assert path.read_bytes() == ours
    assert len(ours) == sum(map(len, records)) + FRAMING_BYTES * len(records)


def test_tensorflow_reads_our_framing_and_notices_a_wrong_crc(tmp_path: Path) -> None:
    path = tmp_path / "records"
    framed = frame_header(3) + b"abc" + frame_footer(b"abc")
    path.write_bytes(framed * 2)
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == [b"abc"] * 2
    path.write_bytes(frame_header(3) + b"abd" + frame_footer(b"abc"))
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))


def test_the_bytes_of_a_framed_record_are_pinned() -> None:
    assert (frame_header(3) + b"abc" + frame_footer(b"abc")).hex(" ") == (
        "03 00 00 00 00 00 00 00 b0 99 49 0e 61 62 63 6e 57 f1 21"
    )


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_masking_can_be_undone(crc: int) -> None:
    masked = mask_crc(crc)
    turned = (masked - 0xA282EAD8) & 0xFFFFFFFF
    assert ((turned >> 17) | (turned << 15)) & 0xFFFFFFFF == crc


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
def test_many_crcs_are_masked_as_one(crcs: list[int]) -> None:
    masked = mask_crcs(np.array(crcs, dtype=np.uint32))
    assert masked.dtype == np.uint32
    assert masked.tolist() == [mask_crc(crc) for crc in crcs]


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_a_masked_crc_is_of_all_kinds_of_buffers(data: bytes) -> None:
    assert masked_crc(data) == masked_crc(bytearray(data)) == masked_crc(memoryview(data))
    assert masked_crc(data) == mask_crc(crc32c.crc32c(data))


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_a_header_gives_back_its_length(length: int) -> None:
    header = frame_header(length)
    assert len(header) == HEADER_BYTES
    assert parse_header(header) == length


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**40), st.integers(0, 8 * HEADER_BYTES - 1))
def test_a_header_with_a_flipped_bit_is_noticed(length: int, bit: int) -> None:
    header = bytearray(frame_header(length))
    header[bit // 8] ^= 1 << bit % 8
    assert parse_header(bytes(header)) is None
