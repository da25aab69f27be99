from __future__ import annotations

import inspect
import io
import pydoc
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from reader import BatchOptions, ShardSet
from reader.batching.keywords import BatchKeywords
from tests.layers import ROOT

FACES = [
    ShardSet.options,
    ShardSet.batches,
    ShardSet.to_tf_dataset,
    ShardSet.to_keras,
    ShardSet.to_torch,
]
TYPES = get_type_hints(BatchOptions)
DEFAULTS = {field.name: field.default for field in fields(BatchOptions)}

face = pytest.mark.parametrize("face", FACES, ids=lambda face: face.__name__)


def test_the_typed_keywords_are_the_fields() -> None:
    assert {"batch_size": int, **get_type_hints(BatchKeywords)} == TYPES


@face
def test_the_signature_has_every_field_with_its_type_and_default(face: Callable[..., Any]) -> None:
    parameters = dict(inspect.signature(face).parameters)
    assert parameters.pop("self").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    if face is ShardSet.to_torch:
        assert parameters.pop("channels_first").default is False
    if face in (ShardSet.to_tf_dataset, ShardSet.to_keras):
        assert parameters.pop("start_step").default == 0
    assert list(parameters) == list(TYPES)
    assert {name: each.default for name, each in parameters.items()} == DEFAULTS
    assert parameters.pop("batch_size").kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {each.kind for each in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert {name: each.annotation for name, each in parameters.items()} == {
        name: TYPES[name] for name in parameters
    }


@face
def test_the_signature_is_what_python_calls(face: Callable[..., Any]) -> None:
    code = inspect.unwrap(face)
    assert (code.__defaults__, code.__code__.co_argcount) == ((DEFAULTS["batch_size"],), 2)


@face
def test_help_shows_the_options(face: Callable[..., Any]) -> None:
    shown = io.StringIO()
    pydoc.Helper(output=shown).help(face)
    text = shown.getvalue()
    assert "shuffle: Literal['exact', 'window', 'none'] = 'exact'" in text
    assert "memory: int | str | None = None" in text
    assert "**options" not in text


def test_every_field_of_the_options_is_documented() -> None:
    from converter import ConvertOptions

    for options in (BatchOptions, ConvertOptions):
        source = inspect.getsource(options)
        for field in fields(options):
            documented = rf'^    {field.name}: .*\n    """\S'
            assert re.search(documented, source, re.MULTILINE), field.name


def test_options_are_given_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        BatchOptions(64)  # type: ignore[call-arg]


_CALLS = """\
from reader import open_shards

shards = open_shards("shards")
shards.batches(64, shuffle="window", worker=(0, 2), memory="1GB", epochs=None)
shards.to_torch(batch_size=64, channels_first=True, dtype="uint8")
shards.batches(64, shufle="window")  # line 6
shards.batches(64, shuffle="exakt")
shards.batches("64")
shards.to_torch(one_hot="yes")
shards.to_tf_dataset(batchsize=64)
shards.to_keras(channels_first=True)
shards.options(worker=3)
"""


def test_a_type_checker_finds_wrong_names_and_types(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "calls.py").write_text(_CALLS)
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
    command += ["--cache-dir", str(tmp_path / "cache"), str(tmp_path / "calls.py")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    found = re.findall(r"calls\.py:(\d+): error: .*\[([a-z-]+)\]$", result.stdout, re.MULTILINE)
    assert found == [
        ("6", "call-arg"),
        ("7", "arg-type"),
        ("8", "arg-type"),
        ("9", "arg-type"),
        ("10", "call-arg"),
        ("11", "call-arg"),
        ("12", "arg-type"),
    ], result.stdout + result.stderr
