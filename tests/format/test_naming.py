"""The names of shards: they can be read back, and sort in the canonical order."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.format.naming import MAX_SHARDS, SPLIT_PATTERN, ShardName

splits = st.from_regex(re.compile(SPLIT_PATTERN, re.ASCII), fullmatch=True)


@st.composite
def shard_names(draw: st.DrawFn) -> ShardName:
    count = draw(st.integers(1, MAX_SHARDS))
    return ShardName(draw(splits), draw(st.integers(0, count - 1)), count)


@settings(deadline=None)
@given(shard_names())
def test_a_name_can_be_read_back(name: ShardName) -> None:
    assert ShardName.parse(str(name)) == name


@settings(deadline=None)
@given(st.text(max_size=30) | st.from_regex(r"\w+-\d+-of-\d+\.tfrecord"))
def test_what_is_read_is_written_the_same(text: str) -> None:
    name = ShardName.parse(text)
    assert name is None or str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "train",
        "train-00000-of-00000.tfrecord",
        "train-00001-of-00001.tfrecord",
        "train-0000-of-0001.tfrecord",
        "train-000000-of-000001.tfrecord",
        "train-00000-of-00001.tfrecords",
        "train-00000-of-00001.tfrecord.gz",
        "train-00000-of-00001.tfrecord\n",
        "train-00000-of-00001_tfrecord",
        ".train-00000-of-00001.tfrecord.a1.tmp",
        "-00000-of-00001.tfrecord",
        "0-00000-of-00001.tfrecord",
        "a-b-00000-of-00001.tfrecord",
        "a/b-00000-of-00001.tfrecord",
        "训练-00000-of-00001.tfrecord",
        "train-\u0660\u0660\u0660\u0660\u0660-of-00001.tfrecord",
        "train--0001-of-00001.tfrecord",
        "dataset.json",
    ],
)
def test_other_names_are_refused(text: str) -> None:
    assert ShardName.parse(text) is None


def test_names_are_pinned() -> None:
    name = ShardName("train", 3, 16)
    assert str(name) == "train-00003-of-00016.tfrecord"
    assert name.done_path == ".shardio/done/train-00003-of-00016.tfrecord.json"


def test_the_canonical_order_is_split_then_index() -> None:
    ordered = [
        ShardName(split, index, 12)
        for split in ("B", "a", "a0", "train", "val")
        for index in (2, 10)
    ]
    backwards = ordered[::-1]
    assert sorted(backwards) == ordered


@settings(deadline=None)
@given(st.lists(shard_names(), max_size=20))
def test_within_a_split_the_order_of_the_text_is_the_order_of_the_index(
    names: list[ShardName],
) -> None:
    same = [ShardName("train", name.index, MAX_SHARDS) for name in names]
    assert [str(name) for name in sorted(same)] == sorted(str(name) for name in same)
