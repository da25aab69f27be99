"""What is said about a dataset: in dataset.json, and nothing else depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from converter import ConvertOptions, convert
from converter.command.cli import main
from reader import open_shards
from shardio.errors import OptionError
from shardio.format.manifest import Manifest
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=2)
SAID = {"name": "digits", "licence": "CC0", "url": "https://example.org/?a=b", "说明": ""}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    names = write_images(tmp_path / "images", 5, (8, 4))
    rows = [[f"images/{name}", n] for n, name in enumerate(names)]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


def run(table: Path, out: Path, **how: object) -> Manifest:
    convert(str(table), str(out), OPTIONS, engine="inline", **how)  # type: ignore[arg-type]
    return Manifest.from_json((out / "dataset.json").read_bytes())


def test_only_the_manifest_has_it(table: Path, tmp_path: Path) -> None:
    plain, said = tmp_path / "plain", tmp_path / "said"
    before, after = run(table, plain), run(table, said, metadata=SAID)
    assert (before.metadata, after.metadata) == ({}, SAID)
    assert before.fingerprint == after.fingerprint
    assert before.plan_sha256 == after.plan_sha256
    assert open_shards(plain).fingerprint == open_shards(said).fingerprint
    differ = {n for n, data in contents(plain).items() if contents(said)[n] != data}
    assert differ == {"dataset.json"}


def test_a_finished_set_keeps_it_or_takes_another(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(table, out, metadata=SAID)
    before = contents(out)
    assert run(table, out).metadata == SAID
    assert run(table, out, repair=True).metadata == SAID
    assert contents(out) == before
    assert run(table, out, metadata={"name": "x"}).metadata == {"name": "x"}
    assert run(table, out, metadata={}).metadata == {}
    assert run(table, out, metadata=SAID, repair=True).metadata == SAID
    assert contents(out) == before
    assert run(table, out, overwrite=True).metadata == {}


def test_a_repair_keeps_it_or_takes_another(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for said, kept in ((None, SAID), ({"name": "x"}, {"name": "x"})):
        run(table, out, metadata=SAID, overwrite=True)
        (out / "train-00000-of-00002.tfrecord").unlink()
        assert run(table, out, repair=True, metadata=said).metadata == kept
        assert not (out / ".shardio").exists()


@pytest.mark.parametrize(
    ("wrong", "named"), [({"": "x"}, "needs a name"), ({"a": "\ud800"}, "UTF-8")]
)
def test_what_json_cannot_hold_is_refused(
    table: Path, tmp_path: Path, wrong: dict[str, str], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        run(table, tmp_path / "out", metadata=wrong)
    assert not (tmp_path / "out").exists()


def test_the_command_line_takes_several(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = [str(table), str(out), "--crop=none", "--size=4x2", "--engine=inline"]
    said = [f"--metadata={name}={value}" for name, value in SAID.items()]
    assert main([*arguments, *said]) == 0
    assert Manifest.from_json((out / "dataset.json").read_bytes()).metadata == SAID
    with pytest.raises(SystemExit):
        main([*arguments, "--metadata=CC0"])
    assert "metadata is NAME=VALUE, like licence=CC0, not 'CC0'" in capsys.readouterr().err
