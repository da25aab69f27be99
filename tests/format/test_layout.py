"""The byte layout of a record, judged by TensorFlow's own parsers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from shardio.errors import FormatError, OptionError
from shardio.format.discovery import discover
from shardio.format.label import (
    CLASS,
    FLOAT,
    INT,
    MAX_LABEL,
    MAX_LENGTH,
    LabelKind,
    columns_of,
    numbers_of,
)
from shardio.format.layout import IMAGE, MAX_ROW, ROW, RecordLayout, entry, tag_length

names = (
    st.lists(st.text(min_size=1, max_size=40), max_size=6, unique=True)
    .map(tuple)
    .filter(lambda found: not {IMAGE, ROW} & set(found))
)
sizes = st.integers(1, 400) | st.sampled_from([127, 128, 16_383, 16_384, 70_000])
edges = [0, 1, 127, 128, 2**7 - 1, 2**14, 2**21, 2**28 - 1, 2**28]
label_values = st.integers(0, MAX_LABEL) | st.sampled_from([*edges, MAX_LABEL])
row_values = st.integers(0, MAX_ROW) | st.sampled_from([*edges, 2**31, 2**32, MAX_ROW])


float_values = st.floats(width=32, allow_nan=False, allow_infinity=False)
# A list of 26 integers or 32 floats has a length of two bytes.
lengths = st.integers(1, 40) | st.just(1) | st.sampled_from([25, 26, 31, 32, 3_300])
kinds = st.just(CLASS) | st.builds(LabelKind, st.sampled_from([INT, FLOAT]), lengths)
Values = list[int | float | list[int] | list[float]]


@st.composite
def layouts(draw: st.DrawFn, image: st.SearchStrategy[int] = sizes) -> RecordLayout:
    heads = draw(names)
    return RecordLayout(draw(image), heads, tuple(draw(kinds) for _ in heads))


def values_of(draw: st.DrawFn, kind: LabelKind) -> Any:
    values = float_values if kind.is_float else label_values
    if kind.length > 100:
        return [draw(values)] * kind.length
    found = [draw(values) for _ in range(kind.length)]
    return found[0] if kind.length == 1 else found


@st.composite
def records(draw: st.DrawFn) -> tuple[RecordLayout, bytes, Values, int]:
    layout = draw(layouts())
    pixels = np.random.default_rng(draw(st.integers(0, 2**32))).bytes(layout.image_bytes)
    labels = [values_of(draw, kind) for kind in layout.kinds]
    return layout, pixels, labels, draw(row_values)


def features(layout: RecordLayout) -> dict[str, Any]:
    labels = {
        name: tf.io.FixedLenFeature(
            [] if kind.length == 1 else [kind.length], tf.float32 if kind.is_float else tf.int64
        )
        for name, kind in zip(layout.labels, layout.kinds, strict=True)
    }
    row = tf.io.FixedLenFeature([], tf.int64)
    return {IMAGE: tf.io.FixedLenFeature([], tf.string), **labels, ROW: row}


@settings(deadline=None, max_examples=60)
@given(records())
def test_tensorflow_reads_back_what_was_encoded(
    record: tuple[RecordLayout, bytes, Values, int],
) -> None:
    layout, pixels, labels, row = record
    data = layout.encode(pixels, labels, row)
    expected = dict(zip((*layout.labels, ROW), [*labels, row], strict=True))

    parsed = tf.io.parse_single_example(data, features(layout))
    assert parsed.pop(IMAGE).numpy() == pixels
    assert {name: value.numpy().tolist() for name, value in parsed.items()} == expected

    example = tf.train.Example.FromString(data)
    found = dict(example.features.feature)
    assert list(found.pop(IMAGE).bytes_list.value) == [pixels]
    lists = {n: list(f.int64_list.value) or list(f.float_list.value) for n, f in found.items()}
    assert lists == {n: v if isinstance(v, list) else [v] for n, v in expected.items()}


def test_tensorflow_reads_a_batch() -> None:
    kinds = (CLASS, LabelKind(INT, 2), LabelKind(FLOAT, 1), LabelKind(FLOAT, 3))
    layout = RecordLayout(6, ("y0", "标签", "score", "box"), kinds)
    rows = [0, 5, MAX_ROW]
    labels = [
        [0, [MAX_LABEL, 0], 0.5, [1.0, -2.0, 0.0]],
        [1, [2, 3], -0.0, [1e-45, 3e38, 0.25]],
        [300, [70_000, 1], 1e9, [0.0, 0.0, 0.0]],
    ]
    data = [layout.encode(bytes([i] * 6), labels[i], rows[i]) for i in range(3)]
    parsed = tf.io.parse_example(data, features(layout))
    assert parsed["row"].numpy().tolist() == rows
    for index, name in enumerate(layout.labels):
        expected = np.array([of_record[index] for of_record in labels])
        assert np.array_equal(parsed[name].numpy(), expected.astype(parsed[name].numpy().dtype))


@settings(deadline=None, max_examples=100)
@given(records())
def test_every_record_of_a_layout_has_one_length(
    record: tuple[RecordLayout, bytes, Values, int],
) -> None:
    layout, pixels, labels, row = record
    data = layout.encode(pixels, labels, row)
    nothing = [np.zeros(k.length, np.float32 if k.is_float else np.int64) for k in layout.kinds]
    zero = layout.encode(bytes(layout.image_bytes), nothing, 0)
    assert len(data) == len(zero) == layout.data_bytes
    assert layout.stride == layout.data_bytes + 16
    assert data[len(layout.prefix) :][: layout.image_bytes] == pixels
    assert len(layout.head) == 12 + len(layout.prefix)


@settings(deadline=None, max_examples=100)
@given(records())
def test_the_layout_is_found_from_any_record(
    record: tuple[RecordLayout, bytes, Values, int],
) -> None:
    layout, pixels, labels, row = record
    assert discover(layout.encode(pixels, labels, row)) == layout


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_integers_invert_tails(data: st.DataObject) -> None:
    layout = data.draw(layouts(st.just(1)))
    floats = [kind.is_float for kind in layout.kinds for _ in range(kind.length)]
    count = data.draw(st.integers(0, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    values = rng.integers(0, MAX_LABEL, (count, len(floats)), endpoint=True)
    values[:, floats] = numbers_of(rng.standard_normal((count, sum(floats)), dtype=np.float32))
    rows = [data.draw(row_values) for _ in range(count)]
    labels = values.tolist()
    tails = layout.tails(values, np.array(rows, dtype=np.int64))
    assert tails.shape == (count, layout.tail_bytes)
    assert layout.integers(tails).tolist() == [
        [*of_row, row] for of_row, row in zip(labels, rows, strict=True)
    ]


@pytest.mark.parametrize(
    ("label", "row"), [(-1, 0), (MAX_LABEL + 1, 0), (2**40, 0), (0, -1), (0, MAX_ROW + 1)]
)
def test_integers_out_of_range_are_refused(label: int, row: int) -> None:
    with pytest.raises(FormatError):
        RecordLayout(1, ("y0",)).encode(b"x", [label], row)


INTS, FLOATS = LabelKind(INT, 3), LabelKind(FLOAT, 2)
WRONG = {
    "too short": (INTS, [1, 2]),
    "too long": (INTS, [1, 2, 3, 4]),
    "one for all": (INTS, 1),
    "below 0": (INTS, [0, -1, 0]),
    "above the most": (INTS, [0, 0, MAX_LABEL + 1]),
    "a fraction": (CLASS, 1.5),
    "integers for floats": (FLOATS, [1, 2]),
    "NaN": (FLOATS, [0.5, float("nan")]),
    "infinite": (FLOATS, [float("-inf"), 0.5]),
    "too large for 32 bits": (FLOATS, [0.5, 1e39]),
}


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(("kind", "value"), WRONG.values(), ids=WRONG.keys())
def test_values_that_are_not_of_their_kind_are_refused(kind: LabelKind, value: Any) -> None:
    with pytest.raises(FormatError):
        RecordLayout(1, ("y0",), (kind,)).encode(b"x", [value], 0)


@pytest.mark.parametrize("kind", [LabelKind(INT, 0), LabelKind(INT, MAX_LENGTH + 1)])
def test_a_kind_that_no_record_has_is_refused(kind: LabelKind) -> None:
    with pytest.raises(OptionError, match="label y0 must be 1 to 65,535 values"):
        RecordLayout(1, ("y0",), (kind,))


def test_a_vector_of_one_is_a_scalar() -> None:
    """Its record says nothing else, so that sets without a manifest agree with those with one."""
    layout = RecordLayout(1, ("y0",), (LabelKind(INT, 1),))
    assert layout == RecordLayout(1, ("y0",))
    assert layout.encode(b"x", [[7]], 0) == layout.encode(b"x", [7], 0)


def test_the_columns_of_labels_are_those_of_their_numbers() -> None:
    assert columns_of([CLASS, INTS, FLOATS]) == [slice(0, 1), slice(1, 4), slice(4, 6)]


@pytest.mark.parametrize("size", [0, 2, 4])
def test_an_image_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(FormatError, match=f"{size} bytes, not 3"):
        RecordLayout(3, ()).encode(bytes(size), [], 0)


@pytest.mark.parametrize("labels", [("a", "a"), ("",), ("image",), ("row",), ("a", "row")])
def test_names_that_collide_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(OptionError):
        RecordLayout(3, labels)


def test_a_name_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(OptionError, match="UTF-8"):
        RecordLayout(3, ("\ud800",))


@pytest.mark.parametrize("size", [0, -1])
def test_an_empty_image_is_refused(size: int) -> None:
    with pytest.raises(OptionError):
        RecordLayout(size, ())


def test_the_bytes_of_a_small_record_are_pinned() -> None:
    layout = RecordLayout(3, ("y0", "y1"))
    assert layout.encode(b"\x01\x02\x03", [5, MAX_LABEL], MAX_ROW).hex(" ") == (
        "0a 46"
        " 0a 10 0a 05 69 6d 61 67 65 12 07 0a 05 0a 03 01 02 03"
        " 0a 0f 0a 02 79 30 12 09 1a 07 0a 05 85 80 80 80 00"
        " 0a 0f 0a 02 79 31 12 09 1a 07 0a 05 ff ff ff ff 07"
        " 0a 10 0a 03 72 6f 77 12 09 1a 07 0a 05 ff ff ff ff 7f"
    )


def test_the_bytes_of_vectors_and_floats_are_pinned() -> None:
    layout = RecordLayout(3, ("ids", "s"), (LabelKind(INT, 2), LabelKind(FLOAT, 1)))
    assert layout.encode(b"\x01\x02\x03", [[5, MAX_LABEL], -1.5], 1).hex(" ") == (
        "0a 4a"
        " 0a 10 0a 05 69 6d 61 67 65 12 07 0a 05 0a 03 01 02 03"
        " 0a 15 0a 03 69 64 73 12 0e 1a 0c 0a 0a 85 80 80 80 00 ff ff ff ff 07"
        " 0a 0d 0a 01 73 12 08 12 06 0a 04 00 00 c0 bf"
        " 0a 10 0a 03 72 6f 77 12 09 1a 07 0a 05 81 80 80 80 00"
    )


def test_a_shard_is_what_tensorflow_would_write_around_the_same_data(tmp_path: Path) -> None:
    layout = RecordLayout(12, ("y0",))
    data = [layout.encode(bytes([i]) * 12, [i], i) for i in range(5)]
    path = tmp_path / "shard"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in data:
            writer.write(record)
    written = path.read_bytes()
    assert len(written) == 5 * layout.stride
    for index in range(5):
        record = written[index * layout.stride :][: layout.stride]
        assert record.startswith(layout.head)
        assert record[12:-4] == data[index]
        assert record[len(layout.head) :][:12] == bytes([index]) * 12


def foreign_example() -> bytes:
    def integer(value: int) -> Any:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"\1\2\3"]))
    feature = {IMAGE: image, "y0": integer(7), ROW: integer(9)}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    data: bytes = example.SerializeToString(deterministic=True)
    return data


def made_of(image_bytes: int, *entries: bytes) -> bytes:
    """A record of an image and these entries, whose lengths agree."""
    body = RecordLayout(image_bytes, ()).prefix[2:] + b"x" * image_bytes + b"".join(entries)
    return tag_length(0x0A, len(body)) + body


def overlapping_keys() -> bytes:
    """Entries of two bytes whose keys run on into the entries after them."""
    return made_of(1, b"\x0a\x02\x0a\x40" * 30, b"\x41" * 64, entry(ROW, CLASS))


VALID = RecordLayout(3, ("y0",)).encode(b"abc", [1], 2)

FOREIGN = {
    "empty": b"",
    "one byte": b"\x0a",
    "an Example of TensorFlow": foreign_example(),
    "an empty Example": tf.train.Example().SerializeToString(),
    "no label, no row": RecordLayout(3, ("y0",)).prefix + b"abc",
    "bytes after the end": VALID + b"\0",
    "a record twice": VALID * 2,
    "a length without an end": b"\x0a" + b"\xff" * 100_000,
    "keys that overlap": overlapping_keys(),
    "a name that is not UTF-8": VALID.replace(b"y0", b"\xff\xff"),
    "another first name": VALID.replace(b"image", b"imagf"),
    "another last name": VALID.replace(b"row", b"raw"),
    "a label of floats that are five bytes": VALID.replace(b"\x1a\x07", b"\x12\x07", 1),
    "a row that is a float": made_of(3, entry(ROW, LabelKind(FLOAT))),
    "a row of two": made_of(3, entry(ROW, LabelKind(INT, 2))),
    "a vector without values": made_of(3, entry("y0", LabelKind(INT, 0)), entry(ROW, CLASS)),
    "a vector that is too long": made_of(
        3, entry("y0", LabelKind(FLOAT, MAX_LENGTH + 1)), entry(ROW, CLASS)
    ),
    "an integer in the shorter form": VALID.replace(b"\x81\x80", b"\x01\x80"),
    "text": b"path,y0\na.png,3\n",
}


def test_records_are_made_as_layouts_are() -> None:
    assert discover(made_of(3, entry("y0", CLASS), entry(ROW, CLASS)))


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_records_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        discover(data)


def test_truncated_records_are_refused() -> None:
    for size in range(len(VALID)):
        with pytest.raises(FormatError):
            discover(VALID[:size])


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        discover(data)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(VALID) - 1), st.integers(0, 255))
def test_a_changed_byte_is_refused_or_changes_the_content_only(at: int, byte: int) -> None:
    data = bytearray(VALID)
    data[at] = byte
    try:
        layout = discover(bytes(data))
    except FormatError:
        return
    tail = np.frombuffer(data, dtype=np.uint8)[None, -layout.tail_bytes :]
    pixels = bytes(data[len(layout.prefix) :][: layout.image_bytes])
    heads = layout.integers(tail)[0].tolist()
    if heads[0] <= MAX_LABEL:
        assert layout.encode(pixels, heads[:-1], heads[-1]) == data
