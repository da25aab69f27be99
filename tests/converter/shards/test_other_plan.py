"""Whatever differs from the plan of a folder is named, with the way to go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from converter import ConvertOptions, convert
from converter.engines.protocol import NoProgress
from converter.imaging import pillow as imaging
from converter.table.cells.splits import SplitShares
from shardio.errors import OutputError
from shardio.format.encoding import Encoding
from shardio.format.manifest import Versions
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=2)
CHANGES: dict[str, dict[str, Any]] = {
    'transform.resample was "bicubic", now it is "box"': {
        "transform": Transform(None, (4, 2), "box")
    },
    'encoding was "raw", now it is "png"': {"encoding": Encoding("png")},
    "seed was 0, now it is 5": {"seed": 5},
    "labels[0].classes was 6, now it is 9": {"classes": 9},
    "splits[0].shards was 2, now it is 3": {"shards": 3},
    "strict_decode was false, now it is true": {"strict_decode": True},
    "split": {"splits": SplitShares.parse("train=0.5,val=0.5")},
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    names = write_images(tmp_path / "images", 6, (8, 4))
    rows = [[f"images/{name}", n] for n, name in enumerate(names)]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


class StopEarly(NoProgress):
    told = 0

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        self.told += 1
        if self.told == 2:
            raise KeyboardInterrupt


@pytest.fixture(params=["unfinished", "complete"])
def out(request: pytest.FixtureRequest, table: Path, tmp_path: Path) -> Path:
    made = tmp_path / "out"
    if request.param == "complete":
        convert(str(table), str(made), OPTIONS, engine="inline")
        return made
    with pytest.raises(KeyboardInterrupt):
        convert(str(table), str(made), OPTIONS, engine="inline", progress=StopEarly())
    return made


def refused(table: Path, out: Path, options: ConvertOptions = OPTIONS) -> str:
    with pytest.raises(OutputError) as caught:
        convert(str(table), str(out), options, engine="inline")
    return str(caught.value)


@pytest.mark.parametrize("line", CHANGES)
def test_another_option_is_named_with_both_values(table: Path, out: Path, line: str) -> None:
    said = refused(table, out, replace(OPTIONS, **CHANGES[line]))
    assert f"\n  {line}" in said or (line == "split" and "splits" in said)
    assert "--overwrite" in said


def test_two_options_are_both_named(table: Path, out: Path) -> None:
    said = refused(table, out, replace(OPTIONS, seed=5, strict_decode=True))
    assert "\n  seed was 0, now it is 5" in said
    assert "\n  strict_decode was false, now it is true" in said


def test_another_table_is_named(table: Path, out: Path) -> None:
    with table.open("a") as file:
        file.write("images/0001.png,0\n")
    said = refused(table, out)
    assert "table" in said.partition("\n")[2]


@pytest.mark.parametrize(
    ("version", "package"), [("9.5.0.post2", "pillow-simd"), ("11.0.0", "pillow")]
)
def test_another_pillow_is_named_with_the_way_to_go_on(
    table: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: str,
    package: str,
) -> None:
    now = imaging.versions()
    monkeypatch.setattr(imaging, "versions", lambda: Versions(version, now.libjpeg))
    theirs = out.parent / "theirs"
    if (out / "dataset.json").exists():
        convert(str(table), str(theirs), OPTIONS, engine="inline")
    else:
        with pytest.raises(KeyboardInterrupt):
            convert(str(table), str(theirs), OPTIONS, engine="inline", progress=StopEarly())
    monkeypatch.undo()
    said = refused(table, theirs)
    assert "other options" not in said
    assert f"versions.pillow was {json.dumps(version)}, now it is {json.dumps(now.pillow)}" in said
    assert f"(pip install --force-reinstall --no-deps {package}=={version})" in said
    assert "only what decodes the images is another version" in said
    assert "--overwrite makes all of it again" in said
    assert ("It can be read as it is" in said) == (out / "dataset.json").exists()
