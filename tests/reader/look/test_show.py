"""`shardio-read show`: sheets and terminals, rows, and sets that cannot be shown."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reader import open_shards
from reader.commands.cli import main
from reader.look.origins import Origins
from reader.look.records import Records, find_rows, spread
from reader.look.sheet import record_tiles
from reader.look.where import chosen_by
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.label import Label
from shardio.format.naming import MANIFEST, RECORDS
from tests.converter.inputs import BOXED_OPTIONS, write_csv, write_images
from tests.reader.datasets import OTHER_KINDS, write_dataset
from tests.reader.foreign_files import encode, example, tf

ROOT = Path(__file__).parents[3]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_each_tile_is_its_record(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, more=OTHER_KINDS)
    ids = np.array([0, 6, 13, 36])
    tiles = record_tiles(open_shards(tmp_path), ids, 3)
    for tile, number in zip(tiles, ids.tolist(), strict=True):
        assert (tile.image == made.images[number]).all()
        assert tile.texts[0] == " ".join(map(str, made.labels[number, :2]))
        assert tile.texts[1] == "ids " + " ".join(map(str, made.labels[number, 2:5]))
        assert tile.texts[-1] == f"#{number} row {made.rows[number]}"


def test_a_sheet_is_a_picture_of_all_records(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set")
    assert main(["show", str(tmp_path / "set"), "-o", str(tmp_path / "new" / "a.png")]) == 0
    sheet = pixels(tmp_path / "new" / "a.png")
    assert sheet.shape[2] == 3
    assert os.listdir(tmp_path / "new") == ["a.png"]


def test_the_seed_draws_the_images(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        sheet = tmp_path / f"{name}.png"
        words = ["show", str(tmp_path / "set"), "--n", "4", "--seed", str(seed), "-o", str(sheet)]
        assert main(words) == 0
    files = [(tmp_path / f"{name}.png").read_bytes() for name in "abc"]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize(("total", "count"), [(1, 1), (10, 3), (10, 64), (10**9, 64)])
def test_images_are_drawn_without_repeats(total: int, count: int) -> None:
    ids = spread(total, count, 3)
    assert len(ids) == min(total, count) == len(set(ids.tolist()))
    assert (np.diff(ids) > 0).all()
    assert 0 <= ids[0] <= ids[-1] < total


def test_rows_are_found_in_the_shards(tmp_path: Path) -> None:
    made = write_dataset(tmp_path)
    shards = open_shards(tmp_path)
    rows = [5, 0, 5, 36]
    assert made.rows[find_rows(shards, rows)].tolist() == rows
    with pytest.raises(DatasetError, match=r"no record is of row 37, 99 of the table"):
        find_rows(shards, [37, 4, 99])


def test_rows_and_paths_are_those_of_records_parquet(tmp_path: Path) -> None:
    names = write_images(tmp_path / "images", 12, (320, 60))
    rows = [
        [f"images/{name}", i % 3, "val" if i % 4 == 0 else "train"] for i, name in enumerate(names)
    ]
    rows[5][0] = "images/none.png"
    write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    words = [tmp_path / "t.csv", tmp_path / "out", *BOXED_OPTIONS, "--max-rejects", "1"]
    command = [sys.executable, "-m", "converter", *map(str, words), "--engine", "inline"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for split in ("*", "train", "val"):
        shards = open_shards(tmp_path / "out", split)
        origins, records = Origins(shards), Records(shards)
        ids = np.arange(len(shards))
        found = records.read(ids)[1][:, -1].tolist()
        assert origins.records_of(found) == ids.tolist()
        assert origins.records_of([5]) == [None]
        assert [origins.paths(ids)[i] for i in ids.tolist()] == [rows[row][0] for row in found]
    parquet = tmp_path / "out" / RECORDS
    parquet.write_bytes(parquet.read_bytes()[:-9] + b"\0PAR1PAR1")
    assert Origins(open_shards(tmp_path / "out", "*")).records_of([5]) is None
    assert main(["show", str(tmp_path / "out"), "--row", "3", "-o", str(tmp_path / "a.png")]) == 0


def in_terminal(*words: object) -> str:
    """Run the command in a terminal, and return what it shows."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reader", "show", *map(str, words)]
    environment = dict(os.environ, COLUMNS="80", LINES="24")
    with subprocess.Popen(command, cwd=ROOT, stdout=theirs, stderr=theirs, env=environment) as run:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 1 << 16):
                shown += block
        except OSError:  # the terminal has gone
            pass
    os.close(ours)
    assert run.returncode == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_pictures_and_is_left_as_it_was(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (3,), heads=1)
    hostile = ("\x1b]0;owned\x07", *map(str, range(1, 7)))
    labels = (Label("y0", 7, hostile),)
    (tmp_path / MANIFEST).write_bytes(replace(made.manifest, labels=labels).to_json())
    shown = in_terminal(tmp_path, "--n", 3)
    assert "▀" in shown
    colours = re.sub(r"\x1b\[(0|38;2;[0-9;]+)m", "", shown)
    assert "\x1b" not in colours
    assert "\x07" not in colours
    assert "3 records of 3 (all); labels y0" in colours


