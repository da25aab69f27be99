"""How much memory a conversion takes: its parent, the fork server and each worker.

    python benchmarks/convert_memory.py [--workers 2] [--scale 1]

VmHWM is the peak of all that a process has mapped and touched; workers share most of the files'
pages in it, since they are forked from one process. RssAnon is what a process has for itself, its
peak seen by asking 50 times a second. The goal is less than 200 MB a worker.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from made_images import KINDS, write_images

COUNTS = {"jpeg": 8_000, "large-jpeg": 2_000}
_FIELDS = ("VmHWM", "RssAnon")


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in text.split()]


def memory(pid: int) -> dict[str, int]:
    """Return what the kernel says of a process, in kB."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    found = (line.partition(":") for line in lines)
    return {name: int(value.split()[0]) for name, _, value in found if name in _FIELDS}


def is_server(pid: int) -> bool:
    """Whether workers are forked from a process."""
    try:
        return b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def watch(labels: Path, out: str, workers: int, size: list[str]) -> dict[str, dict[str, int]]:
    """Convert; returns the peaks of each process, by what it is."""
    command = [sys.executable, "-m", "converter", str(labels), out, *size]
    peaks: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_FIELDS, 0))
    names: dict[int, str] = {}
    with subprocess.Popen(
        [*command, "--workers", str(workers)], stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            names[process.pid] = "parent"
            for server in filter(is_server, children(process.pid)):
                names[server] = "fork server"
                for worker in children(server):
                    names.setdefault(worker, f"worker {len(names) - 1}")
            for pid, name in names.items():
                for field, kilobytes in memory(pid).items():
                    peaks[name][field] = max(peaks[name][field], kilobytes)
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return peaks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="times as many images")
    parser.add_argument("--folder", type=Path, default=Path("data/bench-images"))
    arguments = parser.parse_args()
    for kind in KINDS:
        if kind.name not in COUNTS:
            continue
        images = int(COUNTS[kind.name] * arguments.scale)
        labels = write_images(arguments.folder / f"{kind.name}-{images}", kind, images)
        for title, size in (
            ("a box", ["--crop", "186,0,300,30", "--size", "128x32"]),
            ("whole images to 224x224", ["--size", "224x224"]),
        ):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                peaks = watch(labels, f"{folder}/out", arguments.workers, size)
            print(f"{images} images, {kind.title}, {title}")
            print(f"| process | {' | '.join(f'{field}, MB' for field in _FIELDS)} |\n|---|---|---|")
            for name, found in peaks.items():
                print(f"| {name} | {' | '.join(f'{found[f] / 1000:.0f}' for f in _FIELDS)} |")


if __name__ == "__main__":
    main()
