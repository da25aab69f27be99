"""The engine spark against the engine processes, with as many cores, and where the rest goes.

    python benchmarks/spark.py [--images 100000] [--rounds 3] [--cores 2]

JPEG files of 344x384 pixels in the page cache, each of which has many rows, cropped to 128x32.
Spark (`local[CORES]`) is started before, and its Pythons have imported what they need: a warm-up
round is not counted. The engines take turns. Processor time is that of this process and of all that
it has started, Java and Pythons. What Spark does beside the work of the tasks is measured by
itself: rows that are published and read, a job of as many tasks that do nothing.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

from made_images import HEADS, KINDS, write_images
from rounds import table

from converter import ConvertOptions, convert
from shardio.format.transform import Transform
from shardio.measure.rounds import interleaved

FILES = 2000
BOX = Transform((186, 0, 300, 30), (128, 32))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("data/bench-images"))
    arguments = parser.parse_args()
    source = write_images(arguments.folder / "spark", KINDS[0], FILES).parent
    context = started(arguments.cores)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        rows = write_table(Path(scratch, "labels.csv"), source, arguments.images)
        number = 0

        def converted(engine: str, workers: int | None) -> tuple[float, float]:
            """Convert; returns images a second, and a second of processor time."""
            nonlocal number
            number += 1
            out = str(Path(scratch, f"out-{number}"))
            options = ConvertOptions(transform=BOX)
            used, start = processor_seconds(), time.perf_counter()
            summary = convert(
                str(rows), out, options, root=str(source), engine=engine, workers=workers
            )
            took = time.perf_counter() - start
            return summary.records / took, summary.records / (processor_seconds() - used)

        ways = {
            "processes": partial(converted, "processes", arguments.cores),
            "spark": partial(converted, "spark", None),
        }
        found = interleaved(ways, arguments.rounds)
        print(f"load {os.getloadavg()[0]:.1f}, {arguments.images:,} images")
        for number, unit in enumerate(("images/s", "images/CPU s")):
            rates = {name: [each[number] for each in rounds] for name, rounds in found.items()}
            print(table(rates, "processes", unit), flush=True)
        print_parts(context, str(rows), source, scratch)
    context.stop()


def processor_seconds() -> float:
    """Return the processor time of this process and of its descendants, also of those gone."""
    # One that ends between the looks at its parent and at itself is missed by a reading.
    found = []
    for _ in range(10):
        time.sleep(0.2)
        found.append(processor_seconds_once())
    return max(found)


def processor_seconds_once() -> float:
    """Add up what /proc says of each process."""
    parents, ticks = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = stat.read_text().rpartition(")")[2].split()
            pid = int(stat.parent.name)
            # Its own time, and that of children that it has waited for: see proc(5).
            parents[pid], ticks[pid] = int(words[1]), sum(map(int, words[11:15]))
    ours = [os.getpid()]
    for pid in ours:  # which grows meanwhile
        ours += [child for child, parent in parents.items() if parent == pid]
    return sum(ticks[pid] for pid in ours) / os.sysconf("SC_CLK_TCK")


def started(cores: int):  # type: ignore[no-untyped-def]
    """Start Spark on this machine."""
    from pyspark import SparkConf, SparkContext

    os.environ["PYSPARK_PYTHON"] = sys.executable
    conf = SparkConf().setMaster(f"local[{cores}]").setAppName("benchmark")
    quiet = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    for name, value in {**quiet, "spark.log.level": "OFF"}.items():
        conf.set(name, value)
    return SparkContext(conf=conf)


def write_table(path: Path, source: Path, images: int) -> Path:
    """Write a table of so many rows, which name the files of a folder in turn."""
    with (source / "labels.csv").open(newline="") as file:
        names = [row["path"] for row in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *HEADS])
        writer.writerows([names[n % len(names)], n % 10, 1, 2, 3] for n in range(images))
    return path


def print_parts(context, rows: str, source: Path, scratch: str) -> None:  # type: ignore[no-untyped-def]
    """Print the seconds of what Spark does beside the work of the tasks."""
    from converter.engines.spark import engine
    from converter.engines.spark.task import TaskRun

    seconds: dict[str, float] = {}
    begun = 0.0

    class Watched(engine._Job):
        """A job that does nothing, after the rows were published and read."""

        def __init__(self, context, run: TaskRun, tasks) -> None:  # type: ignore[no-untyped-def]
            seconds["rows published"] = time.perf_counter() - begun
            from converter.shards.published_rows import read_job

            start = time.perf_counter()
            for name, pieces in tasks:
                read_job(run.common, name, pieces)
            seconds["rows read, on one core"] = time.perf_counter() - start
            start = time.perf_counter()
            context.parallelize(tasks, len(tasks)).foreach(lambda _: None)
            seconds[f"a job of {len(tasks)} tasks that do nothing"] = time.perf_counter() - start
            start = time.perf_counter()
            super().__init__(context, run, tasks)

        def stop(self) -> None:
            start = time.perf_counter()
            super().stop()
            seconds["waiting until no attempt runs"] = time.perf_counter() - start

    class Watching(engine.SparkEngine):
        """Measures when the rows are published."""

        def run(self, jobs, progress):  # type: ignore[no-untyped-def]
            nonlocal begun
            begun = time.perf_counter()
            yield from super().run(jobs, progress)

    engine._Job, engine.SparkEngine = Watched, Watching  # type: ignore[misc]
    options = ConvertOptions(transform=BOX)
    convert(rows, f"{scratch}/parts", options, root=str(source), engine="spark")
    for what, took in seconds.items():
        print(f"{took:8.2f} s  {what}")


if __name__ == "__main__":
    main()
