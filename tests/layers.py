"""Rooms, arrows and lines of the three packages, read from their source.

    python -m tests.layers

prints them; tests/test_layering.py holds them against the law that stands here.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("shardio", "converter", "reader")

# A room is a sub-package, or a file that lies in a package itself; converter.table has rooms
# inside. It may import itself and the rooms on its right, with the rooms in them; the neighbours'
# rooms stand in no other line. All rooms of reader and converter may import shardio.
ROOMS: dict[str, tuple[str, ...]] = {
    # What a dataset is, and how to reach it.
    "shardio": ("shardio.version",),
    "shardio.arguments": ("shardio.plain_text",),
    "shardio.cached_property": (),
    "shardio.command_line": ("shardio.plain_text",),
    "shardio.errors": (),
    "shardio.grammar": (),
    "shardio.examples": ("shardio.errors",),
    "shardio.heap": (),
    "shardio.permutation": (),
    "shardio.plain_text": (),
    "shardio.progress": (),
    "shardio.version": (),
    "shardio.measure": ("shardio.errors",),
    "shardio.sizes": ("shardio.errors",),
    "shardio.format": ("shardio.errors", "shardio.cached_property", "shardio.grammar"),
    "shardio.imaging": ("shardio.format",),
    "shardio.storage": ("shardio.errors",),
    "shardio.pictures": ("shardio.format", "shardio.errors", "shardio.plain_text"),
    # Shards in, batches out.
    "reader.core": (),
    "reader.mount": (),
    "reader.stats": (),
    "reader.files": ("reader.core", "reader.stats"),
    "reader.order": ("reader.core",),
    "reader.sets": ("reader.order", "reader.files"),
    "reader.fetch": ("reader.files", "reader.core", "reader.stats"),
    "reader.foreign": ("reader.fetch", "reader.files"),
    "reader.blocks": ("reader.fetch",),
    "reader.cache": ("reader.files",),
    "reader.dataset": (
        "reader.cache",
        "reader.fetch",
        "reader.sets",
        "reader.files",
        "reader.stats",
    ),
    "reader.batching": (
        "reader.dataset",
        "reader.cache",
        "reader.blocks",
        "reader.fetch",
        "reader.sets",
        "reader.order",
        "reader.core",
        "reader.stats",
    ),
    "reader.frameworks": ("reader.batching", "reader.dataset", "reader.order"),
    "reader.shardset": (
        "reader.frameworks",
        "reader.batching",
        "reader.dataset",
        "reader.sets",
    ),
    "reader.look": ("reader.shardset", "reader.batching", "reader.fetch", "reader.sets"),
    "reader.measure": ("reader.shardset",),
    "reader.browse": ("reader.look", "reader.shardset", "reader.sets"),
    "reader.resume": ("reader.batching", "reader.frameworks"),
    "reader.opening": (
        "reader.shardset",
        "reader.sets",
        "reader.cache",
        "reader.foreign",
        "reader.fetch",
        "reader.files",
    ),
    "reader.commands": (
        "reader.opening",
        "reader.browse",
        "reader.look",
        "reader.measure",
        "reader.cache",
        "reader.shardset",
        "reader.batching",
        "reader.foreign",
        "reader.fetch",
        "reader.files",
        "reader.order",
        "reader.mount",
    ),
    "reader.__main__": ("reader.commands",),
    "reader": (
        "reader.opening",
        "reader.shardset",
        "reader.frameworks",
        "reader.batching",
        "reader.stats",
    ),
    # Images in, shards out.
    "converter.table.scratch": (),
    "converter.table.grouping": ("converter.table.scratch",),
    "converter.table.paths": ("converter.table.scratch",),
    "converter.table.cells": (
        "converter.table.paths",
        "converter.table.grouping",
        "converter.table.scratch",
    ),
    "converter.table.reading": ("converter.table.cells", "converter.table.paths"),
    "converter.table.samples": (
        "converter.table.reading",
        "converter.table.paths",
        "converter.table.scratch",
    ),
    "converter.table.inputs": (
        "converter.table.samples",
        "converter.table.paths",
        "converter.table.scratch",
    ),
    "converter.table.text": ("converter.table.inputs", "converter.table.paths"),
    "converter.table": ("converter.table",),
    "converter.imaging": (),
    "converter.options": ("converter.table",),
    "converter.sources": ("converter.table",),
    "converter.shards": (
        "converter.sources",
        "converter.imaging",
        "converter.options",
        "converter.table",
    ),
    "converter.engines": ("converter.shards", "converter.sources", "converter.imaging"),
    "converter.report": (
        "converter.engines",
        "converter.shards",
        "converter.sources",
        "converter.imaging",
        "converter.options",
        "converter.table",
    ),
    "converter.run": (
        "converter.report",
        "converter.engines",
        "converter.shards",
        "converter.sources",
        "converter.imaging",
        "converter.options",
        "converter.table",
    ),
    "converter.command": (
        "converter.run",
        "converter.report",
        "converter.engines",
        "converter.imaging",
        "converter.options",
        "converter.table",
    ),
    "converter.__main__": ("converter.command",),
    "converter": ("converter.run", "converter.report", "converter.options"),
}

# A heavy package (left) is imported in these rooms or files only; in shardset.py for types.
# Importing the packages, or the command lines, loads none of them: test_layering.py tries it.
HEAVY: dict[str, tuple[str, ...]] = {
    "tensorflow": ("reader/frameworks/", "reader/shardset.py", "reader/measure/stock.py"),
    "keras": ("reader/frameworks/", "reader/shardset.py", "reader/resume/"),
    "torch": (
        "reader/frameworks/",
        "reader/resume/keras_state.py",
        "reader/measure/adaptors.py",
    ),
    "jax": (),
    "pyspark": ("converter/engines/spark/",),
    "PIL": (
        "converter/imaging/",
        "shardio/imaging/",
        "reader/foreign/decode.py",
        "shardio/pictures/picture.py",
    ),
    "pyarrow": (
        "converter/table/",
        "converter/shards/records_table.py",
        "converter/shards/published_rows.py",
        "reader/sets/records_table.py",
        "reader/look/export_writers.py",
        "reader/look/origins.py",
    ),
    "lmdb": ("converter/table/samples/lmdb_set.py", "converter/sources/lmdb_images.py"),
    "hdfs_native": ("shardio/storage/hdfs_client.py",),
    "fsspec": ("shardio/storage/remote.py",),
    "mfusepy": ("reader/mount/fuse_server.py",),
    "werkzeug": ("reader/browse/app.py", "reader/browse/server.py"),
}

# Sources, layouts and what they read from are asked for what they can do, and never which they
# are, but in the room that has them.
UNASKED = (
    *("reader.fetch", "reader.files", "reader.blocks", "reader.foreign", "reader.cache"),
    "shardio.format.layout",
)


class Source:
    """The Python files of the packages below `root`, by their paths relative to it."""

    def __init__(self, root: Path = ROOT) -> None:
        files = sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))
        self.texts = {str(path.relative_to(root)): path.read_text("utf-8") for path in files}
        self.modules = {module_of(file): file for file in self.texts}

    @cached_property
    def arrows(self) -> dict[str, set[str]]:
        """The modules of ours that each module imports, anywhere in it and for types too."""
        found = {
            module: {self._module(name) for name in imports(self.texts[file], file)}
            for module, file in self.modules.items()
        }
        return {module: targets - {"", module} for module, targets in found.items()}

    @cached_property
    def rooms(self) -> dict[str, set[str]]:
        """The rooms that each room imports."""
        found: dict[str, set[str]] = {}
        for module, targets in self.arrows.items():
            room = self.room_of(module)
            found.setdefault(room, set()).update(map(self.room_of, targets - {module}))
        return {room: targets - {room} for room, targets in found.items()}

    def room_of(self, module: str) -> str:
        """Return the room of a module: its sub-package, or itself."""
        names = module.split(".")
        inner = ".".join(names[:3])
        return inner if inner in ROOMS else ".".join(names[:2])

    def wrong_arrows(self) -> list[str]:
        """Name the arrows that the law does not have."""
        return [
            f"{module} imports {target}"
            for module, targets in self.arrows.items()
            for target in sorted(targets)
            if not may_import(self.room_of(module), self.room_of(target))
        ]

    def heavy_imports(self) -> list[str]:
        """Name the heavy imports outside their rooms."""
        return [
            f"{file} imports {name}"
            for file, text in self.texts.items()
            for name in imports(text, file)
            for package, places in HEAVY.items()
            if is_within(name, package) and not file.startswith(places)
        ]

    def asked_classes(self) -> list[str]:
        """Name the classes of UNASKED that code asks for outside their rooms."""
        rooms = {
            name: self.room_of(module)
            for module, file in self.modules.items()
            if any(is_within(module, place) for place in UNASKED)
            for name in classes(self.texts[file])
        }
        return [
            f"{module} asks for {name}"
            for module, file in self.modules.items()
            for name in asked(self.texts[file])
            if rooms.get(name, self.room_of(module)) != self.room_of(module)
        ]

    def _module(self, name: str) -> str:
        """Return the module of ours that a dotted name lies in; "" for one of others."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name


