"""A label that is none of its head's classes: which record has it is said."""

from __future__ import annotations

import warnings
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.commands.cli import main
from reader.commands.verification import verify
from reader.opening.sound_parts import SoundParts
from reader.shardset import ShardSet
from shardio.errors import DatasetError
from shardio.format.framing import frame_footer
from tests.reader.datasets import Made
from tests.reader.foreign_files import encode, example, photos, write_records

FIXTURE = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40
)
STARTS = (0, 5, 5, 13, 14)


@pytest.fixture
def bare(made: Made) -> Made:
    (made.folder / "dataset.json").unlink()
    return made


def place(made: Made, number: int) -> str:
    shard = max(s for s in (0, 2, 3, 4) if STARTS[s] <= number)
    return f"{made.shard(shard)}: record {number - STARTS[shard]}"


@pytest.mark.parametrize("core", [True, False])
@FIXTURE
@given(
    classes=st.integers(1, 29),
    size=st.integers(1, 37),
    shuffle=st.sampled_from(["exact", "window", "none"]),
    one_hot=st.booleans(),
)
def test_the_record_the_row_and_the_head_are_named(
    bare: Made, core: bool, classes: int, size: int, shuffle: str, one_hot: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not core:
            patch.setattr("reader.core.compiled.core", None)
        patch.setattr("warnings.warn", lambda *args, **options: None)
        shards = open_shards(bare.glob, shape=(2, 3, 3), classes=(7, classes))
        wrong = set(np.flatnonzero(bare.labels[:, 1] >= classes).tolist())
        options: dict[str, Any] = {"shuffle": shuffle, "one_hot": one_hot}
        with pytest.raises(DatasetError) as caught:
            list(shards.batches(size, drop_remainder=False, **options))
    said = str(caught.value)
    named = [n for n in wrong if said.startswith(f"{place(bare, n)}, row {bare.rows[n]}: ")]
    assert len(named) == 1
    value = bare.labels[named[0], 1]
    with pytest.raises(DatasetError, match=f"{place(bare, named[0])}: label y1 is {value}, but"):
        shards[named[0]]
    assert said.endswith(f"label y1 is {value}, but it has {classes} classes")


@pytest.mark.parametrize("classes", [1, 15, 29])
def test_verify_looks_at_labels_too(bare: Made, classes: int) -> None:
    shards: ShardSet = open_shards(bare.glob, shape=(2, 3, 3), classes=(7, classes))
    told: list[int] = []
    faults = verify(SoundParts.of(shards), told.append).faults
    assert sum(told) == 37
    wrong = np.flatnonzero(bare.labels[:, 1] >= classes).tolist()
    assert [f.reason.partition(": label")[0] for f in faults] == [place(bare, n) for n in wrong]
    assert {fault.kind for fault in faults} == {"unusable"}


def test_in_place_of_a_record_that_was_skipped_no_other_is_blamed(tmp_path: Path) -> None:
    files = [encode(image, "PNG") for image in photos(6)]
    files[0] = files[1] = b"no image"
    records = [example(image=data, label=7 + n) for n, data in enumerate(files)]
    write_records(tmp_path / "a", [example(image=files[2], label=0), *records])
    shards = open_shards(tmp_path / "a", classes=9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DatasetError, match=r"^a record, row 3: label label is 9"):
            list(shards.batches(3, shuffle="none", on_error="skip", max_skipped=2))


def test_a_label_that_no_format_knows_is_not_cut_to_32_bits(bare: Made) -> None:
    """A label has five bytes in a record, and 31 bits."""
    path, layout = bare.shard(3), bare.layout
    data = bytearray(path.read_bytes())
    tail = len(data) - 4 - layout.tail_bytes
    for byte, at in zip((0x83, 0x80, 0x80, 0x80, 0x10), count(layout.number_offsets[0])):
        data[tail + at] = byte
    data[-4:] = frame_footer(bytes(data[12:-4]))
    path.write_bytes(data)
    shards = open_shards(bare.glob, shape=(2, 3, 3))
    for size in (1, 37):
        with pytest.raises(DatasetError, match=f"{path}: record 0, row .*y0 is 4294967299, but"):
            list(shards.batches(size))


def test_the_command_says_that_nothing_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = encode(photos(1)[0], "PNG")
    write_records(tmp_path / "a", [example(image=image, label=n) for n in (1, -1, 2)])
    assert main(["verify", str(tmp_path / "a")]) == 1
    said = capsys.readouterr().err
    assert "1 of 1 shard is whole, but with records that cannot be used" in said
    assert "damaged" not in said
