"""dataset.json: read back as written, and refused with every problem named."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from shardio.errors import ManifestError
from shardio.format.fields import dump
from shardio.format.label import CLASS, FLOAT, INT, MAX_LABEL, MAX_LENGTH, Label, LabelKind
from shardio.format.manifest import Manifest, ShardEntry, Versions
from shardio.format.naming import ShardName
from shardio.format.transform import RESAMPLINGS, Transform

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
TEXTS = st.text(max_size=20)
CRCS = st.integers(0, 2**32 - 1)
DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = Draft202012Validator(json.loads((DOCS / "dataset.schema.json").read_text("utf-8")))


def example(**changes: Any) -> Manifest:
    fields: dict[str, Any] = {
        "plan_sha256": "a" * 64,
        "transform": Transform((186, 0, 300, 30), (4, 2)),
        "labels": (
            Label("y0", 10),
            Label("y1", 2, ("no", "是")),
            Label("ids", 3, None, LabelKind(INT, 16)),
            Label("box", 0, None, LabelKind(FLOAT, 4)),
        ),
        "seed": 7,
        "versions": Versions("9.5.0.post2", "libjpeg-turbo 2.1.5"),
        "rows_read": 10,
        "rows_written": 8,
        "rows_rejected": 2,
        "metadata": {"name": "digits", "licence": "CC0"},
        "records": "e" * 64,
    }
    manifest = Manifest(**fields, shards=())
    stride = manifest.layout.stride
    shards = (
        ShardEntry("train-00000-of-00002.tfrecord", "train", 5, 5 * stride, "b" * 64, 1, 2),
        ShardEntry("train-00001-of-00002.tfrecord", "train", 3, 3 * stride, "c" * 64, 3, 4),
        ShardEntry("val-00000-of-00001.tfrecord", "val", 0, 0, "d" * 64, None, None),
    )
    return Manifest(**{**fields, "shards": shards, **changes})


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    heads = draw(
        st.lists(
            TEXTS.filter(lambda name: name not in ("", "image", "row")), max_size=4, unique=True
        )
    )
    labels = []
    for name in heads:
        vocabulary = draw(st.none() | st.lists(TEXTS, min_size=1, max_size=4).map(tuple))
        classes = draw(st.integers(1, MAX_LABEL + 1)) if vocabulary is None else len(vocabulary)
        kind = draw(st.sampled_from([CLASS, LabelKind(INT, 2), LabelKind(INT, MAX_LENGTH)]))
        floats = st.sampled_from([None, LabelKind(FLOAT), LabelKind(FLOAT, 7)])
        if (number := draw(floats)) is not None:
            classes, vocabulary, kind = 0, None, number
        labels.append(Label(name, classes, vocabulary, kind))
    left, top = draw(st.integers(-50, 500)), draw(st.integers(-50, 500))
    box = (left, top, left + draw(st.integers(1, 300)), top + draw(st.integers(1, 300)))
    transform = Transform(
        draw(st.none() | st.just(box)),
        (draw(st.integers(1, 5000)), draw(st.integers(1, 5000))),
        draw(st.sampled_from(RESAMPLINGS)),
        pad=left < 0 or top < 0 or draw(st.booleans()),
        channels=draw(st.sampled_from([1, 3, 4])),
    )
    plain = Manifest(
        draw(DIGESTS),
        transform,
        tuple(labels),
        draw(st.integers(0, 2**63 - 1)),
        Versions(draw(TEXTS), draw(TEXTS)),
        0,
        0,
        0,
        (),
    )
    shards = []
    for split in sorted(draw(st.sets(st.sampled_from(["Z", "a", "train", "val"])))):
        count = draw(st.integers(1, 3))
        for index in range(count):
            records = draw(st.integers(0, 10**9))
            shards.append(
                ShardEntry(
                    str(ShardName(split, index, count)),
                    split,
                    records,
                    records * plain.layout.stride,
                    draw(DIGESTS),
                    draw(CRCS) if records else None,
                    draw(CRCS) if records else None,
                )
            )
    written, rejected = sum(shard.records for shard in shards), draw(st.integers(0, 10**9))
    return Manifest(
        plain.plan_sha256,
        transform,
        plain.labels,
        plain.seed,
        plain.versions,
        written + rejected,
        written,
        rejected,
        tuple(shards),
        metadata=draw(st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3)),
        records=draw(st.none() | DIGESTS),
    )


@settings(deadline=None, max_examples=100)
@given(manifests())
def test_a_manifest_is_read_back_as_written(manifest: Manifest) -> None:
    text = manifest.to_json()
    read = Manifest.from_json(text)
    assert read == manifest
    assert read.to_json() == text
    assert read.fingerprint == manifest.fingerprint


def test_the_fingerprint_is_that_of_the_content_not_of_its_spelling() -> None:
    manifest = example()
    spaced = json.dumps(json.loads(manifest.to_json()), indent=8, sort_keys=True).encode()
    assert Manifest.from_json(spaced).fingerprint == manifest.fingerprint
    assert example(seed=8).fingerprint != manifest.fingerprint


def test_what_is_said_about_a_dataset_is_not_in_its_fingerprint() -> None:
    other: dict[str, Any] = {"metadata": {"url": "x"}, "plan_sha256": "b" * 64, "records": None}
    for changes in ({name: value} for name, value in other.items()):
        assert example(**changes).fingerprint == example().fingerprint
        assert example(**changes).to_json() != example().to_json()


def places(value: Any, path: str = "") -> Iterator[str]:
    """Every field of nested objects, as the errors name it."""
    if isinstance(value, dict):
        for key, child in value.items():
            where = f"{path}.{key}" if path else key
            yield where
            yield from places(child, where)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            if isinstance(child, dict):
                yield from places(child, f"{path}[{index}]")


FULL = json.loads(example().to_json())
# Every field of it must be there.
EXAMPLE = copy.deepcopy(FULL)
del EXAMPLE["metadata"], EXAMPLE["records"], EXAMPLE["labels"][2:]
PLACES = list(places(EXAMPLE))


def parent(value: Any, path: str) -> tuple[Any, str]:
    *steps, last = path.replace("[", ".[").split(".")
    for step in steps:
        value = value[int(step[1:-1])] if step.startswith("[") else value[step]
    return value, last


def damaged(path: str, replacement: Any = None, *, remove: bool = False) -> bytes:
    value = copy.deepcopy(EXAMPLE)
    inside, key = parent(value, path)
    if remove:
        del inside[key]
    else:
        inside[key] = replacement
    return dump(value)


def complaint(text: bytes) -> str:
    with pytest.raises(ManifestError) as caught:
        Manifest.from_json(text, "here/dataset.json")
    message = str(caught.value)
    assert message.startswith("here/dataset.json")
    return message


def test_the_walk_over_the_example_finds_its_fields() -> None:
    assert {"format", "transform.crop", "labels[1].vocabulary", "shards[2].last_crc"} <= set(PLACES)
    assert len(PLACES) == 49


@pytest.mark.parametrize("path", PLACES)
def test_a_missing_field_is_named(path: str) -> None:
    assert f"{path} is missing" in complaint(damaged(path, remove=True))


WRONG = {
    "object": {"a": 1},
    "list": [[]],
    "text": "\N{SNOWMAN}",
    "float": 1.5,
    "negative": -1,
    "huge": 10**4000,
    "nan": float("nan"),
    "false": False,
    "half a pair": "\ud800",
}


STRINGS = ("pillow", "libjpeg", "name", "file", "split")
OBJECTS = ("transform", "image", "versions", "rows")
FITTING = {"text": STRINGS, "false": ("pad",), "object": OBJECTS}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (path, kind)
        for path in PLACES
        for kind in WRONG
        if path.rpartition(".")[2] not in FITTING.get(kind, ())
    ],
)
def test_a_field_of_the_wrong_kind_is_named(path: str, kind: str) -> None:
    value = copy.deepcopy(EXAMPLE)
    inside, key = parent(value, path)
    inside[key] = WRONG[kind]
    message = complaint(json.dumps(value).encode())
    assert f"{path} must be" in message or f"{path}[0] is no JSON object" in message
    message.encode()  # so that it can be printed


BESIDE: dict[str, tuple[str, Any, str]] = {
    "a number as metadata": ("metadata.name", 3, "metadata must be an object of strings"),
    "metadata without a name": ("metadata", {"": "x"}, "metadata must be an object of strings"),
    "half a pair": ("metadata.name", "\ud800", "metadata must be an object of strings"),
    "no digest": ("records", "e" * 63, "records must be a SHA-256"),
    "a list": ("metadata", ["x"], "metadata must be an object of strings"),
    "a kind of no numbers": ("labels[2].kind", "text", "labels[2].kind must be one of int, float"),
    "floats with classes": ("labels[3].classes", 5, "labels[3].classes must be null"),
    "floats with words": ("labels[3].vocabulary", ["a"], "labels[3].vocabulary must be null"),
    "integers without classes": ("labels[2].classes", None, "labels[2].classes must be an integer"),
    "a vector of none": ("labels[2].length", 0, "labels[2].length must be an integer of 2"),
    "a vector of one": ("labels[2].length", 1, "labels[2].length must be an integer of 2"),
    "too long": ("labels[3].length", MAX_LENGTH + 1, "labels[3].length must be an integer of 2"),
    "shards of another stride": ("labels[3].length", 5, "records of"),
}


@pytest.mark.parametrize("case", BESIDE)
def test_a_field_that_need_not_be_there_is_checked_where_it_is(case: str) -> None:
    path, value, named = BESIDE[case]
    changed = copy.deepcopy(FULL)
    inside, key = parent(changed, path)
    inside[key] = value
    assert named in complaint(json.dumps(changed).encode())
    # The schema knows nothing of UTF-8, nor of strides.
    assert SCHEMA.is_valid(changed) == (case in ("half a pair", "shards of another stride"))


def test_the_schema_takes_what_is_written() -> None:
    SCHEMA.validate(FULL)
    SCHEMA.validate(EXAMPLE)
    full = Transform((-5, 0, 4, 2), (4, 2), pad=True, background=(1, 2, 3), value_range=(0, 0.5))
    grey = Transform(None, (4, 2), channels=1)
    for transform in (full, grey, Transform(None, (4, 2), shorter=9)):
        for encoding in ("png", "jpeg:95", "webp:lossless"):
            SCHEMA.validate(json.loads(example(transform=transform, encoding=encoding).to_json()))


@pytest.mark.parametrize("path", PLACES)
def test_the_schema_wants_every_field_and_its_kind(path: str) -> None:
    for text in (damaged(path, remove=True), damaged(path, {"a": 1}), damaged(path + "_", 1)):
        assert not SCHEMA.is_valid(json.loads(text))


INSIDE = ["", "transform", "image", "labels[0]", "versions", "rows", "shards[1]"]


@pytest.mark.parametrize("where", INSIDE)
def test_an_extra_field_is_named(where: str) -> None:
    path = f"{where}.colour" if where else "colour"
    assert f"{path} is not a field" in complaint(damaged(path, 1))


CONTRADICTIONS: dict[str, tuple[str, Any, str]] = {
    "shape": ("image.shape", [2, 5, 3], "image.shape"),
    "encoding": ("image.encoding", "gif", "image.encoding"),
    "dtype": ("image.dtype", "float32", "image.dtype"),
    "vocabulary": ("labels[1].classes", 3, "label y1 has 3 classes"),
    "same labels": ("labels[1].name", "y0", "labels"),
    "reserved label": ("labels[1].name", "row", "labels"),
    "no classes": ("labels[0].classes", 0, "labels[0].classes"),
    "not a shard": ("shards[0].file", "train-0-of-2.tfrecord", "train-0-of-2.tfrecord"),
    "a path": ("shards[0].file", "../train-00000-of-00002.tfrecord", "../train-00000"),
    "other split": ("shards[0].split", "val", "of split 'val'"),
    "twice": ("shards[1].file", "train-00000-of-00002.tfrecord", "order of split"),
    "gap": ("shards[0].file", "train-00000-of-00003.tfrecord", "split train"),
    "bytes": ("shards[1].bytes", 1, "train-00001-of-00002.tfrecord has 1 byte,"),
    "no CRC": ("shards[0].first_crc", None, "CRCs"),
    "CRC of nothing": ("shards[2].last_crc", 5, "CRCs"),
    "written": ("rows.written", 7, "rows.written is 7"),
    "read": ("rows.read", 11, "rows.read is 11"),
    "channels": ("transform.channels", 2, "channels must be 1, 3 or 4"),
    "box": ("transform.crop", [5, 0, 5, 9], "crop box 5,0,5,9 is empty"),
    "size": ("transform.size", [0, 2], "transform: the size"),
    "resample": ("transform.resample", "cubic", "transform.resample"),
    "digest": ("shards[0].sha256", "B" * 64, "shards[0].sha256"),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_contradiction_is_named(case: str) -> None:
    path, value, named = CONTRADICTIONS[case]
    assert named in complaint(damaged(path, value))


def test_shards_out_of_order_are_named() -> None:
    value = copy.deepcopy(EXAMPLE)
    value["shards"].reverse()
    assert "not in the order" in complaint(dump(value))


def test_all_wrong_fields_are_named_at_once() -> None:
    value = copy.deepcopy(EXAMPLE)
    value["plan_sha256"] = "none"
    value["seed"] = "seven"
    value["colour"] = 1
    value["transform"]["crop"] = [9, 9, 1, 1]
    del value["versions"]["pillow"]
    value["shards"][0]["sha256"] = "x"
    value["shards"][2]["records"] = -1
    value["rows"] = []
    named = ["seed must", "colour is not", "transform: the crop box", "versions.pillow is missing"]
    named += ["plan_sha256 must", "shards[0].sha256", "shards[2].records", "rows must"]
    message = complaint(dump(value))
    assert [part for part in named if part not in message] == []
    assert len(message.splitlines()) == 1 + len(named)


def test_all_contradictions_are_named_at_once() -> None:
    value = copy.deepcopy(EXAMPLE)
    value["image"]["shape"] = [1, 1, 3]
    value["labels"][1]["name"] = "y0"
    value["labels"][1]["classes"] = 5
    value["shards"][0]["first_crc"] = None
    value["rows"]["read"] = 99
    named = ["image.shape", "labels: ", "5 classes", "CRCs", "rows.read is 99"]
    message = complaint(dump(value))
    assert [part for part in named if part not in message] == []
    assert len(message.splitlines()) == 1 + len(named)


def test_another_version_is_refused_by_its_number() -> None:
    message = complaint(dump({"format": "shardio", "version": 2, "new": "things"}))
    assert "format version 2" in message
    assert "reads version 1" in message


@pytest.mark.parametrize("text", [b"{}", b"[]", b"null", b'"shardio"', b"3", b'{"format": "tfds"}'])
def test_foreign_json_is_refused_as_no_manifest(text: bytes) -> None:
    assert "not a shardio manifest" in complaint(text)


TEXT = example().to_json()
UNREADABLE = {
    "empty": b"",
    "blank": b" \n",
    "cut": TEXT[:-20],
    "more": TEXT + b"{}",
    "not UTF-8": TEXT.replace("是".encode(), b"\xca\xc7"),
    "UTF-16": TEXT.decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + TEXT,
    "half a pair": TEXT.replace("是".encode(), b"\xed\xa0\x80"),
    "a field twice": TEXT.replace(b'"seed": 7', b'"seed": 7, "seed": 8'),
    "a nested field twice": TEXT.replace(b'"read": 10', b'"read": 10, "read": 10'),
    "an integer of 5,000 digits": TEXT.replace(b'"seed": 7', b'"seed": 7' + b"0" * 5000),
    "lists nested deeply": b"[" * 200_000,
    "objects nested deeply": b'{"a":' * 200_000,
    "null bytes": bytes(1000),
    "comment": b"// hello\n" + TEXT,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_json_is_refused(text: bytes) -> None:
    assert "is not valid JSON" in complaint(text)


def test_a_field_given_twice_is_named() -> None:
    assert "'seed' more than once" in complaint(UNREADABLE["a field twice"])


def test_a_deeply_nested_field_is_refused_whatever_the_depth() -> None:
    # At some depth the value can still be parsed, but no longer be shown.
    for depth in range(1, 1100):
        complaint(TEXT.replace(b'"seed": 7', b'"seed": ' + b"[" * depth + b"]" * depth))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=100))
def test_random_bytes_are_refused(text: bytes) -> None:
    complaint(text)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(TEXT) - 1), st.binary(max_size=3))
def test_a_damaged_manifest_raises_nothing_else(at: int, piece: bytes) -> None:
    with suppress(ManifestError):
        Manifest.from_json(TEXT[:at] + piece + TEXT[at + len(piece) :])


def test_the_bytes_of_a_manifest_are_pinned() -> None:
    empty: dict[str, Any] = {"rows_read": 0, "rows_written": 0, "rows_rejected": 0, "shards": ()}
    manifest = example(labels=(), metadata={"a": "是"}, records=None, **empty)
    assert manifest.to_json().decode() == (
        '{\n "format": "shardio",\n "version": 1,\n "metadata": {\n  "a": "是"\n },\n'
        f' "plan_sha256": "{"a" * 64}",\n'
        ' "transform": {\n  "crop": [\n   186,\n   0,\n   300,\n   30\n  ],\n'
        '  "size": [\n   4,\n   2\n  ],\n  "resample": "bicubic",\n  "pad": false\n },\n'
        ' "image": {\n  "encoding": "raw",\n  "shape": [\n   2,\n   4,\n   3\n  ],\n'
        '  "dtype": "uint8"\n },\n "labels": [],\n "seed": 7,\n'
        ' "versions": {\n  "pillow": "9.5.0.post2",\n  "libjpeg": "libjpeg-turbo 2.1.5"\n },\n'
        ' "rows": {\n  "read": 0,\n  "written": 0,\n  "rejected": 0\n },\n "shards": []\n}\n'
    )


def test_a_shorter_side_is_kept_and_older_manifests_have_none() -> None:
    manifest = example(transform=Transform(None, (4, 2), shorter=9))
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert b'"shorter": 9' in manifest.to_json()
    assert b"shorter" not in example().to_json()
    wrong = manifest.to_json().replace(b'"shorter": 9', b'"shorter": 3')
    with pytest.raises(ManifestError, match="the shorter side must be 4 to"):
        Manifest.from_json(wrong)


def test_background_and_range_are_kept_and_older_manifests_have_none() -> None:
    transform = Transform(None, (4, 2), background=(255, 0, 9), value_range=(-1.5, 3))
    manifest = example(transform=transform)
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert b"background" not in example().to_json()
    assert b"range" not in example().to_json()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("background", [1, 2]),
        ("background", [1, 2, 256]),
        ("background", [1, 2, 2.0]),
        ("background", None),
        ("range", [1, 1]),
        ("range", [2, 1]),
        ("range", [1, True]),
        ("range", [1, float("inf")]),
        ("range", "0,1"),
    ],
)
def test_a_background_or_range_that_is_none_is_refused(field: str, value: object) -> None:
    text = json.loads(example().to_json())
    text["transform"][field] = value
    with pytest.raises(ManifestError, match=field):
        Manifest.from_json(json.dumps(text).encode())
