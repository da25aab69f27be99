"""TFRecord files of other tools give the shards that the same files give; damage is named."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter import ConvertOptions, convert
from converter.table.read_table import read_table
from converter.table.reading import Reading
from shardio.errors import RejectsError, TableError
from shardio.format.framing import frame_footer, frame_header
from shardio.format.transform import Transform
from tests.converter.inputs import contents
from tests.converter.sample_sets import IMAGES, LABELS, write_files
from tests.converter.table.samples.test_webdataset import inline, shards
from tests.reader.foreign_files import example

OPTIONS = ConvertOptions(
    transform=Transform(None, (16, 8)), shards=4, labels=("txt",), text_labels=True
)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip in parts": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
    "zlib": zlib.compress,
    "zlib, stored": lambda data: zlib.compress(data, 0),
}


def framed(data: bytes) -> bytes:
    return frame_header(len(data)) + data + frame_footer(data)


def records_of(numbers: Sequence[int]) -> list[bytes]:
    """Return records of some of the images."""
    return [
        example(**{"image/encoded": IMAGES[n], "txt": LABELS[n].encode(), "cls": n % 7})
        for n in numbers
    ]


def write(path: Path, records: Sequence[bytes], packed: str = "plain") -> Path:
    path.write_bytes(PACKED[packed](b"".join(map(framed, records))))
    return path


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    numbers=st.lists(st.integers(0, 11), min_size=1, max_size=12),
    size=st.integers(1, 12),
    packed=st.lists(st.sampled_from(sorted(PACKED)), min_size=12, max_size=12),
)
def test_shards_are_those_of_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], size: int, packed: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("t")
    files = [
        write(folder / f"x.tfrecord-{at:05d}-of-00012", records_of(numbers[at : at + size]), kind)
        for at, kind in zip(range(0, len(numbers), size), packed, strict=False)
    ]
    inline(files, folder / "a", OPTIONS)
    inline(write_files(folder / "files", numbers), folder / "b", OPTIONS)
    assert shards(folder / "a") == shards(folder / "b")


@pytest.mark.parametrize("packed", ["plain", "gzip"])
def test_engines_and_workers_make_the_same_bytes(tmp_path: Path, packed: str) -> None:
    file = write(tmp_path / "x.tfrecords", records_of(range(12)), packed)
    inline(file, tmp_path / "a", OPTIONS)
    convert(str(file), str(tmp_path / "b"), OPTIONS, workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    rows = parquet.read_table(tmp_path / "a" / "records.parquet").to_pydict()
    assert dict(zip(rows["row"], rows["path"], strict=True))[7] == "x.tfrecords::7"


def test_a_folder_of_them_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for part in range(2):
        name = f"train-{part:05d}-of-00002"
        write(tmp_path / "set" / name, records_of(range(6 * part, 6 * part + 6)))
    inline(tmp_path / "set", tmp_path / "a", OPTIONS)
    inline(write(tmp_path / "all.tfrec", records_of(range(12))), tmp_path / "b", OPTIONS)
    assert shards(tmp_path / "a") == shards(tmp_path / "b")


def test_a_folder_of_several_splits_is_none(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / f"mnist-{split}.tfrecord-00000-of-00001", records_of([0]))
    with pytest.raises(TableError, match=r"several splits \(test, train\).*/\*test\*'"):
        inline(tmp_path, tmp_path / "out", OPTIONS)


def test_numbers_lists_and_texts_are_columns(tmp_path: Path) -> None:
    records = [
        example(image=IMAGES[1], ids=[n, 2], score=[0.5, n / 2], path=b"p", raw=b"\xff\x00")
        for n in range(3)
    ]
    file = write(tmp_path / "x.tfrecord", records)
    options = replace(
        OPTIONS, labels=(), text_labels=False, vectors=("ids",), float_labels=("score",), shards=1
    )
    summary = inline(file, tmp_path / "out", options)
    rows = parquet.read_table(tmp_path / "out" / "records.parquet").to_pydict()
    found = sorted(zip(rows["row"], rows["ids"], rows["score"], strict=True))
    assert found == [(n, [n, 2], [0.5, n / 2]) for n in range(3)]
    assert any("left out: 3 x raw" in line for line in summary.lines())
    with pytest.raises(TableError, match=r"it has path, .*feature\.path"):
        read_table(str(file), labels=None, classes=None)


def test_a_record_without_image_or_label(tmp_path: Path) -> None:
    records = [*records_of([0, 1]), example(txt=b"x"), example(**{"image/encoded": IMAGES[1]})]
    file = write(tmp_path / "x.tfrecord", records)
    with pytest.raises(TableError, match="row 3: txt is missing"):
        inline(file, tmp_path / "out", OPTIONS)
    for packed, reason in (("plain", "sample has no image"), ("gzip", "table has no image here")):
        file = write(tmp_path / "x.tfrecord", records[:3], packed)
        with pytest.raises(RejectsError, match=reason):
            inline(file, tmp_path / f"out-{packed}", OPTIONS)


def test_nan_is_no_text(tmp_path: Path) -> None:
    records = [example(image=IMAGES[1], txt=value) for value in (0.5, float("nan"))]
    file = write(tmp_path / "x.tfrecord", records)
    with pytest.raises(TableError, match="row 1: txt is missing"):
        inline(file, tmp_path / "out", OPTIONS)


@pytest.mark.parametrize("missing", [None, "0"])
@pytest.mark.parametrize("value", [b"\xff", [b"a", b"b"], [b"a"] * 9], ids=["bytes", "two", "many"])
def test_what_is_no_label_is_none_that_is_missing(
    tmp_path: Path, value: Any, missing: str | None
) -> None:
    records = [*records_of([0, 1]), example(image=IMAGES[2], txt=value, other=b"x")]
    file = write(tmp_path / "x.tfrecord", records)
    for text_labels in (True, False):
        with pytest.raises(TableError, match=r"x\.tfrecord: record 2: txt is neither numbers nor"):
            read_table(
                str(file),
                labels=("txt",),
                classes=None,
                text_labels=text_labels,
                reading=Reading(missing=missing),
            )
    assert len(read_table(str(file), labels=(), classes=None)) == 3  # nobody asked for it


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


WHOLE = b"".join(map(framed, records_of(range(3))))
FIRST = len(framed(records_of([0])[0]))
DAMAGES: dict[str, tuple[bytes, str]] = {
    "length": (flipped(WHOLE, 2), r"record 0 at byte 0: this is no TFRecord file, or its first"),
    "second length": (flipped(WHOLE, FIRST), rf"record 1 at byte {FIRST}: its length"),
    "data": (flipped(WHOLE, FIRST + 40), rf"record 1 at byte {FIRST}: its CRC does not match"),
    "cut": (WHOLE[:-5], r"cut within record 2"),
    "cut header": (WHOLE[: FIRST + 5], r"cut within record 1"),
    "cut gzip": (gzip.compress(WHOLE)[:-40], r"x\.tfrecord: (cut within )?record"),
    "damaged zlib": (flipped(zlib.compress(WHOLE), 200), r"x\.tfrecord: "),
    "nothing": (b"", r"holds no records"),
    "text": (b"path,y0\na.png,1\n", r"this is no TFRecord file"),
    "no example": (framed(b"\xff\xff"), r"record 0: it is no tf\.train\.Example"),
    "a text like a BMP": (
        framed(example(image=bytes(300), name=b"BMW of a kind", y0=1)),
        r"no feature of its first record holds an image file",
    ),
    "raw pixels": (
        framed(example(image=bytes(300), y0=1)),
        r"no feature of its first record holds an image file; .*image \(bytes\), y0 \(int64\)",
    ),
    "two images": (
        framed(example(a=IMAGES[1], b=IMAGES[2], y0=1)),
        r"several features hold images: a, b; --image-column a says which",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    data, message = DAMAGES[damage]
    (tmp_path / "x.tfrecord").write_bytes(data)
    with pytest.raises(TableError, match=message):
        inline(tmp_path / "x.tfrecord", tmp_path / "out", OPTIONS)


@pytest.mark.parametrize("packed", ["gzip", "zlib"])
def test_a_compressed_file_that_is_cut_anywhere_is_no_table(tmp_path: Path, packed: str) -> None:
    whole = PACKED[packed](b"".join(map(framed, records_of([1]))))
    for size in range(0, len(whole), 7):
        (tmp_path / "x.tfrecord").write_bytes(whole[:size])
        with pytest.raises(TableError, match=r"x\.tfrecord"):
            read_table(str(tmp_path / "x.tfrecord"), labels=("txt",), classes=None)


def test_of_several_images_one_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "x.tfrecord", [example(a=IMAGES[1], b=IMAGES[2], txt=b"x")])
    how: dict[str, Any] = {"shards": 1, "image_column": "b"}
    inline(file, tmp_path / "a", replace(OPTIONS, **how))
    other = write(tmp_path / "y.tfrecord", [example(b=IMAGES[2], txt=b"x")])
    inline(other, tmp_path / "b", replace(OPTIONS, shards=1))
    assert shards(tmp_path / "a") == shards(tmp_path / "b")
    with pytest.raises(TableError, match="has no bytes c"):
        inline(file, tmp_path / "c", replace(OPTIONS, image_column="c"))
