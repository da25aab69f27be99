"""inputs.json: one spelling for each root, and strict reading."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardio.errors import ManifestError
from shardio.format.inputs import ConversionInputs


@pytest.mark.parametrize(
    ("root", "is_url", "said"),
    [
        ("/data/images", False, "/data/images"),
        ("/data/images//", False, "/data/images"),
        ("/data/x/../images", False, "/data/images"),
        ("/", False, "/"),
        ("s3://bucket/images", True, "s3://bucket/images"),
        ("s3://bucket/images/", True, "s3://bucket/images"),
        (os.fsdecode(b"/data/\xff"), False, "/data/\\udcff"),
    ],
)
def test_a_root_is_written_one_way(root: str, is_url: bool, said: str) -> None:
    inputs = ConversionInputs.below(root, is_url=is_url)
    assert inputs.root == said
    assert ConversionInputs.from_json(inputs.to_json(), "inputs.json") == inputs


def test_a_relative_root_is_below_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ConversionInputs.below("images", is_url=False).root == f"{tmp_path}/images"
    assert ConversionInputs.below(".", is_url=False).root == str(tmp_path)


def test_none_stands_for_images_in_the_table() -> None:
    inputs = ConversionInputs(None)
    assert ConversionInputs.from_json(inputs.to_json(), "inputs.json") == inputs


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"root": 1}', b'{"root": "a", "x": 1}', b'{"root": "\\ud800"}']
)
def test_anything_else_is_refused(text: bytes) -> None:
    with pytest.raises(ManifestError, match=r"inputs\.json"):
        ConversionInputs.from_json(text, "inputs.json")
