"""How fast shards are read that are not in the page cache: ours against the disk's own speed.

    python benchmarks/cold.py [--records 131072] [--rounds 5] [--folder data/bench] [--limit 800MB]

Before each run the kernel is told to forget the shards. With --limit, as root, this process moves
to a control group with so little memory, its page cache included, that the set does not fit.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_shards
from rounds import Way, measure, table, timed

from reader import ShardSet, open_shards
from reader.measure.storage import at_random, forget, in_sequence
from shardio.sizes import parse_bytes

BATCH = 128
CGROUPS = (
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ("/sys/fs/cgroup", "memory.max"),
)


def limit_memory(limit: int) -> None:
    """Move this process to a control group of so many bytes."""
    for root, name in CGROUPS:
        group = Path(root, "shardio-bench")
        if Path(root, "cgroup.procs").exists():
            group.mkdir(exist_ok=True)
            (group / name).write_text(str(limit))
            (group / "cgroup.procs").write_text(str(os.getpid()))
            return
    raise SystemExit("no control group for memory is found")


def ours(shards: ShardSet, batches: int | None = None, **options: Any) -> int:
    """Read batches; returns the number of records."""
    count = 0
    for number, (x, _) in enumerate(shards.batches(BATCH, dtype="uint8", **options), 1):
        count += len(x)
        if number == batches:
            break
    return count


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=131_072)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("data/bench"))
    parser.add_argument("--limit", type=parse_bytes, help="memory for this process and its cache")
    arguments = parser.parse_args()
    manifest = made_shards.make(arguments.folder, arguments.records)
    paths = [str(arguments.folder / shard.file) for shard in manifest.shards]
    stride = manifest.layout.stride
    if arguments.limit:
        limit_memory(arguments.limit)

    def cold(name: str, work: Callable[[], int]) -> Way:
        run = timed(work)

        def forgetting() -> float:
            forget(paths)
            return run()

        return Way(name, forgetting)

    def opened() -> ShardSet:
        return open_shards(str(arguments.folder))

    sequence = [
        cold(f"the disk, in sequence, {n} at once", lambda n=n: in_sequence(paths, n)[0] // stride)  # type: ignore[misc]
        for n in (1, 2, 4)
    ]
    sequence += [
        cold("window", lambda: ours(opened(), shuffle="window")),
        cold("window, no CRC", lambda: ours(opened(), shuffle="window", verify=False)),
        cold("none", lambda: ours(opened(), shuffle="none")),
    ]
    print(table(measure(sequence, arguments.rounds), sequence[0].name))
    some = 200
    chance = [
        cold(
            f"the disk, at random, {n} at once",
            lambda n=n: at_random(paths, stride, n, reads=some * BATCH)[0] // stride,  # type: ignore[misc]
        )
        for n in (16, 64)
    ]
    chance.append(cold("exact", lambda: ours(opened(), some)))
    print("\n" + table(measure(chance, arguments.rounds), chance[0].name))


if __name__ == "__main__":
    main()
