"""Exports are taken back by the converter, with equal pixels and labels."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from converter import ConvertOptions, convert
from converter.command.cli import main as convert_main
from reader import ShardSet, open_shards
from reader.commands.cli import main
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import OTHER_KINDS, Made, write_dataset

Output = pytest.CaptureFixture[str]
KINDS = ("images", "webdataset", "parquet")


def in_order(shards: ShardSet) -> list[tuple[int, bytes, dict[str, Any]]]:
    """Return row, image and labels of each record, as stored."""
    found = []
    for batch in shards.batches(1, shuffle="none", dtype="uint8", rows=True, as_dict=True):
        labels = {label.name: batch[label.name][0].tolist() for label in shards.labels}
        found.append((int(batch["row"][0]), batch["image"].tobytes(), labels))
    return found


def all_of(shards: ShardSet) -> list[tuple[bytes, list[Any]]]:
    """Return images and labels in the order in which they were exported, labels by name."""
    return [(image, sorted(labels.items())) for _, image, labels in sorted(in_order(shards))]


def stored(shards: ShardSet) -> list[tuple[bytes, list[Any]]]:
    return [(image, sorted(labels.items())) for _, image, labels in in_order(shards)]


def there_and_back(
    shards: Path, out: Path, kind: str, capsys: Output, *options: str
) -> tuple[ShardSet, str]:
    """Export a set, and convert the export with the command that is printed."""
    assert main(["export", str(shards), "--to", kind, "-o", str(out / kind), *options]) == 0
    said = capsys.readouterr().out
    match = re.search("shardio-convert (.*)", said)
    assert match
    back = [
        str(out / f"{kind} again") if word == "NEW_FOLDER" else word
        for word in shlex.split(match[1])
    ]
    assert convert_main([*back, "--quiet", "--engine", "inline"]) == 0, capsys.readouterr().err
    capsys.readouterr()
    return open_shards(out / f"{kind} again", "*"), said


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_label_comes_back(tmp_path: Path, kind: str, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", more=() if kind == "webdataset" else OTHER_KINDS)
    again, said = there_and_back(made.folder, tmp_path, kind, capsys)
    assert said.startswith(f"37 records written to {tmp_path / kind}\n")
    assert all_of(again) == stored(open_shards(made.folder))
    assert {label.name for label in again.labels} == {label.name for label in made.manifest.labels}


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_whose_name_is_like_an_option_comes_back(
    tmp_path: Path, kind: str, capsys: Output
) -> None:
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png")
    (tmp_path / "a.csv").write_text("path,-x,y\na.png,1,2\n")
    words = [str(tmp_path / "a.csv"), str(tmp_path / "set"), "--labels=-x,y", "--size", "4x4"]
    assert convert_main([*words, "--quiet", "--engine", "inline"]) == 0
    again, _ = there_and_back(tmp_path / "set", tmp_path, kind, capsys)
    assert all_of(again) == stored(open_shards(tmp_path / "set"))


@pytest.mark.parametrize("kind", KINDS)
def test_one_label_and_some_records(tmp_path: Path, kind: str, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", heads=1)
    wanted = int(made.labels[0, 0])
    again, _ = there_and_back(made.folder, tmp_path, kind, capsys, "--where", f"y0={wanted}")
    part = open_shards(made.folder).where(y0=wanted)
    assert len(again) == len(part) == np.count_nonzero(made.labels[:, 0] == wanted)
    (label,) = again.labels
    assert label.classes == made.manifest.labels[0].classes  # not the largest that is left + 1
    assert all_of(again) == stored(part)


def test_labels_called_as_a_tar_calls_other_things(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", names=("key", "cls"))
    again, _ = there_and_back(made.folder, tmp_path, "webdataset", capsys)
    assert [label.name for label in again.labels] == ["json.key", "cls"]
    key, cls = (again.labels_of(label.name).tolist() for label in again.labels)
    assert sorted(zip(key, cls, strict=True)) == sorted(map(tuple, made.labels.tolist()))


@pytest.mark.parametrize("kind", KINDS)
def test_texts_stay_texts(tmp_path: Path, kind: str, capsys: Output) -> None:
    made: Made = write_dataset(tmp_path / "set", heads=1)
    path = made.folder / "dataset.json"
    texts = ["猫", "a b", 'say "x"', "ü", "5", "<script>", "x,y"]
    quoted = ", ".join(f'"{text}"' for text in (t.replace('"', '\\"') for t in texts))
    path.write_text(path.read_text().replace('"vocabulary": null', f'"vocabulary": [{quoted}]', 1))
    again, _ = there_and_back(made.folder, tmp_path, kind, capsys)
    (label,) = again.labels
    assert label.vocabulary == tuple(texts)
    found = [label.vocabulary[labels[0][1]] for _, labels in all_of(again)]
    assert found == [texts[number] for number in made.labels[:, 0]]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for kind in KINDS:
        code = main(["export", str(made.folder), "--to", kind, "-o", str(tmp_path / "out")])
        assert code == 1
        assert "holds something; name a new folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_finished_does_not_look_whole(
    tmp_path: Path, kind: str, capsys: Output
) -> None:
    made = write_dataset(tmp_path / "set")
    data = bytearray(made.shard(4).read_bytes())
    data[20 * made.layout.stride + 40] ^= 1
    made.shard(4).write_bytes(data)
    assert main(["export", str(made.folder), "--to", kind, "-o", str(tmp_path / "out")]) == 1
    assert "record 20 at byte" in capsys.readouterr().err
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left <= {"images"}


@pytest.mark.parametrize("kind", KINDS)
def test_splits_come_back(tmp_path: Path, kind: str, capsys: Output) -> None:
    names = write_images(tmp_path / "sources", 12, (20, 10))
    rows = [[f"sources/{n}", i, "val" if i % 3 else "hard"] for i, n in enumerate(names)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    options = ConvertOptions(transform=Transform(None, (8, 4)))
    convert(str(table), str(tmp_path / "set"), options, engine="inline")
    again, _ = there_and_back(tmp_path / "set", tmp_path, kind, capsys)
    for split in ("val", "hard"):
        of_split = open_shards(tmp_path / "set", split=split)
        assert sorted(stored(again.where(split=split))) == sorted(stored(of_split))


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_a_label_called_split_is_a_label(tmp_path: Path, kind: str, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", names=("split", "y1"))
    assert main(["export", str(made.folder), "--to", kind, "-o", str(tmp_path / kind)]) == 0
    said = capsys.readouterr().out
    assert "--split-column json" not in said
    back = [str(tmp_path / "again"), "--split-column", "", "--quiet", "--engine", "inline"]
    match = re.search("shardio-convert (.*)", said)
    assert match
    words = [word for word in shlex.split(match[1]) if word != "NEW_FOLDER"]
    assert convert_main([words[0], back[0], *words[1:], *back[1:]]) == 0
    capsys.readouterr()
    found = open_shards(tmp_path / "again").labels_of(
        "json.split" if kind != "parquet" else "split"
    )
    assert sorted(found.tolist()) == sorted(made.labels[:, 0].tolist())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_images_stay_so(
    tmp_path: Path, kind: str, channels: int, capsys: Output
) -> None:
    rows = []
    for number in range(6):
        mode = {1: "L", 4: "RGBA"}[channels]
        noise = np.random.default_rng(number).integers(0, 256, (4, 8, channels), dtype=np.uint8)
        Image.fromarray(noise.squeeze(), mode).save(tmp_path / f"{number}.png")
        rows.append([f"{number}.png", number % 3])
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
    options = ConvertOptions(transform=Transform(None, None, channels=channels))
    convert(str(table), str(tmp_path / "set"), options, engine="inline")
    again, _ = there_and_back(tmp_path / "set", tmp_path, kind, capsys)
    assert again.shape == (4, 8, channels)
    assert all_of(again) == stored(open_shards(tmp_path / "set"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [(), ("--where", "text_length=3")])
def test_texts_of_several_lengths_stay_texts(
    tmp_path: Path, kind: str, part: tuple[str, ...], capsys: Output
) -> None:
    names = write_images(tmp_path / "sources", 8, (8, 4))
    words = ["天地玄", "a", "null", "1e5", "黄 b", "3", "-1", 'x"y']
    rows = [
        [f"sources/{n}", word, i / 3, f"{i} 1 2"]
        for i, (n, word) in enumerate(zip(names, words, strict=True))
    ]
    table = write_csv(tmp_path / "t.csv", ["path", "text", "score", "box"], rows)
    options = ConvertOptions(
        labels=(), float_labels=("score",), vectors=("box",), sequences=(("text", 6),)
    )
    convert(str(table), str(tmp_path / "set"), options, engine="inline")
    again, said = there_and_back(tmp_path / "set", tmp_path, kind, capsys, *part)
    before = open_shards(tmp_path / "set")
    assert "--sequence text:6" in said
    assert [(x.name, x.kind, x.vocabulary) for x in again.labels] == [
        (x.name, x.kind, x.vocabulary) for x in before.labels
    ]
    assert all_of(again) == stored(before.where(text_length=3) if part else before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_cannot_be_written_is_a_line(
    kind: str, tmp_path: Path, capsys: Output
) -> None:
    made = write_dataset(tmp_path / "set")
    assert main(["export", str(made.folder), "--to", kind, "-o", "/proc/none"]) == 1
    assert capsys.readouterr().err == "shardio-read: /proc/none: No such file or directory\n"
