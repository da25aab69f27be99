"""How long it takes to see a set: `shardio-read info`, `show`, `report` and `browse`; and memory.

    python benchmarks/look.py [--records 100000 1000000] [--folder data/bench-look]

The sets are records of 32x128x3 of random pixels with four labels of 21,000 classes: 12 GB for a
million. Each command runs once on a warm page cache and is timed with its start; CPU seconds are
those of all its threads, which others on the machine do not change much. RssAnon is the memory that
the process owns, sampled each few milliseconds. Of browse each page is asked for over HTTP once its
labels are there; the first time is that of finding the records, the others are the median of 5. The
load of the machine stands below each set.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

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


# Pages of browse: what they show, and their addresses.
PAGES = (
    ("first page", "/"),
    ("page in the middle", "/?page={middle}"),
    ("a class", "/?label=y0&value=17"),
    ("two classes", "/?label=y0&value=17&label=y1&value=4711"),
    ("rows", "/?row=100-900000"),
    ("rarest first", "/?sort=rarest"),
    ("darkest first", "/?sort=dark"),
    ("a record", "/record/{record}"),
)


def owned(pid: int) -> int:
    """Return the bytes that a process owns."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return 1024 * int(found[1]) if found else 0


def asked(address: str) -> tuple[float, int]:
    """Ask for a page; returns the seconds, and the status."""
    start = time.perf_counter()
    try:
        with urlopen(address) as answer:
            answer.read()
            status = answer.status
    except HTTPError as error:
        status = error.code
    return time.perf_counter() - start, status


def browse(folder: Path, records: int) -> None:
    """Serve a set, and time its pages."""
    words = [sys.executable, "-m", "reader", "browse", str(folder), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0].rstrip("/")
        try:
            for name, page in PAGES:
                url = address + page.format(middle=records // 96, record=records // 2)
                waited = time.perf_counter()
                # What is read once, the labels and the brightness, is told before it is there.
                while (first := asked(url))[1] == 503:
                    time.sleep(0.5)
                waited = time.perf_counter() - waited
                others = statistics.median(asked(url)[0] for _ in range(5))
                print(
                    f"{records:11,}  {'browse: ' + name:28}  {others:7.3f}  first {first[0]:.3f}, "
                    f"ready after {waited:.1f} s  {owned(process.pid) / 1e6:5.0f} MB",
                    flush=True,
                )
        finally:
            process.terminate()


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
            ("info", ["info", str(folder)]),
            ("show -o", ["show", str(folder), "-o", str(arguments.folder / "sheet.png")]),
            ("report", ["report", str(folder), "-o", str(arguments.folder / "report.html")]),
        ):
            seconds, cpu, memory = measure(words)
            print(
                f"{records:11,}  {name:28}  {seconds:7.1f}  {cpu:5.1f}  {memory / 1e6:5.0f} MB",
                flush=True,
            )
        browse(folder, records)
        print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
