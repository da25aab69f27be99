"""`shardio-read croissant`: what it says is true, and MLCommons' own library takes it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from converter import ConvertOptions, convert
from reader import open_shards
from reader.commands.cli import main
from shardio.format.encoding import Encoding
from shardio.format.naming import TIMES
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import OTHER_KINDS, write_dataset

Output = pytest.CaptureFixture[str]
TEXTS = ["cat", "dog", '猫 "<script>\x1b']
# All that metadata may say.
SAID = {
    "name": "digits", "description": "of <people>", "licence": "CC0-1.0", "url": "https://example.com",
    "creator": "somebody", "date_published": "2026-01-31", "citation": "@misc{digits}",
    "version": "1.0.0", "publisher": "some group", "keywords": "digits, text", "more": "else",
}  # fmt: skip
# A program for the environment of .ci/croissant.
LOAD = """
import json, sys
import mlcroissant
found = mlcroissant.Dataset(sys.argv[1])
issues = found.metadata.ctx.issues
assert str(found.metadata.ctx.conforms_to.value).endswith("/1.1")
plain = lambda value: value.decode() if isinstance(value, bytes) else value
sets = {
    name: [{key: plain(value) for key, value in record.items()} for record in found.records(name)]
    for name in sys.argv[2:]
}
said = {"errors": sorted(issues.errors), "warnings": sorted(issues.warnings)}
json.dump({**said, **sets}, sys.stdout)
"""


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set with two splits, texts, floats, vectors, names that need care, and a reject."""
    folder = tmp_path_factory.mktemp("croissant")
    names = [*write_images(folder / "images", 20, (60, 40)), "none.png"]
    labels = ("y0", "shard", "a b/#%é")
    rows = [
        [f"images/{name}", *[TEXTS[n % 3]] * 3, n / 8, "1 2 3", "train" if n % 4 else "val"]
        for n, name in enumerate(names)
    ]
    table = write_csv(folder / "t.csv", ["path", *labels, "score", "ids", "split"], rows)
    options = ConvertOptions(
        transform=Transform(None, (16, 8)),
        shards=5,
        labels=labels,
        text_labels=True,
        float_labels=("score",),
        vectors=("ids",),
    )
    convert(
        str(table), str(folder / "set"), options, engine="inline", max_rejects="1", metadata=SAID
    )
    return folder / "set"


