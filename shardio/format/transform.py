"""What is done to every image before it is stored."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from shardio.errors import OptionError
from shardio.format.fields import Fields

RESAMPLINGS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")

# Images are stored as they are cut out.
NO_RESAMPLING = "none"
# What is done about EXIF orientation.
KEEP, APPLY = "keep", "apply"
# An image that becomes more than so many times as large is counted.
ENLARGED = 2

MAX_SIDE = 65_535

# The modes of Pillow with so many channels, and the words for them.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Transform:
    """Crop, then resize; or resize, then crop the centre.

    `crop` is (left, top, right, bottom) in pixels of the source, right and bottom excluded; None
    keeps the whole image. `size` is (width, height) in pixels of the result; None is that of the
    box or, of whole images, the one that they all have, which `settled` tells. `pad` fills with
    black where the box reaches outside the image; without it, such an image is rejected. With
    `shorter` the whole image is resized first, so that its shorter side has so many pixels, and
    `size` is cut from its centre. With `resample` "none" nothing is resized, and an image that does
    not have `size` is rejected. `background` is the colour (R, G, B) that transparent images are
    laid on, before anything else; without it their alpha is dropped at the end. `value_range` is
    (black, white) for images of 32 bits a sample, which are rejected without it. `channels` are
    those of the result: 1 (grey), 3 (RGB) or 4 (RGBA); an image of other ones is turned into them
    before it is cut and resized. With `orientation` "apply" an image that EXIF says is turned is
    set upright before anything else. `crop_columns` are columns of the table with the box of each
    row, such as `l=xmin`, in place of `crop`; without `size` the boxes are all of one.
    """

    crop: tuple[int, int, int, int] | None = None
    size: tuple[int, int] | None = None
    resample: str = "bicubic"
    pad: bool = False
    shorter: int | None = None
    background: tuple[int, int, int] | None = None
    value_range: tuple[float, float] | None = None
    channels: int = 3
    orientation: str = KEEP
    crop_columns: tuple[str, ...] | None = None

    @property
    def is_cut(self) -> bool:
        """Whether a box is cut out of the images."""
        return bool(self.crop or self.crop_columns or self.shorter)

    def __post_init__(self) -> None:
        if self.orientation not in (KEEP, APPLY):
            raise OptionError(f"the orientation is kept or applied, not {self.orientation}")
        if self.resample not in (*RESAMPLINGS, NO_RESAMPLING):
            raise OptionError(
                f"resample must be one of {', '.join(RESAMPLINGS)}, none: {self.resample}"
            )
        if self.size is not None and not all(1 <= side <= MAX_SIDE for side in self.size):
            raise OptionError(
                f"the size must be 1x1 to {MAX_SIDE}x{MAX_SIDE} pixels, not "
                f"{self.size[0]}x{self.size[1]}"
            )
        if self.channels not in MODES:
            raise OptionError(f"channels must be 1, 3 or 4: grey, RGB or RGBA, not {self.channels}")
        if self.background is not None and self.channels == 4:
            raise OptionError("RGBA keeps what is transparent: a background goes with grey or RGB")
        if self.background is not None and not all(0 <= part <= 255 for part in self.background):
            colour = ",".join(map(str, self.background))
            raise OptionError(f"a background is three integers of 0 to 255, not {colour}")
        if self.value_range is not None:
            low, high = self.value_range
            if not (math.isfinite(low) and math.isfinite(high - low) and low < high):
                raise OptionError(
                    f"a range is two numbers, the lower one first, not {low:g},{high:g}"
                )
        if self.crop_columns is not None and len(self.crop_columns) != 4:
            raise OptionError("the boxes of a table are four columns")
        if self.crop_columns is not None and (self.crop is not None or self.shorter is not None):
            raise OptionError("boxes in the table go with no other box, and no shorter side")
        if self.shorter is not None:
            if self.crop is not None or self.pad or self.resample == NO_RESAMPLING:
                raise OptionError(
                    "a shorter side is for whole images that are resized: no crop box, no padding"
                )
            if self.size is None:
                raise OptionError("a shorter side needs a size, which is cut from the centre")
            if not max(self.size) <= self.shorter <= MAX_SIDE:
                raise OptionError(
                    f"the shorter side must be {max(self.size)} to {MAX_SIDE} pixels, not "
                    f"{self.shorter}: {self.size[0]}x{self.size[1]} are cut from it"
                )
        if self.crop is not None:
            left, top, right, bottom = self.crop
            box = ",".join(map(str, self.crop))
            if right <= left or bottom <= top:
                raise OptionError(f"the crop box {box} is empty: it is left,top,right,bottom")
            if right - left > MAX_SIDE or bottom - top > MAX_SIDE:
                raise OptionError(f"the crop box {box} is larger than {MAX_SIDE} pixels a side")
            if not self.pad and (left < 0 or top < 0):
                raise OptionError(f"the crop box {box} starts outside the image; see --pad")
            if self.size is None:
                object.__setattr__(self, "size", self._box_size())
        elif self.size is None and self.resample not in (type(self).resample, NO_RESAMPLING):
            raise OptionError(f"resampling {self.resample} needs a size")

    @property
    def is_settled(self) -> bool:
        """Whether the size of the result is known."""
        return self.size is not None

    def settled(self, size: tuple[int, int]) -> Transform:
        """Return this transform for images that all have `size`: nothing is resized."""
        return replace(self, size=size, resample=NO_RESAMPLING)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the result of a settled transform."""
        assert self.size is not None, "the size is not settled"
        return self.size[1], self.size[0], self.channels

    def line(self, sources: str = "") -> str:
        """Return what is done, in the order in which it is done.

        `sources` are the sizes of the images, where they are known.
        """
        of = f" of {sources}" if sources else ""
        parts = []
        if self.value_range is not None:
            parts.append(f"range {self.value_range[0]:g},{self.value_range[1]:g} of 32-bit files")
        if self.background is not None:
            parts.append(f"background {','.join(map(str, self.background))}")
        if self.orientation == APPLY:
            parts.append("EXIF orientation applied")
        if self.channels != 3:
            parts.append(COLOURS[self.channels])
        box = "whole image" if self.crop is None else f"crop {','.join(map(str, self.crop))}"
        if self.crop_columns is not None:
            box = f"crop {','.join(self.crop_columns)}"
        parts.append(f"{box}{of}{', padded with black' if self.pad else ''}")
        if self.shorter is not None:
            parts.append(f"shorter side {self.shorter}, {self.resample}")
        size = "its size" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        if self.shorter is not None:
            parts.append(f"centre {size}")
        elif self.resample == NO_RESAMPLING or self.size in (None, self._box_size()):
            parts.append(f"{size} as it is")
        else:
            parts.append(f"resize {size}, {self.resample}")
        return " -> ".join(parts)

    def _box_size(self) -> tuple[int, int] | None:
        if self.crop is None:
            return None
        return self.crop[2] - self.crop[0], self.crop[3] - self.crop[1]

    def to_json(self) -> dict[str, Any]:
        """Return the object that stands in dataset.json; the transform is settled."""
        height, width, _ = self.shape
        written: dict[str, Any] = {
            "crop": None if self.crop is None else list(self.crop),
            "size": [width, height],
            "resample": self.resample,
            "pad": self.pad,
        }
        # What older sets do not have is written only where it says something.
        if self.shorter is not None:
            written["shorter"] = self.shorter
        if self.background is not None:
            written["background"] = list(self.background)
        if self.value_range is not None:
            written["range"] = list(self.value_range)
        if self.channels != 3:
            written["channels"] = self.channels
        if self.crop_columns is not None:
            written["crop_columns"] = list(self.crop_columns)
        if self.orientation != KEEP:
            written["orientation"] = self.orientation
        return written

    @classmethod
    def from_fields(cls, fields: Fields, problems: list[str]) -> Transform:
        """Read the object that stands in dataset.json; notes what is wrong in `problems`."""
        crop = fields.integers("crop", 4, null=True)
        size = fields.integers("size", 2) or (0, 0)
        resample = fields.text("resample", (*RESAMPLINGS, NO_RESAMPLING))
        pad = fields.boolean("pad")
        shorter = fields.optional_integer("shorter", 1, MAX_SIDE)
        background = fields.optional_numbers("background", 3, whole=True)
        value_range = fields.optional_numbers("range", 2)
        channels = fields.optional_integer("channels", 1, 4) or 3
        orientation = fields.text("orientation", (APPLY,)) if fields.has("orientation") else KEEP
        columns = fields.optional_texts("crop_columns") if fields.has("crop_columns") else None
        sound = fields.sound
        fields.close()
        unknown = cls(size=(1, 1))
        if not sound:
            return unknown
        try:
            return cls(
                crop=None if crop is None else (crop[0], crop[1], crop[2], crop[3]),
                size=(size[0], size[1]),
                resample=resample,
                pad=pad,
                shorter=shorter,
                background=None
                if background is None
                else (int(background[0]), int(background[1]), int(background[2])),
                value_range=None if value_range is None else (value_range[0], value_range[1]),
                channels=channels,
                orientation=orientation,
                crop_columns=columns,
            )
        except OptionError as error:
            problems.append(f"transform: {error}")
            return unknown


# Pillow's own limit (a quarter of a gigabyte of RGB), held strictly: Pillow only warns up to
# twice as much.
MAX_PIXELS = 89_478_485
