"""times.json: read back as written, and refused with every problem named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.errors import ManifestError
from shardio.format.times import ConversionTimes, LastRun, Times

SECONDS = st.floats(0, 1e9)
NUMBERS = st.integers(0, 2**31)
WORK = st.builds(Times, *[SECONDS] * len(vars(Times())))
RUNS = st.builds(LastRun, st.text(max_size=9), st.none() | NUMBERS, NUMBERS, SECONDS)
EXAMPLE = ConversionTimes("0" * 64, 4, Times(1.0), LastRun("spark", None, 3, 0.5))


@settings(deadline=None)
@given(st.builds(ConversionTimes, st.just("a" * 64), NUMBERS, WORK, RUNS))
def test_times_are_read_back_as_written(times: ConversionTimes) -> None:
    assert ConversionTimes.from_json(times.to_json(), "here.json") == times


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf"), True, "1", None])
def test_what_is_no_time_is_refused(wrong: Any) -> None:
    fields = json.loads(EXAMPLE.to_json())
    fields["work_seconds"]["reading"] = fields["last_run"]["seconds"] = wrong
    fields["last_run"]["extra"] = 1
    with pytest.raises(ManifestError) as caught:
        ConversionTimes.from_json(json.dumps(fields).encode(), "here.json")
    for problem in ("work_seconds.reading must", "last_run.seconds must", "last_run.extra is not"):
        assert problem in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_random_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(ManifestError, match=r"here\.json"):
        ConversionTimes.from_json(text, "here.json")


def test_times_add_up() -> None:
    total = Times(reading=1.0, writing=0.25)
    total.add(Times(reading=0.5, encoding=2.0000004))
    assert total.rounded() == Times(reading=1.5, encoding=2.0, writing=0.25)
