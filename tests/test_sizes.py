"""Amounts of bytes, as people write them: one parser for both halves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardio.errors import OptionError
from shardio.sizes import in_words, measured, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("256MB", 256_000_000),
        ("256mb", 256_000_000),
        ("256 M", 256_000_000),
        ("256MiB", 256 << 20),
        ("1.5G", 1_500_000_000),
        ("4.35k", 4350),
        ("0.001kB", 1),
        ("1000000", 1_000_000),
        ("7B", 7),
        ("2TB", 2 * 10**12),
        ("2gib", 2 << 30),
        (" 77 ", 77),
        (77, 77),
    ],
)
def test_amounts_are_read(text: int | str, size: int) -> None:
    assert parse_bytes(text) == size


@given(st.integers(1, 10**18 - 1))
def test_a_bare_number_is_bytes(count: int) -> None:
    assert parse_bytes(str(count)) == parse_bytes(count) == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MB",
        "-1",
        "1,5MB",
        "1 2",
        "1e9",
        "inf",
        "9" * 400 + "G",
        "1ib",
        "5 XB",
        0,
        "0",
        -5,
        1.5,
        True,
    ],
)
def test_what_is_no_amount_is_refused_with_its_name_and_text(text: Any) -> None:
    with pytest.raises(OptionError, match="the room") as caught:
        parse_bytes(text, "the room")
    assert repr(text) in str(caught.value)


@given(st.integers(1, 10**12))
def test_an_amount_in_words_is_never_too_little(size: int) -> None:
    assert size <= parse_bytes(in_words(size)) <= size + 10**6


@given(st.integers(1, 10**15))
def test_what_is_there_is_never_shown_as_nothing(size: int) -> None:
    assert parse_bytes(measured(size).replace(",", "").replace("bytes", "B")) == pytest.approx(
        size, rel=0.06
    )
