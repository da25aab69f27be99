"""The judge is TensorFlow's own parser."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shardio.errors import FormatError
from shardio.examples.example import parse_example

tf = pytest.importorskip("tensorflow")
train = tf.train
DecodeError = pytest.importorskip("google.protobuf.message").DecodeError
UnknownFieldSet = pytest.importorskip("google.protobuf.unknown_fields").UnknownFieldSet

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(width=32)
VALUES: Any = st.one_of(
    st.just(("", [])),
    st.tuples(st.just("bytes"), st.lists(st.binary(max_size=300), max_size=4)),
    st.tuples(st.just("float"), st.lists(FLOAT, max_size=4)),
    st.tuples(st.just("int64"), st.lists(INT64 | st.integers(0, 300), max_size=4)),
)
NAMES = st.sampled_from(["a", "", "image/encoded", "Ä"]) | st.text(max_size=3)


def varint(value: int, pad: int = 0) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(min(pad, 10 - len(out))):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def floats(values: Any) -> Any:
    """Floats as their bits, so that a NaN equals itself."""
    return [struct.pack("<f", x) for x in values]


def plain(kind: str, values: Any) -> tuple[str, Any]:
    as_lists = {"bytes": lambda v: list(map(bytes, v)), "float": floats, "int64": list, "": list}
    return kind, as_lists[kind](values)


def ours(data: bytes, names: Any = None) -> dict[str, Any]:
    return {name: plain(*feature) for name, feature in parse_example(data, names).items()}


def judged(data: bytes) -> dict[str, Any]:
    """Return what TensorFlow reads, or raise what it raises."""
    features = train.Example.FromString(data).features
    # Python's parser puts a whole entry aside for one unknown field in it, the one in C++ does not.
    assume(all(unknown.field_number != 1 for unknown in UnknownFieldSet(features)))
    kinds = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64", None: ""}
    found = {}
    for name, feature in features.feature.items():
        chosen = feature.WhichOneof("kind")
        found[name] = plain(kinds[chosen], getattr(feature, chosen).value if chosen else [])
    return found


def same(data: bytes) -> None:
    """Hold our reading against TensorFlow's, also where neither can read."""
    try:
        wanted = judged(data)
    except DecodeError:
        with pytest.raises(FormatError):
            parse_example(data)
        # It may stand in a feature that is not looked at.
        with suppress(FormatError):
            parse_example(data, ["a"])
    else:
        try:
            found = ours(data)
        except FormatError:
            # Groups, which nobody writes, are refused.
            with pytest.raises(FormatError, match="unknown wire type 3"):
                parse_example(data)
            return
        assert found == wanted
        assert ours(data, set(wanted)) == wanted
        for name in ("a", "b", "Ä"):
            assert ours(data, [name]) == {k: v for k, v in wanted.items() if k == name}


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_what_tensorflow_writes_is_read(features: dict[str, tuple[str, list[Any]]]) -> None:
    example = train.Example()
    for name, (kind, values) in features.items():
        feature = example.features.feature[name]
        if kind:
            getattr(feature, f"{kind}_list").SetInParent()
            getattr(feature, f"{kind}_list").value.extend(values)
    data = example.SerializeToString()
    same(data)
    assert set(ours(data)) == set(features)


# Fields in any order and any number, numbers in both forms, fields that nobody knows.
_NUMBER = st.integers(4, 1000)
_UNKNOWN = st.one_of(
    st.builds(field, _NUMBER, st.binary(max_size=9)),
    st.builds(lambda n, v: varint(n << 3) + varint(v), _NUMBER, st.integers(0, 2**64 - 1)),
    st.builds(lambda n, v: varint(n << 3 | 5) + v, _NUMBER, st.binary(min_size=4, max_size=4)),
    st.builds(lambda n, v: varint(n << 3 | 1) + v, _NUMBER, st.binary(min_size=8, max_size=8)),
)


def _message(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(*parts), max_size=4).map(b"".join)


_VARINT = st.builds(varint, INT64.map(lambda n: n % 2**64) | st.integers(0, 9), st.integers(0, 9))
_BYTES = _message(st.builds(field, st.just(1), st.binary(max_size=5)), _UNKNOWN)
_FLOATS = _message(
    st.builds(lambda x: b"\x0d" + struct.pack("<f", x), FLOAT),
    st.builds(lambda xs: field(1, struct.pack(f"<{len(xs)}f", *xs)), st.lists(FLOAT, max_size=3)),
    _UNKNOWN,
)
_INTEGERS = _message(
    _VARINT.map(lambda v: b"\x08" + v),
    st.lists(_VARINT, max_size=3).map(lambda vs: field(1, b"".join(vs))),
    _UNKNOWN,
)
_FEATURE = _message(
    _BYTES.map(lambda data: field(1, data)),
    _FLOATS.map(lambda data: field(2, data)),
    _INTEGERS.map(lambda data: field(3, data)),
    _UNKNOWN,
)
_ENTRY = _message(
    st.sampled_from([b"a", b"b", b"", "Ä".encode(), b"\xff"]).map(lambda name: field(1, name)),
    _FEATURE.map(lambda data: field(2, data)),
    _UNKNOWN,
)
_FEATURES = _message(_ENTRY.map(lambda data: field(1, data)), _UNKNOWN)
_EXAMPLE = _message(_FEATURES.map(lambda data: field(1, data)), _UNKNOWN)


@settings(max_examples=400, deadline=None)
@given(_EXAMPLE)
def test_any_order_form_and_repetition_is_read_as_tensorflow_reads_it(data: bytes) -> None:
    same(data)


@settings(max_examples=400, deadline=None)
@given(_EXAMPLE, st.data())
def test_damage_is_refused_where_tensorflow_refuses_it(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data)))
    same(data[:at])
    if at < len(data):
        same(data[:at] + bytes([draw.draw(st.integers(0, 255))]) + data[at + 1 :])


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=60))
@example(b'"\x02\x00\x00#\x00\x00$')
@example(varint(4 << 3 | 3) + varint(4 << 3 | 4))
def test_bytes_at_random_are_read_or_refused(data: bytes) -> None:
    same(data)
