"""Runs that end with SIGKILL right before one of the changes that they make to files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shardio.format.naming import MANIFEST, TIMES
from shardio.format.times import ConversionTimes
from tests.converter.inputs import environment, is_same

# Each run is a fork of one process that has imported all: it counts the changes to files and ends
# itself right before one of them. The last is not killed any more; then all have been tried.
_SCRIPT = """
import json, os, shutil, signal, sys
from converter import ConvertOptions, convert, imaging
from converter.run import NoProgress
from shardio.errors import ShardioError
from shardio.format.transform import Transform
from tests.changes import Changes
import pyarrow.csv, pyarrow.compute, fsspec.implementations.local

how = json.loads(sys.argv[1])
out, begun = how["out"], how["begun"]
options = {k: tuple(v) if isinstance(v, list) else v for k, v in how["options"].items()}

def run(step=None, **more):
    child = os.fork()
    if child == 0:
        if step is not None:
            Changes(out, step, how["from"])
        try:
            convert(how["table"], how["scheme"] + out,
                    ConvertOptions(transform=Transform(None, (4, 2)), shards=2, **options),
                    engine="inline", max_rejects="9", **more)
        except ShardioError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def contents():
    found = {}
    for folder, folders, files in os.walk(out):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                found[os.path.relpath(os.path.join(folder, name), out)] = file.read().hex()
        for name in folders:
            found[os.path.relpath(os.path.join(folder, name), out)] = "a folder"
    return found

killed, results = 0, []
while True:
    shutil.rmtree(out, ignore_errors=True)
    if begun:
        shutil.copytree(begun, out)
    code = run(killed, **how["first"])
    if code == 0:
        break
    assert code == -signal.SIGKILL, code
    between = sorted(contents())
    again = run(**how["again"])
    results.append([between, again, contents()])
    killed += 1
print(json.dumps(results))
"""


def sweep(
    table: Path,
    out: Path,
    *,
    scheme: str = "",
    begun: Path | None = None,
    start: str | None = None,
    options: Mapping[str, Any] | None = None,
    first: Mapping[str, Any] | None = None,
    again: Mapping[str, Any] | None = None,
) -> Sequence[tuple[list[str], int, dict[str, bytes]]]:
    """Kill a run at each of its steps from the one that names `start` on, and run it again.

    `begun` is what `out` holds before, `options` are those of the conversion, `first` and `again`
    are arguments of both runs. Returns for each step the files after the kill, the exit code of the
    second run, and the files after it.
    """
    how = {
        "table": str(table),
        "out": str(out),
        "scheme": scheme,
        "begun": None if begun is None else str(begun),
        "from": start,
        "options": options or {},
        "first": first or {},
        "again": again or {},
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(how)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ends = []
    for between, code, found in json.loads(done.stdout):
        # Of a finished set the times are there, and whole.
        assert TIMES in between or MANIFEST not in between, between
        files = {name: b"" if d == "a folder" else bytes.fromhex(d) for name, d in found.items()}
        if MANIFEST in files:
            ConversionTimes.from_json(files[TIMES], TIMES)
        same = {name: data for name, data in files.items() if is_same(name)}
        ends.append((list(filter(is_same, between)), code, same))
    return ends
