"""Boxes in the table: which columns they are, what is cut out, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from converter import ConvertOptions, Summary, convert
from converter.table.cells.crop_boxes import CropColumns
from reader import open_shards
from shardio.errors import OptionError, SizesError, TableError
from shardio.format.transform import Transform
from tests.converter.inputs import encoded, picture, run, write_csv

CORNERS = ("l=xmin", "t=ymin", "r=xmax", "b=ymax")
BOXES = [(2, 3, 12, 9), (0, 0, 10, 6), (20, 14, 30, 20)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("xmin,ymin,xmax,ymax", CORNERS),
        ("x0, y0, x1, y1", ("l=x0", "t=y0", "r=x1", "b=y1")),
        ("bbox_x,bbox_y,bbox_w,bbox_h", ("x=bbox_x", "y=bbox_y", "w=bbox_w", "h=bbox_h")),
        ("left,top,width,height", ("x=left", "y=top", "w=width", "h=height")),
        ("l=a,t=b,r=c,b=d", ("l=a", "t=b", "r=c", "b=d")),
        ("x=a,y=b,w=c,h=d", ("x=a", "y=b", "w=c", "h=d")),
    ],
)
def test_columns_say_what_they_are(text: str, said: tuple[str, ...]) -> None:
    assert CropColumns.parse(text).said == said
    assert CropColumns.parse(",".join(said)).said == said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b,c,d", "l=a,t=b,r=c,b=d or x=a,y=b,w=c,h=d"),
        ("cx,cy,w,h", "centres"),
        ("a,b,c", "four columns"),
        ("a,a,w,h", "four columns"),
        ("l=a,y=b,w=c,h=d", "l=,t=,r=,b="),
    ],
)
def test_what_fits_two_readings_is_refused(text: str, why: str) -> None:
    with pytest.raises(OptionError, match=why):
        CropColumns.parse(text)


@given(st.lists(st.tuples(*[st.floats(0, 50)] * 2, *[st.floats(1, 50)] * 2), min_size=1))
def test_boxes_are_rounded_as_pillow_does_it(rows: list[tuple[float, ...]]) -> None:
    columns = CropColumns.parse("x,y,w,h")
    for kind in (lambda v: v, repr):
        batch = pa.table(
            {name: [kind(row[at]) for row in rows] for at, name in enumerate("xywh")}
        ).to_batches()[0]
        found, bad = columns.boxes(batch)
        wrong = {int(row) for one in bad for row in one.rows}
        image = Image.new("L", (120, 120))
        for row, (x, y, w, h) in enumerate(rows):
            box = x, y, x + w, y + h
            if row in wrong and max(x, y, w, h) <= 1:
                assert any(value % 1 for value in (x, y, w, h))  # shares of the image
            elif row in wrong:
                assert round(box[2]) <= round(box[0]) or round(box[3]) <= round(box[1])
            else:
                left, top, right, bottom = found[row].tolist()
                assert (left, top, right, bottom) == tuple(map(round, box))
                assert image.crop(box).size == (right - left, bottom - top)


def write(folder: Path, boxes: list[Any], names: str = "xmin,ymin,xmax,ymax") -> Path:
    data = encoded(picture("RGB", 32, 24), "PNG")
    (folder / "a.png").write_bytes(data)
    rows = [["a.png", number, *box] for number, box in enumerate(boxes)]
    return write_csv(folder / "t.csv", ["path", "label", *names.split(",")], rows)


def inline(table: Path, out: Path, **how: Any) -> Summary:
    options = ConvertOptions(transform=Transform(**how), labels=("label",), shards=1)
    return convert(str(table), str(out), options, engine="inline", max_rejects="1")


def test_each_row_is_its_box(tmp_path: Path) -> None:
    table = write(tmp_path, BOXES)
    summary = inline(table, tmp_path / "out", crop_columns=CORNERS)
    assert "images    crop l=xmin,t=ymin,r=xmax,b=ymax of 32x24 -> 10x6 as it is" in summary.lines()
    assert not summary.notes
    shards = open_shards(tmp_path / "out")
    image = Image.open(io.BytesIO((tmp_path / "a.png").read_bytes()))
    for number in range(3):
        pixels, label = shards[number]
        assert np.array_equal(pixels, np.asarray(image.crop(BOXES[int(label)])))
    sides = [(x, y, r - x, b - y) for x, y, r, b in BOXES]
    parquet.write_table(
        pa.table(
            {
                "path": ["a.png"] * 3,
                "label": [0, 1, 2],
                **{f"{name}": [row[at] for row in sides] for at, name in enumerate("xywh")},
            }
        ),
        tmp_path / "t.parquet",
    )
    done = run(
        tmp_path / "t.parquet",
        tmp_path / "sides",
        *("--labels", "label", "--crop-columns", "x,y,w,h", "--size", "5x3"),
    )
    assert done.returncode == 0, done.stderr
    shards = open_shards(tmp_path / "sides")
    for number in range(3):
        pixels, label = shards[number]
        assert np.array_equal(pixels, np.asarray(image.crop(BOXES[int(label)]).resize((5, 3))))


def test_boxes_that_cannot_be_cut_out_are_told(tmp_path: Path) -> None:
    table = write(tmp_path, [*BOXES, (30, 20, 40, 26)])
    summary = inline(table, tmp_path / "out", crop_columns=CORNERS)
    assert (summary.records, summary.rejected) == (3, 1)
    assert "30,20,40,26 reaches outside" in (tmp_path / "out" / "rejects.csv").read_text()
    assert inline(table, tmp_path / "pad", crop_columns=CORNERS, pad=True).rejected == 0
    with pytest.raises(SizesError, match="2 sizes, most often 10x6"):
        inline(write(tmp_path, [*BOXES, (0, 0, 2, 2)]), tmp_path / "two", crop_columns=CORNERS)
    for bad, why in (
        ((5, 5, 5, 9), "the box is empty.*xmin '5'"),
        (("", 1, 2, 3), "the box is no numbers: xmin ''"),
        (("nan", 1, 2, 3), "no numbers"),
        (("1e99", 1, 2, 3), "no numbers"),
    ):
        with pytest.raises(TableError, match=why):
            inline(write(tmp_path, [*BOXES, bad]), tmp_path / "bad", crop_columns=CORNERS)
    columns = ("l=left", "t=ymin", "r=xmax", "b=ymax")
    with pytest.raises(TableError, match="has no column left"):
        inline(table, tmp_path / "none", crop_columns=columns)
    with pytest.raises(OptionError, match="no other box"):
        Transform((0, 0, 1, 1), crop_columns=CORNERS)


def test_box_columns_called_like_labels_are_no_labels(tmp_path: Path) -> None:
    table = write(tmp_path, BOXES, "x0,y0,x1,y1")
    rows = table.read_text().replace("path,label,", "path,y2,")
    table.write_text(rows)
    done = run(table, tmp_path / "out", "--crop-columns", "x0,y0,x1,y1")
    assert done.returncode == 0, done.stderr
    assert [label.name for label in open_shards(tmp_path / "out").labels] == ["y2"]
