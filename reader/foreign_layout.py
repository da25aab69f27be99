"""Records as others write them: which feature is the image, which ones are labels."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from reader.decode_threads import DECODERS
from shardio.errors import FormatError, OptionError
from shardio.format.example import BYTES, INT64, Feature
from shardio.format.layout import MAX_LABEL, MAX_ROW, RecordLayout

# The names that TensorFlow's own scripts, TFDS and tutorials give.
_IMAGES = (
    *("image", "image/encoded", "image_raw", "image_bytes", "encoded", "img"),
    *("jpg", "jpeg", "png", "webp"),
)
_LABELS = ("label", "image/class/label", "image/label", "class", "target", "y")
_SHOWN = 40
# What a thread reads at once, and copies of an image: Pillow's, of four bytes a pixel, and two that
# are on the way to the batch.
_DECODER = 1 << 20
_DECODED = 4


@dataclass(frozen=True)
class ForeignLayout:
    """Records that are a `tf.train.Example` of any kind, found by an index.

    `image` is the feature with the image, of `shape` (height, width, 3): `encoded` as PNG, JPEG or
    WebP, or raw pixels. `labels` are the int64 features with the labels, `row` the one with the
    row; without it the row of a record is its number in the set. `record_bytes` is the mean size
    of a record, `index_bytes` what the index takes.
    """

    image: str
    labels: tuple[str, ...]
    shape: tuple[int, int, int]
    encoded: bool
    row: str | None = None
    record_bytes: int = 0
    index_bytes: int = 0

    @property
    def image_bytes(self) -> int:
        """Size of the pixels."""
        height, width, channels = self.shape
        return height * width * channels

    @property
    def stride(self) -> int:
        """What a record takes while it is read: its bytes, and its pixels where they are others."""
        return self.record_bytes + (self.image_bytes if self.encoded else 0)

    @property
    def decoder_bytes(self) -> int:
        """What all threads that decode own while they do."""
        return DECODERS * (_DECODER + _DECODED * self.image_bytes) if self.encoded else 0

    @property
    def choice(self) -> tuple[object, ...]:
        """Which of all that the records hold is read, and as what."""
        return self.image, self.labels, self.shape, self.encoded, self.row

    @cached_property
    def names(self) -> frozenset[str]:
        """The features that are read."""
        return frozenset([self.image, *self.labels, *([self.row] if self.row else [])])

    def image_of(self, features: Mapping[str, Feature]) -> memoryview:
        """Return the image of a record, encoded or raw; FormatError where there is none."""
        return image_of(features, self.image)

    def integers_of(self, features: Mapping[str, Feature], number: int) -> list[int]:
        """Return the labels of a record and its row, which is `number` if it holds none.

        Raises FormatError for a label that is missing or out of range.
        """
        found = [_integer(features, name, MAX_LABEL) for name in self.labels]
        found.append(number if self.row is None else _integer(features, self.row, MAX_ROW))
        return found


# What the makers of batches look at is the same in both: image_bytes, stride and labels.
Layout = RecordLayout | ForeignLayout


def image_of(features: Mapping[str, Feature], name: str) -> memoryview:
    """Return the bytes of a feature with one value."""
    feature = features.get(name)
    if feature is None or feature.kind != BYTES or len(feature.values) != 1:
        raise FormatError(f"feature {name!r} must be one image, not {describe(feature)}")
    value = feature.values[0]
    assert isinstance(value, memoryview)
    return value


def _integer(features: Mapping[str, Feature], name: str, most: int) -> int:
    feature = features.get(name)
    if feature is None or feature.kind != INT64 or len(feature.values) != 1:
        raise FormatError(f"feature {name!r} must be one integer, not {describe(feature)}")
    value = operator.index(feature.values[0])  # type: ignore[arg-type]
    if not 0 <= value <= most:
        raise FormatError(f"feature {name!r} must be 0 to {most}, not {value}")
    return value


def choose_image(features: Mapping[str, Feature], name: str | None) -> str:
    """Return the feature that holds the image: `name`, or the one that is called like one."""
    candidates = sorted(key for key, feature in features.items() if _is_one(feature, BYTES))
    if name is not None:
        if name not in candidates:
            raise OptionError(
                f"image={name!r} must name a bytes feature with one value; "
                f"{list_features(features)}"
            )
        return name
    known = [key for key in candidates if key.lower() in _IMAGES]
    if len(known) != 1:
        raise OptionError(
            f"say which feature holds the image, {_example('image', known or candidates)}; "
            f"{list_features(features)}"
        )
    return known[0]


def choose_labels(features: Mapping[str, Feature], names: Sequence[str] | None) -> tuple[str, ...]:
    """Return the features that hold the labels: `names`, or those that are called like labels."""
    candidates = sorted(key for key, feature in features.items() if _is_one(feature, INT64))
    if names is not None:
        wrong = [name for name in names if name not in candidates]
        if wrong or len(set(names)) != len(names):
            raise OptionError(
                "labels must name int64 features with one value, each once: "
                f"{', '.join(map(str, wrong or names))}; {list_features(features)}"
            )
        return tuple(names)
    known = [key for key in candidates if key.lower() in _LABELS]
    heads = [f"y{number}" for number in range(len(candidates)) if f"y{number}" in candidates]
    if (len(known) > 0) + (len(heads) > 0) == 1 and (heads or len(known) == 1):
        return tuple(heads or known)
    if len(features) == 1:
        return ()
    raise OptionError(
        f"say which features are the labels, {_example('labels', known or candidates)}, or "
        f"labels=[] for none; {list_features(features)}"
    )


def _is_one(feature: Feature, kind: str) -> bool:
    return feature.kind == kind and len(feature.values) == 1


def _example(option: str, candidates: Sequence[str]) -> str:
    name = candidates[0] if candidates else "NAME"
    return f"e.g. {option}={name!r}" if option == "image" else f"e.g. {option}={[name]!r}"


def list_features(features: Mapping[str, Feature]) -> str:
    """List features with their kinds, for an error."""
    listed = [f"{name!r} ({describe(features[name])})" for name in sorted(features)[:_SHOWN]]
    if len(features) > _SHOWN:
        listed.append(f"and {len(features) - _SHOWN} more")
    return f"its features are {', '.join(listed) or 'none'}"


def describe(feature: Feature | None) -> str:
    """Say what a feature holds."""
    if feature is None:
        return "missing"
    if not feature.kind:
        return "no values"
    count = len(feature.values)
    if feature.kind == BYTES and count == 1:
        return f"{len(feature.values[0]):,} bytes"  # type: ignore[arg-type]
    return f"{count} x {feature.kind}" if count != 1 else feature.kind
