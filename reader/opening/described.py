"""What the user says of shards that no dataset.json describes."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reader.foreign.label_bytes import LabelBytes
from reader.foreign.raw_pixels import RawPixels
from shardio.errors import OptionError
from shardio.format.label import MAX_LABEL, LabelKind

_SIDE = 65_535


@dataclass(frozen=True)
class SetOptions:
    """Shape of the images, classes of the heads, and the features that hold both; None is not said.

    `classes` is one number for all heads, or one for each. `labels` may say how those are read that
    are bytes, and `image` how raw pixels are. `missing` is the class of labels that are not there.
    Images are resized to `size`, (height, width), the whole of each or, with the `crop` "center",
    as much of its centre as has that shape.
    """

    shape: tuple[int, int, int] | None = None
    classes: int | Sequence[int] | None = None
    image: str | Mapping[str, str | None] | None = None
    labels: Sequence[str] | Mapping[str, str | Sequence[str] | None] | None = None
    missing: int | None = None
    size: tuple[int, int] | None = None
    crop: str | None = None

    def __post_init__(self) -> None:
        try:
            if self.shape is not None:
                height, width, channels = map(operator.index, self.shape)
                object.__setattr__(self, "shape", (height, width, channels))
            if isinstance(self.classes, Sequence):
                object.__setattr__(self, "classes", tuple(map(operator.index, self.classes)))
            elif self.classes is not None:
                object.__setattr__(self, "classes", operator.index(self.classes))
        except (TypeError, ValueError) as error:
            raise OptionError(
                "shape must be (height, width, channels), and classes one number or one for each "
                f"head: {self.shape}, {self.classes}"
            ) from error
        try:
            if self.size is not None:
                height, width = map(operator.index, self.size)
                object.__setattr__(self, "size", (height, width))
            if self.missing is not None:
                object.__setattr__(self, "missing", operator.index(self.missing))
        except (TypeError, ValueError) as error:
            raise OptionError(
                "size must be (height, width), and missing a class: "
                f"{self.size!r}, {self.missing!r}"
            ) from error
        if self.size is not None and not all(1 <= side <= _SIDE for side in self.size):
            raise OptionError(f"size must be (height, width), 1 to {_SIDE} each, not {self.size}")
        if self.missing is not None and not 0 <= self.missing <= MAX_LABEL:
            raise OptionError(f"missing must be a class, 0 to {MAX_LABEL}, not {self.missing}")
        if self.crop not in (None, "center"):
            raise OptionError(f'crop must be "center", not {self.crop!r}')
        if self.crop is not None and self.size is None:
            raise OptionError(
                'crop="center" (--crop center) goes with size=(height, width) (--size HxW)'
            )
        if isinstance(self.image, Mapping) and len(self.image) != 1:
            raise OptionError(f"image names one feature, not {', '.join(self.image) or 'none'}")
        if isinstance(self.labels, str):
            object.__setattr__(self, "labels", (self.labels,))
        elif self.labels is not None and not isinstance(self.labels, Mapping):
            object.__setattr__(self, "labels", tuple(self.labels))

    @property
    def image_name(self) -> str | None:
        """The feature that holds the image."""
        return next(iter(self.image)) if isinstance(self.image, Mapping) else self.image

    @property
    def raw_pixels(self) -> RawPixels | None:
        """How raw pixels are read, if it was said."""
        if not isinstance(self.image, Mapping):
            return None
        ((name, how),) = self.image.items()
        return None if how is None else RawPixels.of(name, how)

    @property
    def given(self) -> list[str]:
        """The names of what was said."""
        return [name for name, value in vars(self).items() if value is not None]

    @property
    def label_names(self) -> Sequence[str] | None:
        """The features that hold the labels."""
        return None if self.labels is None else tuple(self.labels)

    @property
    def label_bytes(self) -> dict[str, LabelBytes]:
        """How the labels are read that are bytes, by name."""
        said = self.labels if isinstance(self.labels, Mapping) else {}
        return {name: LabelBytes.of(name, how) for name, how in said.items() if how is not None}

    @property
    def of_features(self) -> bool:
        """Whether features were named, as those of a foreign set have to be."""
        return self.image is not None or self.labels is not None

    def class_counts(
        self, kinds: Sequence[LabelKind], texts: Sequence[tuple[str, ...] | None] = ()
    ) -> list[int]:
        """Return the number of classes of every head; 0 means not known, or floats.

        `texts` are those of the classes of each head, where they are known.
        """
        classes = self.classes or 0
        known = [of_head is not None for of_head in texts] or [False] * len(kinds)
        heads = sum(not (kind.is_float or named) for kind, named in zip(kinds, known, strict=True))
        counts = list(classes) if isinstance(classes, Sequence) else [classes] * heads
        if len(counts) != heads or min(counts, default=0) < 0:
            what = "heads" if heads == len(kinds) else "heads of integers"
            raise OptionError(f"classes must be one number, or one for each of {heads} {what}")
        left = iter(counts)
        return [
            len(texts[head] or ()) if known[head] else 0 if kind.is_float else next(left)
            for head, kind in enumerate(kinds)
        ]
