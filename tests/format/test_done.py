"""The done-record: read back as written, and refused with every problem named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.errors import ManifestError
from shardio.format.done import DoneRecord, Reject
from shardio.format.times import Times

TEXTS = st.text(max_size=30)
NUMBERS = st.integers(0, 2**63 - 1)
CRCS = st.none() | st.integers(0, 2**32 - 1)
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
WORK = st.builds(Times, *[st.floats(0, 1e9)] * len(vars(Times())))
REJECTS = st.lists(st.builds(Reject, NUMBERS, TEXTS, TEXTS), max_size=4).map(tuple)


@settings(deadline=None)
@given(
    st.builds(DoneRecord, TEXTS, NUMBERS, NUMBERS, DIGESTS, CRCS, CRCS, REJECTS)
    | st.builds(
        DoneRecord,
        *(TEXTS, st.integers(9, 99), NUMBERS, DIGESTS, CRCS, CRCS, REJECTS),
        *(st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)),
        seconds=st.none() | WORK,
    )
)
def test_a_done_record_is_read_back_as_written(done: DoneRecord) -> None:
    assert DoneRecord.from_json(done.to_json(), "here.json") == done


EXAMPLE: dict[str, Any] = json.loads(
    DoneRecord("a.tfrecord", 1, 70, "0" * 64, 1, 2, (Reject(4, "b.png", "broken"),)).to_json()
)


@pytest.mark.parametrize("field", EXAMPLE)
def test_a_missing_field_is_named(field: str) -> None:
    text = json.dumps({key: value for key, value in EXAMPLE.items() if key != field})
    with pytest.raises(ManifestError, match=f"{field} is missing"):
        DoneRecord.from_json(text.encode(), "here.json")


@pytest.mark.parametrize("field", EXAMPLE)
def test_a_field_of_the_wrong_kind_is_named(field: str) -> None:
    text = json.dumps({**EXAMPLE, field: {"a": 1.5}})
    with pytest.raises(ManifestError, match=f"{field} must be"):
        DoneRecord.from_json(text.encode(), "here.json")


def test_all_problems_are_named_at_once() -> None:
    text = json.dumps({**EXAMPLE, "records": -1, "extra": 1, "rejects": [{"row": "x"}, 3]})
    with pytest.raises(ManifestError) as caught:
        DoneRecord.from_json(text.encode(), "here.json")
    named = ["records must", "extra is not", "rejects[0].row must", "rejects[0].path is missing"]
    named += ["rejects[0].reason is missing", "rejects[1] is no JSON object"]
    assert [part for part in named if part not in str(caught.value)] == []


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_random_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(ManifestError, match=r"here\.json"):
        DoneRecord.from_json(text, "here.json")


def test_more_records_of_a_kind_than_there_are_is_refused() -> None:
    text = json.dumps({**EXAMPLE, "one_colour": 2, "transparent": 2})
    with pytest.raises(ManifestError, match=r"(?s)one_colour must be.*transparent must be"):
        DoneRecord.from_json(text.encode(), "here.json")
