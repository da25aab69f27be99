"""Cases of a benchmark of memory: each is a process of its own, with an empty cache folder."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

# Called with the folder of the inputs and a number of records.
Prepare = Callable[[Path, int], None]
Case = Callable[[str, Path, int], None]


def main(
    script: str, title: str, cases: Sequence[str], prepare: Prepare, case: Case, folder: str
) -> None:
    """Read arguments; prepare the inputs, print the title, and run each case, which prints."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[1_000_000, 100_000_000])
    parser.add_argument("--folder", type=Path, default=Path(folder))
    parser.add_argument("--case", choices=cases)
    arguments = parser.parse_args()
    if arguments.case:
        case(arguments.case, arguments.folder, arguments.records[0])
        return
    print(title, flush=True)
    for records in arguments.records:
        inputs = arguments.folder / str(records)
        prepare(inputs, records)
        for name in cases:
            cache = arguments.folder / "cache"
            environment = {**os.environ, "XDG_CACHE_HOME": str(cache.resolve())}
            command = [sys.executable, script, "--case", name, "--records", str(records)]
            subprocess.run([*command, "--folder", str(inputs)], check=True, env=environment)
            shutil.rmtree(cache, ignore_errors=True)