def described(folder: Path, file: Path) -> dict[str, Any]:
    assert main(["croissant", str(folder), "-o", str(file)]) == 0
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a document but its context and records."""
    if isinstance(value, dict):
        yield value
        for name, inner in value.items():
            if name not in ("@context", "data"):
                yield from nodes(inner)
    if isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def test_each_file_is_where_it_is_said_to_be(converted: Path, tmp_path: Path) -> None:
    found = described(converted, tmp_path / "else" / "croissant.json")
    files = [node for node in nodes(found) if node.get("@type") == "cr:FileObject"]
    assert {file["name"] for file in files} == set(os.listdir(converted)) - {TIMES}
    for file in files:
        data = (tmp_path / "else" / file["contentUrl"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"


def test_references_lead_somewhere(converted: Path, tmp_path: Path) -> None:
    found = described(converted, tmp_path / "croissant.json")
    known = [node["@id"] for node in nodes(found) if "@type" in node and "@id" in node]
    assert len(known) == len(set(known))
    for node in nodes(found):
        if set(node) == {"@id"}:
            assert node["@id"] in known
    for record_set in found["recordSet"]:
        names = {field["@id"] for field in record_set["field"]}
        assert all(set(record) == names for record in record_set.get("data", []))


def test_metadata_are_what_was_said(converted: Path, tmp_path: Path) -> None:
    found = described(converted, tmp_path / "croissant.json")
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert (found["name"], found["description"]) == ("digits", "of <people>")
    assert (found["license"], found["citeAs"]) == ("CC0-1.0", "@misc{digits}")
    assert found["keywords"] == ["digits", "text"]
    assert found["creator"] == {"@type": "sc:Person", "name": "somebody"}


def test_what_is_not_said_is_asked_for(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    found = described(made.folder, tmp_path / "croissant.json")
    assert found["name"] == "set"
    assert found["description"].startswith("37 images of 3x2 pixels, RGB; crop 186,0,300,30")
    said = capsys.readouterr().out
    assert "asks for description, licence, url, creator, date_published too" in said


def test_the_same_set_has_the_same_description(converted: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        described(converted, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_no_whole_dataset_is_refused(tmp_path: Path, capsys: Output) -> None:
    made = write_dataset(tmp_path / "set")
    output = str(tmp_path / "croissant.json")
    assert main(["croissant", str(made.shard(0)), str(made.shard(2)), "-o", output]) == 1
    assert "2 of 5 shards in 1 folder; name the folder" in capsys.readouterr().err
    write_dataset(tmp_path / "other", seed=1)
    assert main(["croissant", str(made.folder), str(tmp_path / "other"), "-o", output]) == 1
    assert "one dataset; name one folder" in capsys.readouterr().err
    (made.folder / "dataset.json").unlink()
    assert main(["croissant", str(made.folder), "-o", output]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not Path(output).exists()


def test_another_table_and_a_bad_date_are_refused(tmp_path: Path, capsys: Output) -> None:
    names = write_images(tmp_path / "images", 3, (60, 40))
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"images/{x}", 0] for x in names])
    options = ConvertOptions(transform=Transform(None, (4, 4)))
    convert(str(table), str(tmp_path / "set"), options, engine="inline")
    records = tmp_path / "set" / "records.parquet"
    before = records.read_bytes()
    records.write_bytes(before[:-1] + b"x")
    output = str(tmp_path / "croissant.json")
    assert main(["croissant", str(tmp_path / "set"), "-o", output]) == 1
    assert "is not the one that dataset.json names" in capsys.readouterr().err
    records.write_bytes(before)
    manifest = tmp_path / "set" / "dataset.json"
    text = manifest.read_text()
    said = '"version": 1,\n "metadata": {"date_published": "yesterday"},'
    manifest.write_text(text.replace('"version": 1,', said, 1))
    assert main(["croissant", str(tmp_path / "set"), "-o", output]) == 1
    assert "date_published must be like 2026-11-29, not 'yesterday'" in capsys.readouterr().err


def loaded(file: Path, *record_sets: str) -> dict[str, Any]:
    """Return what MLCommons' library finds in a description, and what it has to say of it."""
    python = Path(sys.prefix) / "croissant" / "bin" / "python"
    if not python.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("mlcroissant is missing; see .ci/croissant")
        pytest.skip("mlcroissant is missing; see .ci/croissant")
    done = subprocess.run(
        [python, "-c", LOAD, str(file), *record_sets], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return {"errors": [done.stderr]}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_the_library_of_croissant_takes_it(converted: Path, tmp_path: Path) -> None:
    described(converted, tmp_path / "croissant.json")
    found = loaded(tmp_path / "croissant.json", "splits", "classes", "origins")
    assert (found["errors"], found["warnings"]) == ([], [])
    assert [record["splits/name"] for record in found["splits"]] == ["train", "val"]
    assert [record["classes/name"] for record in found["classes"]] == TEXTS
    rows = open_shards(converted, "*").table().to_pylist()
    labels = {"y0": "y0", "label.shard": "label.shard", "a%20b%2F%23%25%C3%A9": "a b/#%é"}
    names = dict.fromkeys(["split", "shard", "number", "row", "path", "score", "ids"])
    wanted = {**{name: name for name in names}, **labels}
    assert [
        {column: record[f"origins/{name}"] for name, column in wanted.items()}
        for record in found["origins"]
    ] == rows


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_it_takes_a_plain_one_too(tmp_path: Path, encoding: str) -> None:
    if encoding == "raw":
        folder = write_dataset(tmp_path / "set", more=OTHER_KINDS).folder
    else:
        names = write_images(tmp_path / "images", 3, (60, 40))
        table = write_csv(tmp_path / "t.csv", ["path", "y0"], [[f"images/{x}", 0] for x in names])
        folder = tmp_path / "set"
        options = ConvertOptions(transform=Transform(None, (4, 4)), encoding=Encoding("png"))
        convert(str(table), str(folder), options, engine="inline")
    text = json.dumps(described(folder, tmp_path / "croissant.json"))
    found = loaded(tmp_path / "croissant.json", "splits")
    assert found["errors"] == []
    # What is not said is no more than a warning.
    assert all(" is recommended" in line for line in found["warnings"]), found["warnings"]
    (tmp_path / "bad.json").write_text(text.replace('"sha256"', '"sha25"', 1))
    assert loaded(tmp_path / "bad.json", "splits")["errors"]
