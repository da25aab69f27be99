"""What messages of the reader propose works as it is printed."""

from __future__ import annotations

import gzip
import re
import shlex
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.command.cli import main as convert_main
from reader import open_shards
from shardio.errors import DatasetError, OptionError, UnsupportedRecordError
from tests.reader.foreign_files import encode, example, photos, write_records

IMAGE = encode(photos(1)[0], "PNG")
RECORDS: dict[str, dict[str, Any]] = {
    "object detection": {
        "image__encoded": IMAGE,
        "image__height": 24,
        "image__object__bbox__xmin": [0.5, 0.25],
        "image__object__class__label": [1, 2],
        "image__object__class__text": [b"cat", b"dog"],
    },
    "one object": {"image": IMAGE, "image__object__class__label": 1},
    "heights": {"image": IMAGE, "height": 24, "width": 40, "category": 7},
    "other names": {"photo": IMAGE, "height": 24, "kind": 7},
    "a float": {"image": IMAGE, "label": 0.5},
    "text": {"image": IMAGE, "label": b"cat"},
    "a list": {"image": IMAGE, "label": [1, 2, 3]},
    "two usual names": {"image": IMAGE, "label": 1, "class": 2},
    "none": {"image": IMAGE, "height": 24},
}
# The last proposal of a message, as it would be typed.
_PROPOSAL = re.compile(
    r"(?:e\.g\. |name it with |: )((?:labels|image)=(?:\[[^]]*\]|\{[^}]*\}|'[^']*'))"
)


@pytest.mark.parametrize("kind", RECORDS)
def test_a_proposed_option_works(tmp_path: Path, kind: str) -> None:
    write_records(tmp_path / "a", [example(**RECORDS[kind])] * 2)
    options: dict[str, Any] = {}
    for _ in range(3):
        try:
            open_shards(tmp_path / "a", **options)
        except OptionError as error:
            found = [x for x in _PROPOSAL.findall(str(error)) if "NAME" not in x]
            name, _, value = (found or ["labels=[]"])[-1].partition("=")
            options[name] = eval(value)
    shards = open_shards(tmp_path / "a", **options)
    assert len(shards) == 2
    shards[1]
    assert not {"height", "image/height", "width"} & {label.name for label in shards.labels}
    assert [label.name for label in shards.labels] or kind == "none"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_shape_that_a_record_says_is_proposed(
    tmp_path: Path, dtype: str, channels: int
) -> None:
    pixels = np.ones((5, 7, channels), dtype)
    record = {"image_raw": pixels.tobytes(), "height": 5, "image__width": 7, "label": 1}
    write_records(tmp_path / "a", [example(**record)])
    with pytest.raises(OptionError, match="if these are raw pixels, give their shape") as caught:
        open_shards(tmp_path / "a")
    proposed = re.findall(r"shape=\(5, 7, \d\)(?:, image=\{[^}]*\})?", str(caught.value))
    shapes = [open_shards(tmp_path / "a", **eval(f"dict({each})")).shape for each in proposed]
    assert pixels.shape in shapes


def test_what_to_do_where_a_label_is_missing_is_said_and_works(tmp_path: Path) -> None:
    for lacking in ({}, {"label": -1}):
        records = [example(image=IMAGE, label=3), example(image=IMAGE, **lacking)]
        write_records(tmp_path / "a", records)
        with pytest.raises(UnsupportedRecordError, match=r"record 1 .*missing=N makes it"):
            next(open_shards(tmp_path / "a").batches(2))
        _, labels = next(open_shards(tmp_path / "a", missing=9).batches(2, shuffle="none"))
        assert labels.tolist() == [3, 9]


@pytest.mark.parametrize("packed", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("name", ["a.tfrecord", "with spaces and 'a mark'.tfrecord"])
def test_the_command_for_what_is_compressed_works(
    tmp_path: Path, packed: Callable[[bytes], bytes], name: str
) -> None:
    write_records(tmp_path / "plain", [example(image=IMAGE, y0=n) for n in range(3)])
    (tmp_path / name).write_bytes(packed((tmp_path / "plain").read_bytes()))
    with pytest.raises(DatasetError, match="is compressed with") as caught:
        open_shards(tmp_path / name)
    words = shlex.split(str(caught.value).partition("shardio-convert ")[2])
    assert words == [str(tmp_path / name), "FOLDER"]
    out = str(tmp_path / "out")
    assert convert_main([words[0], out, "--quiet", "--engine", "inline"]) == 0
    assert len(open_shards(out)) == 3
