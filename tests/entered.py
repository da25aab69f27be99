"""Files and classes of the reader whose code runs until a first batch is there.

    python -m tests.entered

prints them, and their number: for a set on this machine and one whose copies are all in a cache.
tests/test_entered.py holds the numbers against bounds. Bodies of modules and classes do not count,
nor does what runs while modules are imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from inspect import CO_NEWLOCALS
from pathlib import Path
from types import CodeType, FrameType

from reader import open_shards
from tests.reader.cached import fill, write_many

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("local", "cached")


@dataclass
class Entered:
    """What was entered: files by their paths in the project, classes as FILE:CLASS."""

    files: list[str] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)

    def add(self, code: CodeType) -> None:
        """Note that a function was called."""
        file = Path(code.co_filename)
        if not code.co_flags & CO_NEWLOCALS or not file.is_relative_to(ROOT):
            return
        name = str(file.relative_to(ROOT))
        if not name.startswith(("reader/", "shardio/")):
            return
        # A function within a method belongs to the method's class.
        owner = code.co_qualname.split(".<locals>")[0].rpartition(".")[0]
        found = {name: self.files, f"{name}:{owner}" if owner else "": self.classes}
        for entry, entries in found.items():
            if entry and entry not in entries:
                entries.append(entry)


@contextmanager
def entered() -> Iterator[Entered]:
    """Note what this thread, and those that start meanwhile, enter."""
    found = Entered()
    importing = threading.local()
    is_over = False

    def note(frame: FrameType, event: str, _: object) -> None:
        # How far the thread gets that fills a cache is a matter of time.
        if is_over or threading.current_thread().name == "shardio-cache":
            return
        depth = getattr(importing, "depth", 0)
        if frame.f_code.co_name == "<module>":
            importing.depth = depth + {"call": 1, "return": -1}.get(event, 0)
        elif event == "call" and not depth:
            found.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        is_over = True
        sys.setprofile(None)
        threading.setprofile(None)


def first_batch(kind: str) -> Entered:
    """Return what the opening of a small set and its first batch enter, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        name = str(write_many(Path(folder, "shards")).folder)
        given = [name]
        if kind == "cached":
            given = [f"file://{name}", f"{folder}/cache"]
            fill(open_shards(given[0], cache=given[1]))
        done = subprocess.run(
            [sys.executable, "-c", "from tests.entered import show; show()", *given],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
    return Entered(**json.loads(done.stdout))


def show() -> None:
    """Print what the first batch of a set enters: its name and its cache are the arguments."""
    with entered() as found:
        import reader

        shards = reader.open_shards(sys.argv[1], cache=sys.argv[2] if sys.argv[2:] else None)
        next(shards.batches(4))
    print(json.dumps(asdict(found)))


def main() -> None:
    """Print files and classes of each kind, and their numbers."""
    for kind in KINDS:
        found = first_batch(kind)
        print(*sorted(found.files), *sorted(found.classes), sep="\n")
        print(f"{kind}: {len(found.files)} files, {len(found.classes)} classes\n")


if __name__ == "__main__":
    main()
