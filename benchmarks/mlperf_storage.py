"""How many emulated accelerators this machine feeds, as MLPerf Storage counts them.

    python benchmarks/mlperf_storage.py [--data 4GB] [--rounds 3] [--folder data/mlperf]
        [--only retinanet,resnet50] [--states warm,cold] [--search [SECONDS]]

An accelerator takes a batch and sleeps for the time that a step takes. So many are fed as keep
their utilisation at the least that the rules allow. The workloads are RetinaNet of version 3.0, on
a B200, and ResNet-50 of versions 1.0 and 2.0, on an H100; images have the
rules' mean size. They are read as files and as shards of as many bytes, by stock tf.data, by
torch's DataLoader and by shardio; none decodes them (streams.py says why). Cold means that the
kernel forgets the files before each run, and that each is read once at most.

The ways take turns. How many the CPU allows follows from the CPU seconds of a step, measured with
an accelerator for each core; other work on the machine changes it less than the number that is fed,
which --search finds, in so many seconds for each way and round, or how many are fed at least.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accelerators
import made_images
import made_shards
from accelerators import Job, Outcome, Stream

from reader.measure.storage import forget, in_sequence
from shardio.format.transform import Transform
from shardio.sizes import parse_bytes

FILES, STOCK, LOADER = "tf.data, files", "tf.data, shards", "DataLoader, files, 2 processes"
SHARDS = 64
MOST = 128
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Workload:
    """What is trained: images of one size, and a step of `seconds` for each batch."""

    name: str
    title: str
    kind: made_images.Kind
    shape: tuple[int, int, int]
    """Height, width and channels of a record with as many bytes as a file."""
    batch: int
    seconds: float
    target: float

    @property
    def size(self) -> int:
        """Bytes of an image."""
        height, width, channels = self.shape
        return height * width * channels


WORKLOADS = (
    Workload(
        "retinanet",
        "RetinaNet, 322,957 bytes, 24 a batch, 0.04755 s a step, AU 0.85",
        made_images.Kind("retinanet", 1024, 768, "JPEG", 322_957),
        (41, 7877, 1),
        24,
        0.04755,
        0.85,
    ),
    Workload(
        "resnet50",
        "ResNet-50, 114,660 bytes, 400 a batch, 0.224 s a step, AU 0.90",
        made_images.Kind("resnet50", 500, 375, "JPEG", 114_660),
        (196, 195, 3),
        400,
        0.224,
        0.90,
    ),
)


@dataclass(frozen=True)
class Way:
    """A way to read: its name, its streams, and the files that it reads."""

    name: str
    stream: Stream
    paths: list[str]


@dataclass(frozen=True)
class Found:
    """What a step costs, and how many accelerators were fed."""

    cost: Outcome
    accelerators: int
    is_most: bool
    """Whether one more is known not to be fed."""


class Data:
    """Files and shards of a workload, of so many bytes each; kept if they are there."""

    def __init__(self, folder: Path, workload: Workload, data: int, shards: int = SHARDS) -> None:
        self.workload = workload
        self.count = shards
        self.records = data // workload.size // shards * shards
        if not self.records:
            raise SystemExit(f"{data} bytes are less than one image for each of {shards} shards")
        height, width, channels = workload.shape
        self.files = folder / f"{workload.name}-files-{self.records}"
        self.shards = folder / f"{workload.name}-shards-{self.records}"
        made_images.write_images(self.files, workload.kind, self.records)
        transform = Transform(size=(width, height), channels=channels)
        made_shards.make(self.shards, self.records, shards, transform=transform)

    def ways(self, *, cold: bool) -> list[Way]:
        """List the ways to read."""
        files = sorted(map(str, self.files.glob("*.jpeg")))
        shards = sorted(map(str, self.shards.glob("*.tfrecord")))
        order = "window" if cold else "exact"

        def stream(function: str, folder: Path, **options: Any) -> Stream:
            batch = self.workload.batch
            return Stream("streams", function, {"folder": folder, "batch": batch, **options})

        size = self.workload.size
        return [
            Way(FILES, stream("tf_files", self.files, size=size), files),
            Way(STOCK, stream("tf_shards", self.shards, size=size), shards),
            Way(LOADER, stream("torch_files", self.files, workers=2), files),
            Way(f"shardio, shards, {order}", stream("ours", self.shards, shuffle=order), shards),
        ]

    def steps(self, accelerators: int, longest: float, *, cold: bool) -> int:
        """Return the steps of a run of `longest` seconds; cold, of one epoch at most."""
        steps = 1 + max(2, round(longest / self.workload.seconds))
        # A rank of tf.data has whole shards.
        share = self.records // self.count * (self.count // accelerators) // self.workload.batch
        return min(steps, share) if cold else steps


def most(
    feed: Callable[[int], Outcome],
    target: float,
    start: int,
    limit: int = MOST,
    seconds: float = math.inf,
) -> tuple[int, bool]:
    """Find the largest number of accelerators that are fed: by doubling, then halving the rest.

    A run that does not reach the target is repeated once: other work on the machine can only lower
    the utilisation. Returns the number, and whether one more is known not to be fed: after
    `seconds` no run begins.
    """
    end = time.monotonic() + seconds

    def is_fed(number: int) -> bool:
        return feed(number).au >= target or feed(number).au >= target

    low, high, number = 0, limit + 1, max(1, min(start, limit))
    while True:
        if is_fed(number):
            low = number
        else:
            high = number
        if high - low == 1 or time.monotonic() >= end:
            return low, high - low == 1
        number = min(2 * low, limit) if high > limit else (low + high) // 2


def feed(
    data: Data, way: Way, number: int, longest: float, *, cold: bool, least: float = 0.0
) -> Outcome:
    """Run so many accelerators; a run that cannot reach the `least` utilisation ends sooner."""
    steps = data.steps(number, longest, cold=cold)
    if steps < 4:
        # There is not enough to read for a run that says anything.
        return Outcome(0.0, math.nan, 0.0)
    if cold:
        forget(way.paths)
    return accelerators.run(way.stream, number, Job(steps, data.workload.seconds, least))


def allowed(workload: Workload, cpu: float) -> float:
    """Return how many accelerators the cores can feed where a step of each takes `cpu` seconds."""
    return CORES * workload.seconds / workload.target / cpu


def measure(
    data: Data, rounds: int, longest: float, *, cold: bool, search: float
) -> dict[str, list[Found]]:
    """Let the ways take turns; each begins its search where the last one ended."""
    ways = data.ways(cold=cold)
    found: dict[str, list[Found]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            if not cold:
                in_sequence(way.paths, 2)

            target = data.workload.target

            def once(number: int, way: Way = way, target: float = target) -> Outcome:
                return feed(data, way, number, longest, cold=cold, least=target)

            cost = feed(data, way, CORES, longest, cold=cold)
            number, is_most = 0, True
            if search:
                last = found[way.name][-1].accelerators if found[way.name] else 1
                number, is_most = most(once, target, last, seconds=search)
            found[way.name].append(Found(cost, number, is_most))
    return found


def table(workload: Workload, found: dict[str, list[Found]], *, search: float) -> str:
    """Format medians; ratios are to the better of the two ways of tf.data, round by round."""
    width = max(map(len, found))
    head = f"{'':{width}}  CPU ms a step  CPU allows  ratio  others"
    lines = [head + ("    fed  ratio  of each round" if search else "")]
    count = len(found[FILES])

    def row(name: str, numbers: list[float], best: list[float]) -> tuple[float, float]:
        ratios = [n / s if s else math.inf for n, s in zip(numbers, best, strict=True)]
        return statistics.median(numbers), statistics.median(ratios)

    allowing = {
        name: [allowed(workload, each.cost.cpu) for each in rounds]
        for name, rounds in found.items()
    }
    feeding = {
        name: [float(each.accelerators) for each in rounds] for name, rounds in found.items()
    }
    best_allowing, best_feeding = (
        [max(numbers[name][at] for name in (FILES, STOCK)) for at in range(count)]
        for numbers in (allowing, feeding)
    )
    for name, rounds in found.items():
        number, ratio = row(name, allowing[name], best_allowing)
        cpu = statistics.median(each.cost.cpu for each in rounds)
        others = statistics.median(each.cost.others for each in rounds)
        line = f"{name:{width}}  {1e3 * cpu:13.1f}  {number:10.1f}  {ratio:5.2f}  {others:6.0%}"
        if search:
            number, ratio = row(name, feeding[name], best_feeding)
            each_round = " ".join(
                f"{each.accelerators}{'' if each.is_most else '+'}" for each in rounds
            )
            line += f"  {number:5g}  {ratio:5.2f}  {each_round}"
        lines.append(line)
    return "\n".join(lines)


def disk(data: Data) -> tuple[float, float]:
    """Read all from a cold disk, in sequence, four files at once: bytes a second, CPU a byte."""
    paths = sorted(map(str, data.shards.glob("*.tfrecord")))
    forget(paths)
    cpu, begun = time.process_time(), time.perf_counter()
    size, _ = in_sequence(paths, 4)
    return size / (time.perf_counter() - begun), (time.process_time() - cpu) / size


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=parse_bytes, default=4 * 10**9, help="of each form")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a run")
    parser.add_argument("--folder", type=Path, default=Path("data/mlperf"))
    parser.add_argument("--only", default=",".join(each.name for each in WORKLOADS))
    parser.add_argument("--states", default="warm,cold")
    parser.add_argument(
        "--search",
        type=float,
        nargs="?",
        const=120.0,
        default=0.0,
        metavar="SECONDS",
        help="for a machine with nothing to do (default: %(const)g); + is `at least`",
    )
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {CORES} cores, Python {platform.python_version()}; load before it "
        f"began: {os.getloadavg()[0]:.1f}"
    )
    for workload in WORKLOADS:
        if workload.name not in arguments.only.split(","):
            continue
        data = Data(arguments.folder, workload, arguments.data)
        speed, cpu = disk(data)
        step = workload.size * workload.batch
        enough = speed / step * workload.seconds / workload.target
        print(f"\n{workload.title}")
        print(
            f"a cold disk gives {speed / 1e6:,.0f} MB/s in sequence: enough for {enough:.1f}; "
            f"reading so, and no more, takes {1e3 * cpu * step:.1f} CPU ms a step"
        )
        for state in arguments.states.split(","):
            found = measure(
                data,
                arguments.rounds,
                arguments.seconds,
                cold=state == "cold",
                search=arguments.search,
            )
            print(f"{state}\n{table(workload, found, search=arguments.search)}", flush=True)


if __name__ == "__main__":
    main()
