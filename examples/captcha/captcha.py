"""One captcha: a photo under a strip that shows four characters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from glyphs import SIDE, glyph_number, load_glyphs
from photo import PhotoBank, random_colour
from PIL import Image, ImageDraw

CHARACTERS = 4
STRIP_HEIGHT = 30
BOX = (186, 0, 300, STRIP_HEIGHT)
"""Left, top, right and bottom, in pixels, of the part of the strip with the characters."""
WIDTHS = (300, 360)
HEIGHTS = (190, 210)
"""Smallest and largest size of a captcha in pixels, both included."""
PROMPT = "请依次点击"
"""Printed small and plain left of the box, as on the captchas that this imitates."""

QUARTER = (BOX[2] - BOX[0]) / CHARACTERS
TILE = 30
"""Side in pixels of the square in which a character is turned and scaled."""

# Lowest and highest value of the channels of a colour.
_DARK = (0, 100)
_LIGHT = (165, 255)
_MIDDLE = (70, 190)


class CaptchaPainter:
    """Draws captchas; holds the glyphs and textures, so build one per process."""

    def __init__(self) -> None:
        # All glyphs below each other in one picture: cutting one out is cheap.
        self._glyphs = Image.fromarray(load_glyphs().reshape(-1, SIDE))
        self._photos = PhotoBank()
        self._prompt = Image.new("L", ((SIDE + 2) * len(PROMPT), SIDE))
        for i, character in enumerate(PROMPT):
            self._prompt.paste(self._glyph(glyph_number(character)), ((SIDE + 2) * i, 0))

    def paint(self, rng: Random, glyph_numbers: Sequence[int]) -> Image.Image:
        """Return an RGB picture of random size that shows the four glyphs in BOX, in order."""
        if len(glyph_numbers) != CHARACTERS:
            raise ValueError(f"a captcha shows {CHARACTERS} characters, not {len(glyph_numbers)}")
        width, height = rng.randint(*WIDTHS), rng.randint(*HEIGHTS)
        picture = self._photos.photo(rng, width, height)
        picture.paste(self._strip(rng, width, glyph_numbers), (0, 0))
        return picture

    def _glyph(self, number: int) -> Image.Image:
        """Return a glyph as a grey picture, SIDE x SIDE, white ink on black."""
        return self._glyphs.crop((0, SIDE * number, SIDE, SIDE * (number + 1)))

    def _strip(self, rng: Random, width: int, glyph_numbers: Sequence[int]) -> Image.Image:
        """Return the RGB strip, width x STRIP_HEIGHT."""
        # Mostly dark ink on a light ground, at times the other way round; either way far
        # enough apart that noise and JPEG leave the strokes readable.
        light_ink = rng.random() < 0.2
        ground, ink = (_DARK, _LIGHT) if light_ink else (_LIGHT, _DARK)
        strip = Image.new("RGB", (width, STRIP_HEIGHT), random_colour(rng, *ground))
        draw = ImageDraw.Draw(strip)
        _draw_lines(rng, draw, rng.randint(2, 4))
        strip.paste(random_colour(rng, *ink), (12, 7), self._prompt)
        for place, number in enumerate(glyph_numbers):
            mask = _turned(rng, self._glyph(number))
            shift_x, shift_y = rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5)
            left = round(BOX[0] + (place + 0.5) * QUARTER - TILE / 2 + shift_x)
            top = round(BOX[1] + (STRIP_HEIGHT - TILE) / 2 + shift_y)
            strip.paste(random_colour(rng, *ink), (left, top), mask)
        # One line over the characters too, thin enough not to hide a stroke.
        _draw_lines(rng, draw, 1)
        return self._photos.add_noise(rng, strip, rng.uniform(0.06, 0.22))


def _turned(rng: Random, glyph: Image.Image) -> Image.Image:
    """Return the SIDE x SIDE glyph scaled and turned a little, as a TILE x TILE mask."""
    scale = rng.uniform(1.4, 1.6)
    angle = math.radians(rng.uniform(-6, 6))
    # Image.transform wants the way back, from the tile to the glyph, centre onto centre.
    cos, sin = math.cos(angle) / scale, math.sin(angle) / scale
    middle, centre = SIDE / 2, TILE / 2
    start_x, start_y = middle - (cos + sin) * centre, middle - (cos - sin) * centre
    matrix = (cos, sin, start_x, -sin, cos, start_y)
    return glyph.transform((TILE, TILE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _draw_lines(rng: Random, draw: ImageDraw.ImageDraw, count: int) -> None:
    """Draw lines of 1 pixel from left to right through the box."""
    for _ in range(count):
        left = rng.uniform(BOX[0] - 20, BOX[0] + 40), rng.uniform(0, STRIP_HEIGHT)
        right = rng.uniform(BOX[2] - 40, BOX[2]), rng.uniform(0, STRIP_HEIGHT)
        draw.line([left, right], fill=random_colour(rng, *_MIDDLE))
