"""plan.json: the same plan has the same bytes, and any other field is named."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from shardio.errors import ManifestError
from shardio.format.label import Label
from shardio.format.manifest import Versions
from shardio.format.plan import ConversionPlan, PlannedSplit
from shardio.format.transform import Transform

BOXED = Transform((186, 0, 300, 30), (128, 32))
LABELS = tuple(Label(f"y{index}", 21_000 + index) for index in range(12))


def example() -> ConversionPlan:
    return ConversionPlan(
        table_sha256="a" * 64,
        transform=BOXED,
        labels=LABELS,
        splits=(PlannedSplit("train", 100, 4), PlannedSplit("val", 10, 1)),
        seed=5,
        versions=Versions("9.5.0.post2", "libjpeg-turbo 2.1.5"),
    )


def test_the_same_plan_has_the_same_bytes() -> None:
    assert example().to_json() == example().to_json()
    assert example().sha256 == example().sha256
    assert example().differences(example().to_json()) == []


def test_another_spelling_of_the_same_plan_differs_in_nothing() -> None:
    spelled = json.dumps(json.loads(example().to_json()), sort_keys=True).encode()
    assert spelled != example().to_json()
    assert example().differences(spelled) == []


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "table": ({"table_sha256": "b" * 64}, "table_sha256"),
    "crop": ({"transform": replace(BOXED, crop=(1, 2, 3, 4))}, "transform.crop"),
    "no crop": ({"transform": replace(BOXED, crop=None)}, "transform.crop"),
    "size": ({"transform": replace(BOXED, size=(5, 5))}, "transform.size"),
    "resample": ({"transform": replace(BOXED, resample="box")}, "transform.resample"),
    "pad": ({"transform": replace(BOXED, pad=True)}, "transform.pad"),
    "last classes": (
        {"labels": (*LABELS[:-1], replace(LABELS[-1], classes=3))},
        "labels[11].classes",
    ),
    "name": ({"labels": (replace(LABELS[0], name="a"), *LABELS[1:])}, "labels[0].name"),
    "vocabulary": (
        {"labels": (*LABELS[:-1], replace(LABELS[-1], vocabulary=("a",)))},
        "labels[11].vocabulary",
    ),
    "fewer labels": ({"labels": LABELS[:-1]}, "labels[11]"),
    "no labels": ({"labels": ()}, "labels[0]"),
    "rows": (
        {"splits": (PlannedSplit("train", 100, 4), PlannedSplit("val", 11, 1))},
        "splits[1].rows",
    ),
    "shards": (
        {"splits": (PlannedSplit("train", 100, 5), PlannedSplit("val", 10, 1))},
        "splits[0].shards",
    ),
    "seed": ({"seed": 6}, "seed"),
    "pillow": ({"versions": Versions("9.5", "libjpeg-turbo 2.1.5")}, "versions.pillow"),
    "libjpeg": ({"versions": Versions("9.5.0.post2", "9")}, "versions.libjpeg"),
    "encoding": ({"encoding": "png"}, "encoding"),
    "strictness": ({"strict_decode": True}, "strict_decode"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_difference_is_named_with_both_values(case: str) -> None:
    changes, path = CHANGES[case]
    other = replace(example(), **changes)
    assert other.sha256 != example().sha256
    lines = other.differences(example().to_json())
    assert lines
    assert lines[0].startswith(f"{path} was ")
    assert ", now it is " in lines[0]
    assert all(line.startswith(path.rstrip("0123456789[]")) for line in lines)
    assert len(other.differences(other.to_json())) == 0


def test_a_difference_in_the_middle_of_a_long_text_is_seen() -> None:
    words = [str(number) for number in range(1000)]
    one = replace(example(), labels=(Label("y0", 1000, tuple(words)),))
    words[500] = "other"
    other = replace(example(), labels=(Label("y0", 1000, tuple(words)),))
    (line,) = other.differences(one.to_json())
    assert line.startswith("labels[0].vocabulary was ")
    assert len(line) < 500


def test_all_differences_are_named() -> None:
    other = replace(example(), seed=6, table_sha256="b" * 64, transform=replace(BOXED, pad=True))
    lines = other.differences(example().to_json())
    assert [line.partition(" was ")[0] for line in lines] == [
        "table_sha256",
        "transform.pad",
        "seed",
    ]


def test_fields_of_another_version_are_named() -> None:
    theirs = json.loads(example().to_json())
    theirs["version"] = 2
    theirs["colour"] = "blue"
    del theirs["seed"]
    lines = example().differences(json.dumps(theirs).encode())
    assert lines == [
        "version was 2, now it is 1",
        "seed was not there, now it is 5",
        'colour was "blue", now it is not there',
    ]


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 200_000, b'{"a":1,"a":1}'])
def test_an_unreadable_plan_is_refused(text: bytes) -> None:
    with pytest.raises(ManifestError, match=r"here/plan\.json"):
        example().differences(text, "here/plan.json")


@pytest.mark.parametrize("text", [b"[]", b"3", b"null", b"{}"])
def test_foreign_json_differs(text: bytes) -> None:
    assert example().differences(text)


@pytest.mark.parametrize("depth", [300, 800, 900, 950, 980])
def test_a_deeply_nested_plan_differs_or_is_refused(depth: int) -> None:
    text = b'{"seed":' * depth + b"1" + b"}" * depth
    with suppress(ManifestError):
        assert example().differences(text)
