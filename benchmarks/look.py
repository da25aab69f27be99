"""How long it takes to see a set: `shardio-read show` and `report`, and how much memory.

    python benchmarks/look.py [--records 100000 1000000] [--folder data/bench-look]

The sets are records of 32x128x3 of random pixels with four labels of 21,000 classes: 12 GB for a
million. Each command runs once on a warm page cache and is timed with its start; CPU seconds are
those of all its threads, which others on the machine do not change much. RssAnon is the memory that
the process owns, sampled each few milliseconds.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from made_shards import make


def measure(words: list[str]) -> tuple[float, float, int]:
    """Run a command of the reader; returns its seconds, CPU seconds and largest RssAnon."""
    start, before = time.perf_counter(), os.times()
    with subprocess.Popen(
        [sys.executable, "-m", "reader", *words], stdout=subprocess.DEVNULL
    ) as process:
        most = 0
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            found = re.search(r"RssAnon:\s+(\d+) kB", status)
            most = max(most, 1024 * int(found[1]) if found else 0)
            time.sleep(0.005)
    seconds, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    return seconds, cpu, most


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("data/bench-look"))
    arguments = parser.parse_args()
    print(f"{'records':>11}  {'command':28}  {'seconds':>7}  {'CPU':>5}  {'RssAnon':>8}")
    for records in arguments.records:
        folder = arguments.folder / str(records)
        make(folder, records, shards=max(1, records // 20_000))
        for name, words in (
            ("show -o", ["show", str(folder), "-o", str(arguments.folder / "sheet.png")]),
            ("report", ["report", str(folder), "-o", str(arguments.folder / "report.html")]),
        ):
            seconds, cpu, memory = measure(words)
            print(
                f"{records:11,}  {name:28}  {seconds:7.1f}  {cpu:5.1f}  {memory / 1e6:5.0f} MB",
                flush=True,
            )


if __name__ == "__main__":
    main()
