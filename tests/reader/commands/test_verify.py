"""`verify` names every damaged record and every bad shard, and what dataset.json says wrongly."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converter import ConvertOptions, convert
from reader import open_shards
from reader.commands.cli import main
from reader.commands.verification import Fault, verify
from reader.opening.described import SetOptions
from reader.opening.sound_parts import open_sound_parts
from shardio.format.encoding import Encoding
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import Made, write_dataset
from tests.reader.foreign_files import Foreign

Output = pytest.CaptureFixture[str]
COUNTS = (5, 0, 8, 1, 23)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_dataset(tmp_path / "set", COUNTS)


def faults_of(folder: Path, **options: Any) -> list[Fault]:
    return verify(open_sound_parts(folder, None, SetOptions(**options)), lambda count: None).faults


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 16
    path.write_bytes(data)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_dataset(tmp_path_factory.mktemp("verify") / "set", COUNTS)


@settings(deadline=None)
@given(st.sets(st.integers(0, sum(COUNTS) - 1)), st.booleans(), st.integers(0, 2**30))
def test_every_damaged_record_is_named_and_no_other(
    shared: Made, records: set[int], with_manifest: bool, seed: int
) -> None:
    copy = shared.folder.parent / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(shared.folder, copy)
    stride, ends = shared.layout.stride, np.cumsum(COUNTS)
    places = np.random.default_rng(seed).integers(12, stride, len(records)).tolist()
    wanted = []
    for number, at in zip(sorted(records), places, strict=True):
        shard = int(np.searchsorted(ends, number, side="right"))
        place = number - int(ends[shard]) + COUNTS[shard]
        path = copy / shared.manifest.shards[shard].file
        flip(path, place * stride + at)
        wanted.append((str(path), place))
    options: dict[str, Any] = {}
    # Without a manifest the first record tells the layout.
    if not with_manifest and not records & {0, 5, 13, 14}:
        (copy / "dataset.json").unlink()
        options = {"shape": (2, 3, 3)}
    faults = faults_of(copy, **options)
    assert [(fault.path, fault.record) for fault in faults] == wanted
    assert {fault.kind for fault in faults} <= {"damaged"}
    for fault in faults:
        assert fault.reason.startswith(f"{fault.path}: record {fault.record} at byte ")


def test_all_kinds_of_faults_at_once(made: Made, capsys: Output) -> None:
    first, _, third, fourth, fifth = (made.shard(i) for i in range(5))
    first.write_bytes(first.read_bytes()[:-1])
    fourth.unlink()
    stride = made.layout.stride
    for record in (2, 3, 4, 6):
        flip(third, record * stride + 40)
    flip(fifth, 22 * stride + 5)
    assert main(["verify", str(made.folder)]) == 1
    out, err = capsys.readouterr()
    *lines, verdict, repair = err.splitlines()
    assert out == ""
    assert any(re.match(rf"{first} was cut: it has \d+ bytes", line) for line in lines)
    assert any(line.startswith(f"{fourth} is missing") for line in lines)
    assert any(re.match(f"{third}: record 2 at byte .*the CRC of its data", line) for line in lines)
    assert any(re.match(f"{third}: record 6 at byte", line) for line in lines)
    assert any(re.match(f"{fifth}: record 22 at byte .*its length", line) for line in lines)
    assert verdict == "4 of 5 shards are damaged or missing"
    assert repair.endswith(f"shardio-convert TABLE {made.folder} --repair")


def test_json_has_all_of_it(made: Made, capsys: Output) -> None:
    assert main(["verify", str(made.folder), "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["faults"] == []
    assert (whole["whole"], whole["shards"], whole["records"]) == (True, 5, 37)
    flip(made.shard(2), 50)
    assert main(["verify", str(made.folder), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    (fault,) = said["faults"]
    assert (fault["kind"], fault["path"], fault["record"]) == ("damaged", str(made.shard(2)), 0)
    assert not said["whole"]
    assert said["repair"].endswith("--repair")


def change(made: Made, old: str, new: str) -> None:
    path = made.folder / "dataset.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_another_name_of_a_head_is_told_once_a_shard(made: Made) -> None:
    change(made, '"name": "y1"', '"name": "z1"')
    faults = faults_of(made.folder)
    assert [fault.path for fault in faults] == [str(made.shard(i)) for i in (0, 2, 3, 4)]
    for fault in faults:
        assert "its records have the labels y0, y1 and images of 18 bytes" in fault.reason
        assert "dataset.json says the labels y0, z1 and" in fault.reason


def test_fewer_classes_than_there_are(made: Made) -> None:
    change(made, '"classes": 30', '"classes": 11')
    wrong = np.flatnonzero(made.labels[:, 1] >= 11)
    faults = faults_of(made.folder)
    assert len(faults) == len(wrong) > 5
    assert all("but it has 11 classes" in fault.reason for fault in faults)


def test_another_seed(made: Made, capsys: Output) -> None:
    change(made, '"seed": 0', '"seed": 3')
    assert main(["verify", str(made.folder)]) == 1
    err = capsys.readouterr().err
    assert "rows are not in the order of seed 3, which dataset.json names" in err
    assert "--repair" not in err  # which compares the seed, too


def test_shards_that_were_exchanged(made: Made) -> None:
    """Names, sizes and digests may agree with a manifest that was changed as well."""
    text = (made.folder / "dataset.json").read_text()
    manifest = json.loads(text)
    second, third = manifest["shards"][2], manifest["shards"][4]
    a, b = made.folder / second["file"], made.folder / third["file"]
    whole = a.read_bytes(), b.read_bytes()
    a.write_bytes(whole[1])
    b.write_bytes(whole[0])
    for name in set(second) - {"file"}:
        second[name], third[name] = third[name], second[name]
    (made.folder / "dataset.json").write_text(json.dumps(manifest))
    assert {fault.kind for fault in faults_of(made.folder)} == {"order"}


@pytest.mark.parametrize("rejects", [0, 1])
def test_the_order_of_several_splits(tmp_path: Path, rejects: int) -> None:
    """Where images were rejected their splits are not known, and nothing is said."""
    names = [*write_images(tmp_path / "images", 40, (60, 40)), *["none.png"] * rejects]
    rows = [[f"images/{name}", n % 9, "val" if n % 3 else "train"] for n, name in enumerate(names)]
    table = write_csv(tmp_path / "labels.csv", ["path", "y0", "split"], rows)
    options = ConvertOptions(transform=Transform(None, (16, 8)), shards=6, seed=5)
    out = tmp_path / "out"
    convert(str(table), str(out), options, engine="inline", max_rejects="1")
    found = open_sound_parts(out, "*", SetOptions())
    assert verify(found, lambda count: None).faults == []
    path = out / "dataset.json"
    path.write_text(path.read_text().replace('"seed": 5', '"seed": 6'))
    found = open_sound_parts(out, "*", SetOptions())
    kinds = {fault.kind for fault in verify(found, lambda count: None).faults}
    assert kinds == (set() if rejects else {"order"})


@pytest.mark.parametrize("kind", ["png", "jpeg:90"])
def test_encoded_images(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names = write_images(tmp_path / "images", 30, (60, 40))
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"images/{name}", 1] for name in names])
    out = tmp_path / "out"
    options = ConvertOptions(transform=Transform(None, (16, 8)), shards=4, encoding=Encoding(kind))
    convert(str(table), str(out), options, engine="inline")
    assert faults_of(out) == []
    shards = open_shards(out).shards
    first, second, third, fourth = (Path(shard.path) for shard in shards)
    index = [int(line.split()[0]) for line in Path(f"{first}.idx").read_text().splitlines()]
    flip(first, index[2] + 60)
    flip(first, index[5] + 60)
    second.write_bytes(second.read_bytes()[:-3])
    third.unlink()
    Path(f"{fourth}.idx").unlink()
    faults = faults_of(out)
    found = [(fault.kind, fault.path, fault.record) for fault in faults]
    assert sorted(found, key=str) == sorted(
        [
            ("damaged", str(first), 2),
            ("damaged", str(first), 5),
            ("shard", str(second), None),
            ("shard", str(third), None),
            ("index", str(fourth), None),
        ],
        key=str,
    )


def test_shards_of_other_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    foreign = Foreign(tmp_path / "foreign")
    assert verify(open_sound_parts(foreign.glob, None, SetOptions()), lambda n: None).faults == []
    cut, whole = foreign.shard(0), foreign.shard(4)
    cut.write_bytes(cut.read_bytes()[:-7])
    flip(whole, whole.stat().st_size // 2)
    faults = verify(open_sound_parts(foreign.glob, None, SetOptions()), lambda n: None).faults
    assert {fault.path for fault in faults} == {str(cut), str(whole)}


def test_what_does_not_belong_together_is_said(tmp_path: Path, capsys: Output) -> None:
    a, b = write_dataset(tmp_path / "a"), write_dataset(tmp_path / "b", heads=1)
    for made, name in ((a, "train-00000-of-00002"), (b, "train-00001-of-00002")):
        target = tmp_path / "mixed" / f"{name}.tfrecord"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(made.shard(4).read_bytes())
    assert main(["verify", str(tmp_path / "mixed"), "--shape", "2x3x3"]) == 1
    assert "it was cut, or belongs to another dataset" in capsys.readouterr().err


class TestSubset:
    def test_the_parts_are_the_whole(self, made: Made, capsys: Output) -> None:
        said = []
        for part in range(1, 4):
            assert main(["verify", str(made.folder), "--subset", f"{part}/3", "--json"]) == 0
            said.append(json.loads(capsys.readouterr().out))
        assert sum(part["shards"] for part in said) == 5
        assert sum(part["records"] for part in said) == 37
        assert all(part["part"] for part in said)

    def test_a_part_is_not_told_as_the_whole(self, made: Made, capsys: Output) -> None:
        assert main(["verify", str(made.folder), "--subset", "1/3"]) == 0
        assert " in 2 shards of 5 are whole: " in capsys.readouterr().out
        assert main(["verify", str(made.folder)]) == 0
        assert "37 records in 5 shards are whole: " in capsys.readouterr().out

    def test_damage_is_found_in_the_part_that_has_it(self, made: Made) -> None:
        flip(made.shard(2), 50)
        codes = [main(["verify", str(made.folder), "--subset", f"{k}/5"]) for k in range(1, 6)]
        assert codes == [0, 0, 1, 0, 0]

    def test_a_share_takes_one_shard_at_least(self, made: Made, capsys: Output) -> None:
        for text, wanted in (("1%", 1), ("40%", 2), ("100%", 5)):
            assert main(["verify", str(made.folder), "--subset", text, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["shards"] == wanted

    @pytest.mark.parametrize("text", ["0/5", "6/5", "1/0", "5", "0%", "101%", "x", "1/5%", "-1/5"])
    def test_what_is_no_subset(self, made: Made, text: str, capsys: Output) -> None:
        with pytest.raises(SystemExit):
            main(["verify", str(made.folder), f"--subset={text}"])
        assert "a subset is like 1/5 or 5%" in capsys.readouterr().err
