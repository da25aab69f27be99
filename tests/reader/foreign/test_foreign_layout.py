"""Which features hold the image and the labels, and what is said where that is not clear."""

from __future__ import annotations

from typing import Any

import pytest

from reader.foreign.features import choose_image, choose_labels
from shardio.errors import OptionError
from shardio.examples.example import parse_example
from tests.reader.foreign_files import example


@pytest.mark.parametrize(
    ("features", "image", "labels"),
    [
        ({"image": b"x", "label": 1}, "image", ("label",)),
        (
            {"image__encoded": b"x", "image__class__label": 1, "image__height": 3},
            "image/encoded",
            ("image/class/label",),
        ),
        ({"image_raw": b"x", "label": 1, "depth": 3, "name": b"a"}, "image_raw", ("label",)),
        ({"jpg": b"x", "class": 1, "__key__": b"1"}, "jpg", ("class",)),
        ({"IMAGE": b"x", "Label": 1}, "IMAGE", ("Label",)),
        (
            {"image": b"x", "row": 7, **{f"y{n}": n for n in range(11)}},
            "image",
            tuple(f"y{n}" for n in range(11)),
        ),
        ({"image": b"x", "y1": 1, "y2": 2, "y10": 3, "y4": 4}, "image", ("y1", "y2", "y4", "y10")),
    ],
)
def test_usual_names_are_found(
    features: dict[str, Any], image: str, labels: tuple[str, ...]
) -> None:
    found = parse_example(example(**features))
    assert choose_image(found, None) == image
    assert choose_labels(found, None) == labels


def test_other_names_are_given() -> None:
    features = parse_example(example(a=b"x", image=b"y", b=1, label=2))
    assert choose_image(features, "a") == "a"
    assert choose_labels(features, ["b", "label"]) == ("b", "label")
    assert choose_labels(features, []) == ()


@pytest.mark.parametrize(
    ("features", "image", "words"),
    [
        ({"a": b"xyz", "b": 1}, None, r"e.g. image='a'; its features are 'a' \(3 bytes\), 'b' \(i"),
        ({"jpg": b"x", "png": b"y"}, None, "say which feature holds the image, e.g. image='jpg'"),
        ({"image": [b"x", b"y"]}, None, r"no feature holds an image, .*'image' \(2 x bytes\)"),
        ({"image": [0.5, 1.0]}, None, r"no feature holds an image, .*'image' \(2 x float\)"),
        ({"image": 1}, None, r"'image' \(int64\)"),
        ({}, None, "its features are none"),
        ({"image": b"x", "c": [0.5, 1.0]}, "c", r"image='c' .* must name .*; .*'c' \(2 x float\)"),
        ({"image": b"x"}, "d", r"image='d' \(--image d\) must name a bytes feature with one value"),
    ],
)
def test_an_image_that_is_not_clear_is_asked_for(
    features: dict[str, Any], image: str | None, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        choose_image(parse_example(example(**features)), image)


@pytest.mark.parametrize(
    ("features", "labels", "words"),
    [
        ({"image": b"x", "kind": 1}, None, r"labels, e.g. labels=\['kind'\], or labels=\[\] for n"),
        ({"image": b"x", "name": b"a"}, None, r"e.g. labels=\['NAME'\], or labels=\[\] for none"),
        ({"image": b"x", "label": 1, "class": 2}, None, "say which features are the labels"),
        ({"image": b"x", "label": 1, "y0": 2}, None, "say which features are the labels"),
        ({"image": b"x", "label": [1, 2]}, None, r"'label' \(2 x int64\)"),
        ({"image": b"x", "label": 1}, ["name"], "each once: name; its features are"),
        ({"image": b"x", "label": 1}, ["label", "label"], "each once: label, label;"),
        ({"image": b"x"}, ["label"], "each once: label; .* the first record has no 'label', and"),
        ({"image": b"x"}, None, r"e.g. labels=\['NAME'\], or labels=\[\] for none"),
        (
            {"image": b"x", "label": b"cat"},
            None,
            r"NAME.*\. 'label' holds bytes: labels=",
        ),
        ({"image": b"x", "label": b"cat"}, ["label"], r"each once: label; .* 'label' holds bytes"),
        (
            {"image": b"x", "label": [1, 2]},
            None,
            r"\. 'label' holds 2 numbers: name it with labels=\['label'\]",
        ),
        ({"image": b"x", "y0": 1, "y1": 2, "y2": b"c"}, None, r"\['NAME'\].*\. 'y2' holds bytes"),
        ({"image": b"x", "y0": 1, "y1": [2, 3]}, None, r"\['NAME'\].*\. 'y1' holds 2 numbers"),
        ({"image": b"x", "height": 1, "image/width": 2, "obj_id": 3}, None, r"labels=\['NAME'\]"),
        ({"image": b"x", "height": 1, "kind": 2}, None, r"labels=\['kind'\]"),
        *(
            ({"image": b"x", "image__object__class__label": each}, None, words)
            for each in (1, [1, 2])
            for words in (r"e.g. labels=\['NAME'\]", "all images have as many; else labels=")
        ),
    ],
)
def test_labels_that_are_not_clear_are_asked_for(
    features: dict[str, Any], labels: list[str] | None, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        choose_labels(parse_example(example(**features)), labels)


def test_a_long_list_of_features_is_cut() -> None:
    features = parse_example(example(**{f"f{n:03}": n for n in range(100)}))
    with pytest.raises(OptionError, match=r"'f039' \(int64\), and 60 more$"):
        choose_image(features, None)