def fails(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run the command, which has to fail, and return its one line."""
    try:
        code = main(["show", *map(str, words)])
    except SystemExit as end:
        code = int(str(end.code))
    assert code in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_records_are_chosen_by_their_labels(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (300, 77), names=("digit", "y1"))
    manifest = made.manifest
    words = (*"abcdef", "3")
    labels = (replace(manifest.labels[0], vocabulary=words), manifest.labels[1])
    (tmp_path / MANIFEST).write_bytes(replace(manifest, labels=labels).to_json())
    shards = open_shards(tmp_path)
    assert chosen_by(shards, []) == (shards, "")
    for conditions, wanted, said in (
        (["y1=17"], made.labels[:, 1] == 17, "y1=17"),
        (["digit=c"], made.labels[:, 0] == 2, "digit=2 (c)"),
        (["digit=2"], made.labels[:, 0] == 2, "digit=2 (c)"),
        # A text comes before a number.
        (["digit=3"], made.labels[:, 0] == 6, "digit=6 (3)"),
        (
            ["digit=c", "y1=4"],
            (made.labels[:, :2] == (2, 4)).all(axis=1),
            "digit=2 (c) and y1=4",
        ),
    ):
        found, words_of = chosen_by(shards, conditions)
        stored = found.chosen.ids(np.arange(len(found)))
        assert stored.tolist() == np.flatnonzero(wanted).tolist()
        assert words_of == said


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("y0", "LABEL=CLASS"),
        ("y9=1", "no label 'y9'"),
        ("y0=7", "7 classes, from 0, and no 7"),
        ("y0=-1", "no class '-1'"),
        ("y0=" + "9" * 5000, "no class"),
        ("y0=\x1b[2J", r"\x1b[2J"),
        ("score=1", "labels of one integer"),
        ("y1=29", "no record has y1=29"),
    ],
)
def test_conditions_that_choose_nothing_are_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: str, said: str
) -> None:
    made = write_dataset(tmp_path / "set", (3,), more=OTHER_KINDS)
    assert 29 not in made.labels[:, 1]
    for output in ("-o", tmp_path / "a.png"), ():  # a terminal would not mend it
        err = fails(capsys, made.folder, "--where", condition, *output)
        assert said in err
        assert "\x1b" not in err


def test_without_a_terminal_a_file_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path)
    assert "-o sheet.png" in fails(capsys, tmp_path)


def test_what_cannot_be_shown_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = ("-o", tmp_path / "sheet.png")
    empty = write_dataset(tmp_path / "empty", (0,))
    assert "no records to show" in fails(capsys, empty.folder, *sheet)
    assert "no shards in the folder" in fails(capsys, tmp_path, *sheet)
    made = write_dataset(tmp_path / "set", (9,))
    assert "row 77" in fails(capsys, made.folder, "--row", 77, *sheet)
    assert "must be at least 1" in fails(capsys, made.folder, "--n", 0, *sheet)
    assert "must not be negative" in fails(capsys, made.folder, "--seed", -1, *sheet)
    (tmp_path / "file").touch()
    assert "file" in fails(capsys, made.folder, "-o", tmp_path / "file" / "sheet.png")
    (tmp_path / "dir").mkdir()
    assert "dir" in fails(capsys, made.folder, "-o", tmp_path / "dir")
    assert os.listdir(tmp_path / "dir") == []
    shard = made.shard(0)
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-20])
    assert "was cut" in fails(capsys, made.folder, *sheet)
    (made.folder / MANIFEST).unlink()
    assert "it was cut" in fails(capsys, made.folder, "--shape", "2x3x3", *sheet)
    assert not (tmp_path / "sheet.png").exists()


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, (9,))
    data = bytearray(made.shard(0).read_bytes())
    data[made.layout.stride * 4 + 60] ^= 1
    made.shard(0).write_bytes(data)
    with pytest.raises(CorruptRecordError, match="record 4"):
        record_tiles(open_shards(tmp_path), np.arange(9), 16)


def test_shards_without_a_manifest_are_shown(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set", (9,))
    (made.folder / MANIFEST).unlink()
    words = ["show", str(made.folder), "--shape", "2x3x3", "-o", str(tmp_path / "a.png")]
    assert main(words) == 0


def test_shards_of_others_are_shown(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for label in range(3):
            writer.write(example(image=encode(image, "PNG"), label=label))
    shards = open_shards(tmp_path / "a.tfrecord")
    (tile,) = record_tiles(shards, np.array([1]), 30)
    assert (tile.image == image).all()
    assert tile.texts[0] == "1"


def test_info_tells_hostile_names_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = write_dataset(tmp_path, names=("\x1b[2Jred", "y1"))
    assert main(["info", str(made.folder)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[2Jred" in out
