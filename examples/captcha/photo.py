"""Photo-like pictures, cut from a few textures that every process builds alike."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw

TEXTURES = 5
TEXTURE_SIZE = (512, 320)
"""Width and height in pixels; larger than any picture, so that there is room to cut."""
NOISE_SIZE = (640, 400)
GRAINS = (3, 6, 10, 15)
"""Largest deviations, in steps of a channel, of the grain of a picture."""
GRAIN_DENSITY = 0.2
"""Part of the pixels that the grain changes."""
COLOUR_STEP = 6
"""Distance between neighbouring values of a texture's channels."""
# Fixed and apart from the user's seed: the textures are the same for every data set, and
# the choices per picture come from the picture's own generator.
BANK_SEED = 20_902

Colour = tuple[int, int, int]


class PhotoBank:
    """Textures and noise, built once per process (a few tenths of a second)."""

    def __init__(self) -> None:
        rng = np.random.default_rng(BANK_SEED)
        self._textures = [variant for _ in range(TEXTURES) for variant in _variants(_texture(rng))]
        width, height = NOISE_SIZE
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        self._noise = Image.fromarray(noise)
        changed = rng.random((height, width, 1), dtype=np.float32) < GRAIN_DENSITY
        # Negative deviations are kept modulo 256, as ImageChops.add_modulo takes them.
        self._grains = [
            Image.fromarray(((noise % (2 * grain + 1) - grain) * changed).astype(np.uint8))
            for grain in np.array(GRAINS, np.int16)
        ]

    def photo(self, rng: Random, width: int, height: int) -> Image.Image:
        """Return an RGB picture: a piece of a texture with fine grain, and flat shapes on it."""
        picture = _random_crop(rng, rng.choice(self._textures), width, height)
        # Faster than a blend; the textures stay far enough from 0 and 255 not to wrap round.
        grain = _random_crop(rng, rng.choice(self._grains), width, height)
        picture = ImageChops.add_modulo(picture, grain)
        # The shapes stay free of grain: flat areas take less time and space to compress.
        _draw_shapes(rng, picture)
        return picture

    def add_noise(self, rng: Random, picture: Image.Image, amount: float) -> Image.Image:
        """Return the RGB picture blended with uniform noise; amount 0.1 has a deviation of 7."""
        noise = _random_crop(rng, self._noise, picture.width, picture.height)
        return Image.blend(picture, noise, amount)


def _texture(rng: np.random.Generator) -> Image.Image:
    """Return an RGB picture of TEXTURE_SIZE that looks like clouds, rock or water."""
    across, along = _field(rng), _field(rng)
    margin = max(GRAINS) + COLOUR_STEP
    corners = rng.uniform(margin, 255 - margin, (2, 2, 3)).astype(np.float32)
    weight_x, weight_y = across[..., None], along[..., None]
    top = corners[0, 0] * (1 - weight_x) + corners[0, 1] * weight_x
    bottom = corners[1, 0] * (1 - weight_x) + corners[1, 1] * weight_x
    pixels = top * (1 - weight_y) + bottom * weight_y
    # Bands of equal colour, hidden under the grain, make a PNG smaller and faster to write.
    return Image.fromarray(((pixels / COLOUR_STEP).round() * COLOUR_STEP).astype(np.uint8))


def _variants(texture: Image.Image) -> list[Image.Image]:
    """Return the RGB picture with its channels rotated, each way as it is and mirrored."""
    red, green, blue = texture.split()
    rotated = [
        Image.merge("RGB", bands)
        for bands in ((red, green, blue), (green, blue, red), (blue, red, green))
    ]
    return rotated + [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in rotated]


def _field(rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return smooth random heights in 0..1, shape (height, width): noise summed over scales."""
    width, height = TEXTURE_SIZE
    total = np.zeros((height, width), np.float32)
    for octave in range(1, 8):
        cells = 2**octave
        grid = rng.random((cells, cells * width // height), dtype=np.float32)
        scaled = Image.fromarray(grid).resize(TEXTURE_SIZE, Image.Resampling.BICUBIC)
        total += np.asarray(scaled) / cells
    low, high = total.min(), total.max()
    return np.asarray((total - low) / (high - low), np.float32)


def random_colour(rng: Random, lowest: int = 0, highest: int = 255) -> Colour:
    """Return red, green and blue, each of them within the two bounds, both included."""
    red, green, blue = rng.choices(range(lowest, highest + 1), k=3)
    return red, green, blue


def _random_crop(rng: Random, picture: Image.Image, width: int, height: int) -> Image.Image:
    left = rng.randint(0, picture.width - width)
    top = rng.randint(0, picture.height - height)
    return picture.crop((left, top, left + width, top + height))


def _draw_shapes(rng: Random, picture: Image.Image) -> None:
    """Draw a few ellipses, polygons and bars onto the RGB picture."""
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(3, 8)):
        colour = random_colour(rng)
        x, y = rng.uniform(0, picture.width), rng.uniform(30, picture.height)
        radius_x, radius_y = rng.uniform(15, 65), rng.uniform(15, 65)
        shape = rng.choice(("ellipse", "polygon", "bar"))
        if shape == "ellipse":
            draw.ellipse([x - radius_x, y - radius_y, x + radius_x, y + radius_y], fill=colour)
        elif shape == "polygon":
            angles = sorted(rng.uniform(0, math.tau) for _ in range(5))
            corners = [(x + math.cos(a) * radius_x, y + math.sin(a) * radius_y) for a in angles]
            draw.polygon(corners, fill=colour)
        else:
            rise = rng.choice((-2, 2)) * radius_y
            ends = [x - 2 * radius_x, y - rise, x + 2 * radius_x, y + rise]
            draw.line(ends, fill=colour, width=rng.randint(2, 12))
