"""Options and the ways to write them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter.options import (
    ConvertOptions,
    RejectLimit,
    parse_box,
    parse_names,
    parse_size,
)
from shardio.errors import OptionError
from shardio.format.transform import Transform

integers = st.integers(-(10**6), 10**6)


@given(integers, integers, integers, integers, st.sampled_from([",", ", ", " ,"]))
def test_a_box_is_read_as_it_is_written(
    left: int, top: int, right: int, bottom: int, comma: str
) -> None:
    box = left, top, right, bottom
    assert parse_box(comma.join(map(str, box))) == box


@pytest.mark.parametrize("text", ["none", "NONE", " none "])
def test_no_box_is_none(text: str) -> None:
    assert parse_box(text) is None


@pytest.mark.parametrize(
    "text",
    ["", "1", "1,2,3", "1,2,3,4,5", "a,b,c,d", "1.5,2,3,4", "1,2,3,", "1 2 3 4", "9" * 5000],
)
def test_other_boxes_are_refused_with_their_text(text: str) -> None:
    with pytest.raises(OptionError, match="crop box") as caught:
        parse_box(text)
    assert repr(text) in str(caught.value)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(["x", "X", " x "]))
def test_a_size_is_width_times_height(width: int, height: int, times: str) -> None:
    assert parse_size(f"{width}{times}{height}") == (width, height)


@pytest.mark.parametrize("text", ["", "128", "128x", "x32", "128*32", "-1x5", "1.5x2", "1x" * 9])
def test_other_sizes_are_refused_with_their_text(text: str) -> None:
    with pytest.raises(OptionError, match="WIDTHxHEIGHT") as caught:
        parse_size(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [("", ()), ("  ", ()), ("y0", ("y0",)), ("b, a ,c", ("b", "a", "c")), ("字", ("字",))],
)
def test_names_keep_their_order(text: str, names: tuple[str, ...]) -> None:
    assert parse_names(text) == names


@given(st.integers(0, 100), st.integers(0, 10**7))
def test_a_share_of_rejects_is_exact(percent: int, rows: int) -> None:
    assert RejectLimit.parse(f"{percent}%").rows(rows) == percent * rows // 100


@given(st.integers(0, 10**9), st.integers(0, 10**7))
def test_a_number_of_rejects_is_that_number(number: int, rows: int) -> None:
    assert RejectLimit.parse(str(number)).rows(rows) == number


@pytest.mark.parametrize(
    ("text", "shown"), [("1%", "1%"), ("0.5 %", "0.5%"), ("25", "25"), ("100.0%", "100%")]
)
def test_a_limit_is_shown_as_it_is_written(text: str, shown: str) -> None:
    assert str(RejectLimit.parse(text)) == shown


def test_one_percent_is_the_default() -> None:
    assert RejectLimit() == RejectLimit.parse("1%")
    assert RejectLimit().share == Fraction(1, 100)


@pytest.mark.parametrize(
    "text", ["", "%", "-1", "1.5", "101%", "100.1%", "1e2%", "nan%", "9" * 5000, "1%%"]
)
def test_other_limits_are_refused_with_their_text(text: str) -> None:
    with pytest.raises(OptionError, match="limit of rejects") as caught:
        RejectLimit.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shards": 0}, "not 0"),
        ({"shards": 100_000}, "not 100000"),
        ({"shard_size": 0}, "not 0"),
        ({"shards": 1, "shard_size": 1}, "not both"),
        ({"classes": 0}, "not 0"),
        ({"classes": 2**31 + 1}, "not 2147483649"),
        ({"seed": -1}, "not -1"),
        ({"seed": 2**63}, "not 9223372036854775808"),
        ({"labels": ("y0", "y0")}, "distinct"),
        ({"labels": ("y0", "")}, "not empty"),
        ({"labels": ("image",)}, "image"),
        ({"labels": ("row",)}, "row"),
        ({"labels": ("path",)}, "path cannot be a label"),
        ({"labels": ("a", "split")}, "split cannot be a label"),
    ],
)
def test_impossible_options_are_refused_with_the_value(
    options: dict[str, object], text: str
) -> None:
    with pytest.raises(OptionError) as caught:
        ConvertOptions(**options)  # type: ignore[arg-type]
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "transform",
    [Transform(None, (60_000, 60_000)), Transform((0, 0, 60_000, 60_000), pad=True)],
)
def test_more_pixels_than_an_image_may_have_are_refused(transform: Transform) -> None:
    with pytest.raises(OptionError, match="60000x60000"):
        ConvertOptions(transform=transform)


@pytest.mark.parametrize(
    "options",
    [{"shards": 99_999}, {"classes": 2**31}, {"seed": 2**63 - 1}, {"labels": ()}, {"classes": 1}],
)
def test_the_largest_values_pass(options: dict[str, object]) -> None:
    ConvertOptions(**options)  # type: ignore[arg-type]
