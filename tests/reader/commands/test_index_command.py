from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reader import open_shards
from reader.commands.cli import main
from tests.reader.datasets import write_dataset
from tests.reader.foreign_files import Foreign

Output = pytest.CaptureFixture[str]


@pytest.fixture
def jpegs(tmp_path: Path) -> Foreign:
    return Foreign(tmp_path / "jpegs")


def test_indexes_are_written_beside_the_shards_once(jpegs: Foreign, capsys: Output) -> None:
    assert main(["index", jpegs.glob, "--beside"]) == 0
    assert capsys.readouterr().out == "5 of 5 indexes written beside the shards, 37 records\n"
    texts = [(jpegs.folder / f"foreign-{i}.tfrecord.idx").read_text() for i in range(5)]
    assert [text.count("\n") for text in texts] == [5, 0, 8, 1, 23]
    jpegs.shard(3).with_name("foreign-3.tfrecord.idx").unlink()
    assert main(["index", jpegs.glob, "--beside"]) == 0
    assert capsys.readouterr().out == (
        "1 of 5 indexes written beside the shards, 37 records; 4 were up to date\n"
    )
    assert len(open_shards(jpegs.glob)) == 37


def test_they_are_made_ahead_where_open_shards_finds_them(
    jpegs: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "shardio" / "index"
    assert main(["index", jpegs.glob]) == 0
    assert capsys.readouterr().out == f"5 of 5 indexes written to {cache}, 37 records\n"
    made = {path: path.stat().st_ino for path in cache.iterdir()}
    assert len(open_shards(jpegs.glob)) == 37
    assert {path: path.stat().st_ino for path in cache.iterdir()} == made
    assert not list(jpegs.folder.glob("*.idx"))
    assert main(["index", jpegs.glob]) == 0
    assert "0 of 5 indexes written to" in capsys.readouterr().out


def test_they_go_to_another_folder(jpegs: Foreign, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "new" / "indexes"
    assert main(["index", jpegs.glob, "--out", str(out)]) == 0
    assert f"5 of 5 indexes written to {out}, 37 records" in capsys.readouterr().out
    assert len(list(out.iterdir())) == 5
    assert not list(jpegs.folder.glob("*.idx"))


def test_two_shards_of_one_name_cannot_share_a_folder(
    jpegs: Foreign, tmp_path: Path, capsys: Output
) -> None:
    shutil.copytree(jpegs.folder, tmp_path / "copy")
    with pytest.raises(SystemExit) as caught:
        main(["index", jpegs.glob, f"{tmp_path}/copy/*", "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert "distinct names; there are several foreign-0.tfrecord" in capsys.readouterr().err


def test_our_own_shards_get_one_too_and_stay_a_dataset(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path)
    with pytest.raises(SystemExit):
        main(["index", str(tmp_path)])
    assert "has a dataset.json, and needs no indexes here" in capsys.readouterr().err
    assert main(["index", str(tmp_path), "--beside"]) == 0
    assert "5 of 5 indexes" in capsys.readouterr().out
    stride = made.layout.stride
    text = "".join(f"{n * stride} {stride}\n" for n in range(5))
    assert made.shard(0).with_name(made.shard(0).name + ".idx").read_text() == text
    for source in (tmp_path, made.glob, f"{tmp_path}/train-*"):
        assert len(open_shards(source)) == 37


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.write_bytes(b"nothing of that kind"), "this is no TFRecord file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "was cut"),
        (lambda path: path.unlink(), "no shards match"),
    ],
)
def test_a_bad_shard_is_named(jpegs: Foreign, capsys: Output, change: object, words: str) -> None:
    change(jpegs.shard(4))  # type: ignore[operator]
    assert main(["index", str(jpegs.shard(4))]) == 1
    error = capsys.readouterr().err
    assert str(jpegs.shard(4)) in error
    assert words in error
    assert not list(jpegs.folder.glob("*4*idx*"))


def test_info_and_verify_take_shards_of_others(jpegs: Foreign, capsys: Output) -> None:
    assert main(["info", jpegs.glob]) == 0
    said = capsys.readouterr().out
    assert "37 in 4 shards" in said
    assert "images    40x24 RGB, uint8; some " in said
    assert "features  encoded images from 'image/encoded', each record found by index" in said
    assert "label     image/class/label: number of classes not known" in said
    assert main(["info", jpegs.glob, "--labels", "image/height"]) == 0
    assert "label     image/height: number" in capsys.readouterr().out
    assert main(["info", jpegs.glob, "--labels", "", "--image", "image/encoded"]) == 0
    assert "label     none" in capsys.readouterr().out
    assert main(["verify", jpegs.glob]) == 0
    assert "37 records in 4 shards are whole: CRCs" in capsys.readouterr().out
    data = bytearray(jpegs.shard(4).read_bytes())
    data[jpegs.offsets[20] + 300] ^= 1
    jpegs.shard(4).write_bytes(data)
    assert main(["verify", jpegs.glob]) == 1
    said = capsys.readouterr().err
    assert f"{jpegs.shard(4)}: record 6 at byte {jpegs.offsets[20]}: the CRC" in said
    assert "1 of 4 shards is damaged" in said
