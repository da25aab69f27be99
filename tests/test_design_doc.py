"""What the papers for maintainers name is there: files, rooms, classes, threads, targets."""

from __future__ import annotations

import re

import pytest

from tests.layers import ROOMS, ROOT, Source, classes

SOURCE = Source()
PAPERS = ("README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")))
DESIGN = (ROOT / "docs/design.md").read_text("utf-8")
FOLDERS = ("", "reader", "converter", "shardio", *(room.replace(".", "/") for room in ROOMS))
TOPS = ("reader", "converter", "shardio", "tests", "benchmarks", "examples")
NAMES = {path.name for top in TOPS for path in (ROOT / top).rglob("*.*")}
_FILE = re.compile(r"[\w./-]*\w\.(?:py|c|h|toml|schema\.json)\b")


def is_there(name: str) -> bool:
    """Whether a file or folder is there: below the root or a room, a bare name anywhere."""
    return name in NAMES or any((ROOT / folder / name).exists() for folder in FOLDERS)


def named(text: str) -> set[str]:
    """Return the files that a text names as code, and the folders of the packages."""
    found = set()
    for code in re.findall(r"`([^`\n]+)`", re.sub(r"(?ms)^```.*?^```", "", text)):
        found |= set(_FILE.findall(code))
        if re.fullmatch(rf"(?:{'|'.join(TOPS)})/[\w/]+", code):
            found.add(code)
    return found


@pytest.mark.parametrize("paper", PAPERS)
def test_files_and_folders_are_there(paper: str) -> None:
    names = named((ROOT / paper).read_text("utf-8"))
    assert [name for name in sorted(names) if not is_there(name)] == []


def test_a_file_that_is_not_there_is_found() -> None:
    found = named("`reader/gone.py` is `gone/` of `reader/nowhere`, see `fetch/core_fetch.py`")
    assert {name for name in found if not is_there(name)} == {"reader/gone.py", "reader/nowhere"}


def test_design_names_every_room() -> None:
    rooms = DESIGN.partition("## Rooms")[2].partition("## ")[0]
    words = set(re.findall(r"\w+", rooms.replace(".py", "")))
    missing = {room for room in ROOMS if room.rpartition(".")[2] not in words}
    # The packages themselves offer what others hold.
    assert missing == {"shardio.version"}


def test_design_names_every_thread_and_no_other() -> None:
    begun = re.compile(r'(?:prefix=|name=|Threads\(.*|^_CALLS = )"(shardio-[a-z]+)"', re.MULTILINE)
    found = {name for text in SOURCE.texts.values() for name in begun.findall(text)}
    assert len(found) > 10
    assert set(re.findall(r"^\| `(shardio-[a-z]+)` \|", DESIGN, re.MULTILINE)) == found


def test_design_names_classes_that_are_there() -> None:
    known = {name for text in SOURCE.texts.values() for name in classes(text)}
    names = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", DESIGN))
    assert {"RecordSource", "ShardSet"} <= names <= known
