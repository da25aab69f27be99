from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardio.errors import FormatError
from shardio.format.index import ShardIndex

SIZES = st.lists(st.integers(16, 300) | st.integers(16, 2**40), max_size=20)


def of_sizes(sizes: list[int]) -> ShardIndex:
    return ShardIndex.of_offsets(np.cumsum([0, *sizes], dtype=np.int64))


def parsed(text: bytes, name: str) -> ShardIndex:
    """Parse a whole file."""
    return ShardIndex.from_stream(io.BytesIO(text), name, 2**63)


@given(SIZES)
def test_what_was_written_is_read(sizes: list[int]) -> None:
    index = of_sizes(sizes)
    assert len(index) == len(sizes)
    assert index.end == sum(sizes)
    for again in (parsed(index.to_text(), "a"), pickle.loads(pickle.dumps(index))):
        assert again.offsets.tolist() == index.offsets.tolist()
        assert again.offsets.dtype == index.offsets.dtype


def test_the_bytes_are_those_of_nvidia_dali() -> None:
    # DALI's tfrecord2idx wrote this for three records of 100, 0 and 7 bytes.
    assert of_sizes([116, 16, 23]).to_text() == b"0 116\n116 16\n132 23\n"
    assert of_sizes([]).to_text() == b""


@pytest.mark.parametrize(("end", "size"), [(2**32 - 1, 4), (2**32, 8)])
def test_a_record_takes_four_bytes_where_that_is_enough(end: int, size: int) -> None:
    assert of_sizes([16, end - 16]).offsets.itemsize == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"0 20", "line 1 is not `offset size`"),
        (b"0 20\n20 2", "line 2 is not"),
        (b"0 20\n\n", "line 2 is not"),
        (b"0 20\r\n", "line 1 is not"),
        (b" 0 20\n", "line 1 is not"),
        (b"0  20\n", "line 1 is not"),
        (b"0 20 20\n", "line 1 is not"),
        (b"-0 20\n", "line 1 is not"),
        (b"0 1e3\n", "line 1 is not"),
        (b"0 9999999999999999999\n", "line 1 is not"),
        (b"\xff\x00", "line 1 is not"),
        (b"1 20\n", "line 1 says 20 bytes from 1 on, but the record before it ends at 0"),
        (b"0 20\n21 20\n", "line 2 says 20 bytes from 21 on, but .* ends at 20"),
        (b"0 20\n0 20\n", "line 2 says 20 bytes from 0 on, but .* ends at 20"),
        (b"0 20\n20 15\n", "line 2 says 15 bytes, less than the framing takes"),
    ],
)
def test_what_is_no_index_is_refused(text: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=f"^here.idx: {words}"):
        parsed(text, "here.idx")


@given(SIZES.filter(bool), st.data())
def test_a_cut_index_is_refused_or_shorter(sizes: list[int], data: st.DataObject) -> None:
    text = of_sizes(sizes).to_text()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    try:
        assert parsed(cut, "a").end < sum(sizes)
    except FormatError:
        assert not cut.endswith(b"\n")


@given(
    st.lists(st.integers(16, 10**6), max_size=60), st.integers(1, 200), st.integers(0, 2 * 10**6)
)
def test_a_file_is_read_as_far_as_a_shard_of_some_size_needs_it(
    sizes: list[int], block: int, most: int
) -> None:
    ends = np.cumsum(sizes, dtype=np.int64)
    whole = ShardIndex.of_offsets(np.concatenate([[0], ends]))
    stream = io.BytesIO(whole.to_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shardio.format.index._BLOCK_BYTES", block)
        read = ShardIndex.from_stream(stream, "a.idx", most)
    assert read.offsets.tolist() == whole.offsets[: len(read.offsets)].tolist()
    # All records within the size and, if there is one, a record that ends behind it.
    needed = int((ends <= most).sum()) + bool((ends > most).any())
    assert len(read) >= needed
    used = len(b"".join(whole.to_text().splitlines(keepends=True)[:needed]))
    assert stream.tell() <= used + 2 * block


@given(
    st.binary(max_size=60) | st.text("0123456789 \n", max_size=40).map(str.encode),
    st.integers(1, 50),
)
def test_blocks_of_any_size_refuse_the_same(text: bytes, block: int) -> None:
    text = b"0 16\n16 20\n36 17\n" + text

    def read(size: int) -> str:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("shardio.format.index._BLOCK_BYTES", size)
            try:
                return str(parsed(text, "a.idx").offsets.tolist())
            except FormatError as error:
                return str(error).partition("line")[0]

    assert read(block) == read(1 << 20)
