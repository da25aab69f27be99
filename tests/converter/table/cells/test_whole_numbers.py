"""Labels that are numbers: the same in every kind of table, however they are written."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from converter.command.cli import main
from converter.table.cells.number_texts import is_numeric, whole_number
from tests.converter.inputs import write_csv
from tests.converter.table.test_source import WRITERS, parquet_bytes, read, refusal

FORMS: dict[str, Callable[[int], str]] = {
    "3": str,
    "3.0": lambda n: f"{n}.0",
    "3.": lambda n: f"{n}.",
    "3.00000": lambda n: f"{n}.00000",
    "+3": lambda n: f"+{n}",
    " 3 ": lambda n: f" {n} ",
    "003": lambda n: f"00{n}",
    "3e0": lambda n: f"{n}e0",
    "numpy.savetxt": lambda n: f"{n:.18e}",
    "3.0E+00": lambda n: f"{n}.0E+00",
}
labels = st.integers(0, 2**31 - 1)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(labels, st.sampled_from(sorted(FORMS))), min_size=1, max_size=20))
def test_whole_numbers_are_labels_in_every_text(values: list[tuple[int, str]]) -> None:
    texts = [FORMS[form](number) for number, form in values]
    columns: dict[str, list[Any]] = {"path": ["a"] * len(texts), "y0": texts}
    for ending in ("csv", "tsv", "jsonl", "parquet"):
        table = read(WRITERS[ending](columns), ending)
        assert table.labels[:, 0].tolist() == [number for number, _ in values]


TYPES = [
    *(pa.int32(), pa.int64(), pa.uint32(), pa.uint64(), pa.float64()),
    *(pa.decimal128(12, 2), pa.decimal256(40, 4), pa.string(), pa.large_string(), pa.string_view()),
]


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("encoded", [False, True])
@settings(deadline=None, max_examples=10)
@given(numbers=st.lists(labels, min_size=1, max_size=9))
def test_whole_numbers_of_any_type_are_labels(
    kind: pa.DataType, encoded: bool, numbers: list[int]
) -> None:
    values: list[Any] = list(numbers)
    if pa.types.is_decimal(kind):
        values = [Decimal(number) for number in numbers]
    elif "string" in str(kind):
        values = [f"{number}.0" for number in numbers]
    column = pa.array(values, kind)
    if encoded and kind != pa.string_view():  # Arrow has no dictionaries of views
        column = column.dictionary_encode()
    data = parquet_bytes(pa.table({"path": ["a"] * len(numbers), "y0": column}))
    assert read(data, "parquet").labels[:, 0].tolist() == numbers


def test_numbers_in_json_may_be_written_in_all_its_ways() -> None:
    texts = ["3", "3.0", "3e0", "30E-1", "0.3e+1"]
    data = "".join(f'{{"path":"a","y0":{text}}}\n' for text in texts).encode()
    assert read(data, "jsonl").labels[:, 0].tolist() == [3] * 5


@settings(deadline=None, max_examples=300)
@given(st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True))
@example("2.99999999999999999999999999999999")
@example("9223372036854775808")
@example("1e-999")
def test_a_whole_number_is_exact(text: str) -> None:
    try:
        value = Fraction(text)
    except ValueError:
        assert whole_number(text) is None
        return
    fits = value.denominator == 1 and abs(value) < 2**63
    assert whole_number(text) == (int(value) if fits else None)
    assert is_numeric(text)


ODD = [
    *("1.5", "0.1", "2.9999999999999999999999", "1e-1", "1_000", "0x10", "٣", "³", "1e30"),
    *("1,5", '"3"', "'3'", "3\0"),
]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_what_is_no_whole_number_is_refused_with_no_way_to_other_classes(
    ending: str, text: str
) -> None:
    columns: dict[str, list[Any]] = {"path": ["a", "b"], "y0": [text, text]}
    message = refusal(WRITERS[ending](columns), ending)
    assert f"y0 is {text!r}, not an integer" in message
    assert ("--text-labels" in message) == (text == "³")


@pytest.mark.parametrize("text", ["cat", "龍", "3a", "nan", "inf", "-", "1/2"])
def test_texts_are_told_of_text_labels(text: str) -> None:
    columns: dict[str, list[Any]] = {"path": ["a"], "y0": [text]}
    assert "need --text-labels" in refusal(WRITERS["csv"](columns))


@pytest.mark.parametrize(
    "column",
    [
        *(pa.array([1, 2], kind) for kind in (pa.timestamp("s"), pa.date32(), pa.time32("s"))),
        pa.array([1, 2], pa.duration("s")),
        pa.array([1, 2], pa.timestamp("us")).dictionary_encode(),
        pa.array([True, False]),
        pa.array([Decimal("1.50"), Decimal("2.00")]),
        pa.array([b"\xff", b"1"]),
    ],
    ids=lambda column: str(column.type),
)
def test_what_are_no_numbers_is_refused(column: pa.Array) -> None:
    data = parquet_bytes(pa.table({"path": ["a", "b"], "y0": column}))
    assert "y0" in refusal(data, "parquet")


@pytest.mark.parametrize(
    ("words", "example"),
    [
        ([f"{n}.0" for n in range(12)], "'10.0' is class 2"),
        ([str(n) for n in range(12)], "'10' is class 2"),
        (["1", "2"], "'1' is class 0"),
        (["0.5", "1.5"], "'0.5' is class 0"),
        (["10", "2", "unknown"], "'10' is class 0"),
        (["0", "1", "2"], None),
        (["a", "b", "10"], None),
        ([*"0123456789abcdefghij"], None),
        (["cat", "dog"], None),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_numbers_as_texts_warn(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ending: str,
    words: list[str],
    example: str | None,
) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_bytes(WRITERS[ending]({"path": [f"{n}" for n in range(len(words))], "y0": words}))
    assert (
        main([str(path), str(tmp_path / "out"), "--text-labels", "--dry-run", "--size", "8x8"]) == 0
    )
    said = capsys.readouterr().err
    assert ("numbered in the order of code points" in said) == (example is not None)
    assert (example or "") in said


def test_numbers_of_a_vocabulary_in_its_own_order_do_not_warn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [["a", "10"], ["b", "2"]])
    words = tmp_path / "words.txt"
    words.write_text("2\n10\n")
    assert (
        main(
            [
                str(table),
                str(tmp_path / "out"),
                "--vocabulary",
                str(words),
                "--dry-run",
                "--size",
                "8x8",
            ]
        )
        == 0
    )
    assert "code points" not in capsys.readouterr().err
