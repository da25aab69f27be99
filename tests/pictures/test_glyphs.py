"""Bitmaps of characters, and texts that are made of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardio.pictures.glyphs import COUNT, FIRST_CODE_POINT, NARROW, SIDE, glyph, load_glyphs
from shardio.pictures.half_blocks import cells
from shardio.pictures.lettering import lettering, text_width, wrapped
from shardio.plain_text import plain_text


def test_letters_are_half_as_wide_as_ideographs() -> None:
    for character in "Aé中жΩあ한、":
        assert glyph(character).shape == (SIDE, NARROW * cells(character))
        assert glyph(character).any()


@pytest.mark.parametrize("number", [0, 17, COUNT - 1])
def test_an_ideograph_is_the_bitmap_that_the_demo_draws(number: int) -> None:
    assert (glyph(chr(FIRST_CODE_POINT + number)) * 255 == load_glyphs()[number]).all()


def test_bitmaps_of_different_characters_differ() -> None:
    drawn = {glyph(character).tobytes() for character in "abcdefghijklmnopqrstuvwxyz0123456789中国"}
    assert len(drawn) == 38


def test_a_character_without_a_bitmap_is_a_box() -> None:
    assert (glyph("\U0001f600") == glyph("\U00020000")).all()
    assert glyph("\U0001f600").any()


@given(st.text(max_size=40))
def test_no_text_acts_on_a_terminal(text: str) -> None:
    shown = plain_text(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert plain_text(shown) == shown


def test_what_cannot_be_seen_is_said() -> None:
    assert plain_text("a\x1b[31mb\n") == r"a\x1b[31mb\n"
    assert plain_text("\u202eabc") == r"\u202eabc"
    assert plain_text("中\u3000国\xa0x") == "中 国 x"


@given(st.text(st.sampled_from("ab 中é"), max_size=60), st.integers(32, 200), st.integers(1, 4))
def test_wrapped_lines_fit_and_lose_nothing_without_saying_so(
    text: str, width: int, lines: int
) -> None:
    found = wrapped(text, width, lines)
    assert len(found) <= lines
    assert all(text_width(line) <= width for line in found)
    kept = "".join("".join(found).split())
    whole = "".join(text.split())
    assert kept == whole or (kept.endswith("…") and whole.startswith(kept[:-1]))


def test_a_text_is_its_glyphs_side_by_side() -> None:
    both = np.concatenate([glyph("a"), glyph("中")], axis=1)
    assert (lettering("a中") == both).all()
    assert lettering("").shape == (SIDE, 0)
