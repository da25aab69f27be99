"""What `info` says of a set, to people and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from reader.commands.cli import main
from tests.reader.datasets import OTHER_KINDS, write_dataset

Output = pytest.CaptureFixture[str]


def test_json_has_what_the_manifest_says(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", more=OTHER_KINDS)
    assert main(["info", str(made.folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["records"], said["shards"]) == (37, 5)
    assert said["bytes"] == sum(entry.bytes for entry in made.manifest.shards)
    assert said["image"] == {"height": 2, "width": 3, "channels": 3, "dtype": "uint8"}
    assert said["labels"] == json.loads((made.folder / "dataset.json").read_text())["labels"]
    assert said["dataset"]["id"] == made.manifest.fingerprint
    for order in said["orders"].values():
        assert order["memory"] == sum(order["memory_of"].values())


def test_heads_of_one_kind_share_a_line(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    labels = tuple(replace(label, classes=30) for label in made.manifest.labels)
    (made.folder / "dataset.json").write_bytes(replace(made.manifest, labels=labels).to_json())
    assert main(["info", str(made.folder)]) == 0
    assert "labels    y0, y1: 30 classes each\n" in capsys.readouterr().out


def test_metadata_is_shown_and_commands_no_terminal(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    metadata = {"name": "captchas", "licence": "\x1b[2Jgone\x07\u202ereversed"}
    manifest = replace(made.manifest, metadata=metadata)
    (made.folder / "dataset.json").write_bytes(manifest.to_json())
    assert main(["info", str(made.folder)]) == 0
    out = capsys.readouterr().out
    assert "name      captchas\n" in out
    assert "licence   \\x1b[2Jgone\\x07\\u202ereversed\n" in out


def test_an_empty_set_is_described(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set", (0, 0))
    assert main(["info", str(made.folder)]) == 0
    assert "records   0 in 2 shards, 0 bytes\n" in capsys.readouterr().out
    assert main(["export", str(made.folder), "--to", "images", "-o", str(tmp_path / "out")]) == 1
    assert "there are no records to export" in capsys.readouterr().err
