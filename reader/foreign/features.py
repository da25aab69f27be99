"""Which feature of a record is the image, and which are labels: named, or called like ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from reader.foreign.label_bytes import LabelBytes
from reader.foreign.layout import describe
from shardio.errors import OptionError
from shardio.examples.example import BYTES, INT64, Feature
from shardio.examples.example import FLOAT as FLOATS
from shardio.format.label import CLASS, FLOAT, INT, LabelKind

# The names that TensorFlow's own scripts, TFDS and tutorials give.
_IMAGES = (
    *("image", "image/encoded", "image_raw", "image_bytes", "encoded", "img"),
    *("jpg", "jpeg", "png", "webp"),
)
_LABELS = ("label", "image/class/label", "image/label", "class", "target", "y")
_LABELS_SET = frozenset(_LABELS)
_HEAD = re.compile(r"y(0|[1-9][0-9]*)")
# Heads that a record may hold although the first one does not; no set has as many.
_HEADS = 256
# What an integer with such a name counts is no class, and is not proposed as a label.
_MEASURES = re.compile(
    r"(.*[/_])?(height|width|depth|channels?|rows?|cols?|columns?|size|shape|length|index|id|x|y"
    r"|[xy]?(min|max))",
    re.IGNORECASE,
)
# What there is of each object in an image, as sets for detection have it.
_OBJECTS = re.compile(r"(.*/)?objects?/.*", re.IGNORECASE)
_SHOWN = 40


def choose_image(features: Mapping[str, Feature], name: str | None) -> str:
    """Return the feature that holds the image: `name`, or the one that is called like one."""
    candidates = sorted(key for key, feature in features.items() if _is_one(feature, BYTES))
    if name is not None:
        if name not in candidates:
            raise OptionError(
                f"image={name!r} (--image {name}) must name a bytes feature with one value; "
                f"{list_features(features)}"
            )
        return name
    known = [key for key in candidates if key.lower() in _IMAGES]
    if not candidates:
        raise OptionError(
            "no feature holds an image, which is one value of bytes: a file, or pixels as tobytes "
            f"gives them; {list_features(features)}"
        )
    if len(known) != 1:
        raise OptionError(
            f"say which feature holds the image, {_example('image', known or candidates)}; "
            f"{list_features(features)}"
        )
    return known[0]


def choose_labels(
    features: Mapping[str, Feature],
    names: Sequence[str] | None,
    label_bytes: Mapping[str, LabelBytes] = MappingProxyType({}),
) -> tuple[str, ...]:
    """Return the features that hold the labels: `names`, or those that are called like labels.

    The first record has to hold them, or a name that no record has would go unseen. `label_bytes`
    says how those are read that are bytes.
    """
    candidates = sorted(key for key, feature in features.items() if _is_one(feature, INT64))
    if names is not None:
        usable = [
            key
            for key, feature in features.items()
            if (_is_one(feature, BYTES) if key in label_bytes else feature.kind in (INT64, FLOATS))
        ]
        wrong = [name for name in names if name not in usable]
        if wrong or len(set(names)) != len(names):
            raise OptionError(
                "labels must name features of numbers, or say how their bytes are read, each once: "
                f"{', '.join(map(str, wrong or names))}; {list_features(features)}"
                f"{_unsupported(features, [x for x in wrong if x not in label_bytes])}"
            )
        return tuple(names)
    known = [key for key in candidates if key.lower() in _LABELS]
    heads = sorted(filter(_HEAD.fullmatch, features), key=lambda name: int(name[1:]))
    if not known and heads and set(heads) <= set(candidates):
        return tuple(heads)
    if len(known) == 1 and not heads:
        return tuple(known)
    others = [
        key
        for key in candidates
        if not (heads or _MEASURES.fullmatch(key) or _OBJECTS.fullmatch(key))
    ]
    like_labels = [*filter(_is_like_label, sorted(features))]
    raise OptionError(
        f"say which features are the labels, {_example('labels', known or others)}, or "
        f"labels=[] for none (--labels {[*known, *others, 'NAME'][0]}, --labels ''); "
        f"{list_features(features)}{_unsupported(features, like_labels)}"
    )


def kinds_of(
    features: Mapping[str, Feature],
    labels: Sequence[str],
    label_bytes: Mapping[str, LabelBytes] = MappingProxyType({}),
) -> list[LabelKind]:
    """Return what labels are by the first record: one integer or float, or as many as it has."""
    kinds = []
    for name in labels:
        feature = features.get(name)
        if name in label_bytes:
            assert feature is not None
            kinds.append(label_bytes[name].kind_of(name, memoryview(feature.values[0])))  # type: ignore[arg-type]
        elif feature is None or not feature.values or _is_one(feature, INT64):
            kinds.append(CLASS)
        else:
            number = FLOAT if feature.kind == FLOATS else INT
            kinds.append(LabelKind(number, len(feature.values)))
    return kinds


def strange_labels(features: Mapping[str, Feature]) -> frozenset[str]:
    """Return the usual names of labels that the first record does not hold.

    A later one that holds them would be read with fewer labels than it has.
    """
    usual = [*_LABELS, *map(str.capitalize, _LABELS), *map(str.upper, _LABELS)]
    return frozenset([*usual, *(f"y{number}" for number in range(_HEADS))]) - features.keys()


def _is_like_label(name: str) -> bool:
    # The last part, too: image/object/class/label.
    names = name.lower(), name.lower().rpartition("/")[2]
    return not _LABELS_SET.isdisjoint(names) or _HEAD.fullmatch(name) is not None


def _unsupported(features: Mapping[str, Feature], names: Sequence[str]) -> str:
    """Say why features that were meant as labels cannot be."""
    reasons = []
    for name in names:
        feature = features.get(name)
        if feature is None:
            reasons.append(f"the first record has no {name!r}, and each one has to have it")
        elif feature.kind == INT64 and _OBJECTS.fullmatch(name):
            reasons.append(
                f"{name!r} is of the objects in an image: labels={[name]!r} reads it where all "
                "images have as many; else labels=[] reads the images alone, and a table with a "
                "row for each object becomes a set of objects by shardio-convert --crop-columns"
            )
        elif _is_one(feature, INT64):
            continue
        elif feature.kind == BYTES:
            reasons.append(
                f"{name!r} holds bytes: labels={{{name!r}: ['cat', 'dog']}} lists the texts of its "
                f"classes (--labels {name}=FILE takes them from lines), {{{name!r}: 'int64'}} "
                "reads numbers as they lie in memory, and shardio-convert numbers texts that are "
                "not known"
            )
        else:
            numbers = f"{len(feature.values)} numbers" if len(feature.values) != 1 else "a float"
            reasons.append(
                f"{name!r} holds {numbers}: name it with labels={[name]!r} (--labels {name})"
            )
    return "".join(f". {reason}" for reason in reasons[:_SHOWN])


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