def module_of(file: str) -> str:
    """Return the dotted name of a file's module."""
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def is_within(name: str, package: str) -> bool:
    """Whether a dotted name is a package or lies in it."""
    return name == package or name.startswith(f"{package}.")


def may_import(room: str, target: str) -> bool:
    """Whether the law has an arrow from a room to another one."""
    if room == target or any(is_within(target, to) for to in ROOMS.get(room, ())):
        return True
    return is_within(target, "shardio") and not is_within(room, "shardio")


@cache
def imports(text: str, file: str) -> tuple[str, ...]:
    """Return the dotted name of everything that a file imports: in functions and for types too."""
    return tuple(_imports(text, file))


def _imports(text: str, file: str) -> Iterator[str]:
    package = module_of(file).split(".")
    if not file.endswith("/__init__.py"):
        package.pop()
    for node in ast.walk(ast.parse(text)):
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


@cache
def classes(text: str) -> tuple[str, ...]:
    """Return the names of the classes of a file."""
    return tuple(node.name for node in ast.parse(text).body if isinstance(node, ast.ClassDef))


@cache
def asked(text: str) -> tuple[str, ...]:
    """Return the last name of each class that values are compared with."""
    return tuple(_asked(text))


def _asked(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Call(ast.Name("isinstance" | "issubclass"), [_, kinds]) | ast.MatchClass(
                kinds
            ):
                found = ast.walk(kinds)
                yield from (ast.unparse(kind).rpartition(".")[2] for kind in found)


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in arrows.get(node, ()):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in arrows:
        if node not in order:
            visit(node)
    return found


def lines_of_code(text: str) -> int:
    """Count the lines of a file that hold code: no blank ones, comments or docstrings."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    quiet |= {tokenize.ENCODING, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in quiet:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        # A text alone is a docstring, of a field too.
        match node:
            case ast.Expr(ast.Constant(str())):
                lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    return len(lines)


def main() -> None:
    """Print rooms with the arrows between them, circles, and the lines of code."""
    source = Source()
    for room in ROOMS:
        targets = sorted(t for t in source.rooms.get(room, ()) if not is_within(t, "shardio"))
        files = [file for module, file in source.modules.items() if source.room_of(module) == room]
        lines = sum(lines_of_code(source.texts[file]) for file in files)
        print(f"{room:20} {len(files):3} files {lines:5} lines  -> {', '.join(targets) or '-'}")
    arrows = sum(map(len, source.rooms.values()))
    found = circles(source.arrows) + circles(source.rooms)
    total = sum(map(lines_of_code, source.texts.values()))
    print(f"{len(ROOMS)} rooms, {arrows} arrows, {len(found)} circles, {total} lines of code")


if __name__ == "__main__":
    main()
