"""Who imports whom, read from the source: the arrows of the design run one way."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("shardio", "converter", "reader")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in FILES}

# A file or folder (left) may import nothing of ours but what stands on the right.
ARROWS = {
    "shardio/cached_property.py": (),
    "shardio/errors.py": (),
    "shardio/permutation.py": (),
    "shardio/format": ("shardio.format", "shardio.errors", "shardio.cached_property"),
    "shardio/storage": ("shardio.storage", "shardio.errors"),
    "shardio": ("shardio",),
    "converter": ("converter", "shardio"),
    "reader": ("reader", "shardio"),
}

# A package of others (left) is imported in these files only.
HEAVY = {
    "tensorflow": ("reader/tensorflow_io.py", "reader/keras_io.py"),
    "keras": ("reader/keras_io.py",),
    "torch": ("reader/torch_io.py",),
    "pyspark": ("converter/engines/spark.py",),
    "PIL": ("converter/imaging.py", "reader/decode.py"),
    "mfusepy": ("reader/fuse_server.py",),
    "hdfs": ("shardio/storage/hdfs.py",),
    "hdfs_native": ("shardio/storage/hdfs_client.py",),
    "pyarrow.fs": ("shardio/storage/hdfs.py",),
    "fsspec": ("shardio/storage/remote.py",),
}
LAZY = (
    "tensorflow",
    "keras",
    "torch",
    "pyspark",
    "PIL",
    "pyarrow",
    "fsspec",
    "hdfs_native",
    "mfusepy",
)


def imports(source: str, file: str = "a.py") -> Iterator[str]:
    """Yield the dotted name of everything that a module imports, wherever it does so.

    What stands under `if TYPE_CHECKING:` is for the type checker and is left out.
    """
    package = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".").split(".")
    if not file.endswith("/__init__.py"):
        package.pop()
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)
        waiting += ast.iter_child_nodes(node)


def is_within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def wrong_arrows(file: str, source: str) -> list[str]:
    allowed = next(
        right for left, right in ARROWS.items() if file == left or file.startswith(f"{left}/")
    )
    return [
        f"{file} imports {name}"
        for name in imports(source, file)
        if is_within(name, PACKAGES) and not is_within(name, allowed)
    ]


def heavy_imports(file: str, source: str) -> list[str]:
    return [
        f"{file} imports {name}"
        for name in imports(source, file)
        for package, files in HEAVY.items()
        if is_within(name, (package,)) and file not in files
    ]


@pytest.mark.parametrize("file", MODULES)
def test_the_arrows_run_one_way(file: str) -> None:
    assert wrong_arrows(file, MODULES[file]) == []


@pytest.mark.parametrize("file", MODULES)
def test_no_property_has_a_lock_that_a_fork_may_find_taken(file: str) -> None:
    assert "functools.cached_property" not in imports(MODULES[file], file)


@pytest.mark.parametrize("file", MODULES)
def test_a_heavy_package_is_imported_in_its_own_file_only(file: str) -> None:
    assert heavy_imports(file, MODULES[file]) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("shardio/errors.py", "import shardio.format"),
        ("shardio/permutation.py", "from shardio import errors"),
        ("shardio/format/a.py", "from shardio.storage import search"),
        ("shardio/format/a.py", "from shardio import storage"),
        ("shardio/format/a.py", "from ..storage import local"),
        ("shardio/format/__init__.py", "from .. import storage"),
        ("shardio/storage/a.py", "def f():\n    import shardio.format.layout as x"),
        ("shardio/a.py", "import converter"),
        ("shardio/storage/a.py", "try:\n    pass\nexcept OSError:\n    from reader import x"),
        ("converter/a.py", "import reader.order"),
        ("converter/engines/a.py", "import importlib\nimportlib.import_module('reader')"),
        ("reader/a.py", "from converter.plan import ShardPlan"),
        ("reader/a.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import converter"),
    ],
)
def test_a_wrong_arrow_is_seen(file: str, source: str) -> None:
    assert len(wrong_arrows(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("reader/fetch.py", "import tensorflow as tf"),
        ("reader/tensorflow_io.py", "import keras"),
        ("reader/keras_io.py", "import torch.utils.data"),
        ("converter/shard.py", "from PIL.Image import open"),
        ("converter/engines/inline.py", "def f():\n    from pyspark.sql import SparkSession"),
        ("shardio/storage/local.py", "from pyarrow import fs"),
        ("shardio/storage/local.py", "import fsspec"),
    ],
)
def test_a_heavy_import_elsewhere_is_seen(file: str, source: str) -> None:
    assert len(heavy_imports(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "reader/fetch.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import keras",
        ),
        ("reader/fetch.py", "import typing\nif typing.TYPE_CHECKING:\n    import converter"),
        ("reader/keras_io.py", "import keras"),
        ("reader/a.py", "import tensorflower, shardiography, converters"),
        ("reader/a.py", "from . import order"),
        ("shardio/format/a.py", "from . import naming"),
    ],
)
def test_what_is_allowed_is_not_seen(file: str, source: str) -> None:
    assert wrong_arrows(file, source) + heavy_imports(file, source) == []


def test_every_file_of_the_packages_is_looked_at() -> None:
    assert len(MODULES) > 30
    assert {"shardio/format/layout.py", "converter/run.py", "reader/order.py"} <= set(MODULES)
    found = {name for file, source in MODULES.items() for name in imports(source, file)}
    assert {"tensorflow", "PIL.Image", "fsspec.core"} <= found


@pytest.mark.parametrize(
    "statement",
    [
        "import converter, reader",
        "import converter.cli, reader.cli",
        "import shardio.storage, shardio.format.manifest, shardio.permutation",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout))
    assert {word for word in statement.replace(",", "").split() if word != "import"} <= loaded
    assert loaded.isdisjoint(LAZY)


@pytest.mark.parametrize("file", MODULES)
def test_a_file_holds_one_noun(file: str) -> None:
    names = file.removesuffix(".py").split("/")
    vague = {"util", "utils", "helper", "helpers", "common", "misc", "tools", "shared"}
    assert vague.isdisjoint(names)
    # Some 250 lines; a file of three hundred holds two nouns.
    assert len(MODULES[file].splitlines()) <= 280
