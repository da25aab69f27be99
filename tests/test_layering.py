"""Who imports whom, read from the source: the arrows between rooms run one way."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.layers import (
    HEAVY,
    PACKAGES,
    ROOMS,
    ROOT,
    Source,
    circles,
    imports,
    is_within,
    lines_of_code,
)

SOURCE = Source()


def test_the_arrows_between_rooms_are_those_of_the_law() -> None:
    assert SOURCE.wrong_arrows() == []


def test_no_circle_of_modules_or_rooms() -> None:
    assert circles(SOURCE.arrows) == []
    assert circles(SOURCE.rooms) == []
    assert circles(ROOMS) == []


def test_every_room_stands_in_the_law_and_every_line_of_the_law_is_used() -> None:
    assert {SOURCE.room_of(module) for module in SOURCE.modules} == set(ROOMS)
    unused = [
        f"{room} -> {target}"
        for room, targets in ROOMS.items()
        for target in targets
        if not any(is_within(used, target) for used in SOURCE.rooms[room])
    ]
    assert unused == []


def test_a_heavy_package_is_imported_in_its_own_rooms_only() -> None:
    assert SOURCE.heavy_imports() == []


def test_nobody_asks_which_source_or_layout_it_is() -> None:
    assert SOURCE.asked_classes() == []


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return isinstance(x, int | RecordLayout)",
        "def f(x):\n    return issubclass(x, (core_fetch.CoreFetcher, str))",
        "def f(x):\n    match x:\n        case IndexedRecords():\n            return 1",
    ],
)
def test_who_asks_for_a_source_or_layout_is_found(tmp_path: Path, text: str) -> None:
    assert len(added(tmp_path, "reader/opening/join.py", text).asked_classes()) == 1


@pytest.mark.parametrize("file", sorted({*SOURCE.texts} - {"shardio/cached_property.py"}))
def test_no_lock_is_held_while_a_property_is_computed(file: str) -> None:
    # Python 3.11's has one for all instances, which a fork may copy while it is taken.
    assert "functools.cached_property" not in imports(SOURCE.texts[file], file)


def added(tmp_path: Path, file: str, text: str) -> Source:
    """Return the source with one more piece of code at the end of a file, in a copy."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text("utf-8") if path.exists() else "") + f"\n\n{text}\n", "utf-8")
    return Source(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("shardio/errors.py", "import shardio.format"),
        ("shardio/permutation.py", "from shardio import errors"),
        ("shardio/format/layout.py", "from shardio.storage import search"),
        ("shardio/format/layout.py", "from ..storage import local"),
        ("shardio/storage/local.py", "def f():\n    import shardio.format.layout as x"),
        ("shardio/sizes.py", "import converter"),
        ("shardio/storage/local.py", "try:\n    pass\nexcept OSError:\n    from reader import x"),
        ("converter/run.py", "import reader.order"),
        ("converter/table/table.py", "from converter.sources.archives import Archives"),
        ("converter/table/scratch.py", "import converter.table.read_table"),
        ("converter/table/cells/splits.py", "from converter.table.samples import records"),
        ("converter/engines/inline.py", "import importlib\nimportlib.import_module('reader')"),
        ("reader/dataset.py", "from reader.shardset import ShardSet"),
        ("reader/fetch/pool.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
         "    from reader.cache.copies import ShardCopies"),
        ("reader/files/open_files.py", "def f():\n    from reader.batching import rank"),
        ("reader/attic/a.py", "from reader.core import maps"),
    ],
)  # fmt: skip
def test_a_wrong_arrow_is_found(tmp_path: Path, file: str, text: str) -> None:
    assert len(added(tmp_path, file, text).wrong_arrows()) == 1


def test_a_circle_is_found(tmp_path: Path) -> None:
    text = "def f():\n    from reader.order import window"
    source = added(tmp_path, "reader/order/exact.py", text)
    source.texts["reader/order/window.py"] += "\nimport reader.order.exact\n"
    assert ["reader.order.exact", "reader.order.window"] in circles(source.arrows)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("reader/fetch/pool.py", "def f():\n    import tensorflow as tf"),
        ("reader/mount/signals.py", "import tensorflow.data"),
        ("reader/batching/rank.py", "def f():\n    import torch.distributed"),
        ("converter/shards/shard.py", "def f():\n    from PIL.Image import open"),
        ("converter/engines/inline.py", "def f():\n    from pyspark.sql import SparkSession"),
        ("shardio/storage/local.py", "def f():\n    from pyarrow import fs"),
        ("shardio/storage/local.py", "def f():\n    import fsspec"),
    ],
)
def test_a_heavy_import_elsewhere_is_found(tmp_path: Path, file: str, text: str) -> None:
    assert len(added(tmp_path, file, text).heavy_imports()) == 1


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("reader/frameworks/keras_dataset.py", "def f():\n    import keras"),
        ("reader/core/a.py", "import tensorflower, shardiography, converters, reader.core"),
        ("reader/order/a.py", "from . import exact"),
        ("shardio/format/a.py", "from . import naming"),
        ("converter/table/a.py", "import shardio.storage"),
    ],
)
def test_what_the_law_has_is_not_found(tmp_path: Path, file: str, text: str) -> None:
    source = added(tmp_path, file, text)
    assert source.wrong_arrows() + source.heavy_imports() == []


@pytest.mark.parametrize(("package", "rooms", "files"), [("reader", 18, 4), ("converter", 7, 4)])
def test_a_listing_is_a_table_of_contents(package: str, rooms: int, files: int) -> None:
    entries = [path for path in (ROOT / package).iterdir() if path.name != "__pycache__"]
    assert len([path for path in entries if path.is_dir()]) <= rooms
    assert len([path for path in entries if path.suffix == ".py"]) <= files


@pytest.mark.parametrize("package", ["converter", "reader", "converter.imaging"])
def test_every_name_that_a_package_offers_is_there(package: str) -> None:
    """Those that are imported when they are asked for, too."""
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__


@pytest.mark.parametrize(
    "statement",
    [
        "import converter, reader",
        "import converter.command.cli, reader.commands.cli",
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
    assert [name for name in loaded if any(is_within(name, package) for package in HEAVY)] == []


@pytest.mark.parametrize("file", SOURCE.texts)
def test_a_file_holds_one_noun(file: str) -> None:
    names = file.removesuffix(".py").split("/")
    vague = {"util", "utils", "helper", "helpers", "common", "misc", "tools", "shared"}
    assert vague.isdisjoint(names)
    # Some 250 lines; a file of three hundred holds two nouns.
    assert len(SOURCE.texts[file].splitlines()) <= 280


def test_lines_of_code_are_those_that_do_something() -> None:
    text = '"""Doc.\n\nMore.\n"""\n\n# why\nx = 1  # what\n\n\ndef f() -> str:\n    """Do."""\n'
    assert lines_of_code(text + '    return """a\nb"""\n') == 4
    assert lines_of_code('class A:\n    x: int\n    """What\n    it is."""\n') == 2
