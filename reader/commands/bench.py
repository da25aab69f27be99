"""measure how fast batches come, in each framework and against tf.data's own way to read"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from reader.commands.shard_arguments import add_shard_arguments, open_named
from reader.measure.adaptors import CALLED, STOCK, face_apart, installed
from reader.measure.budget import Budget
from reader.measure.stock import check_stock, shuffle_buffer
from reader.shardset import ShardSet
from shardio.arguments import positive
from shardio.errors import DatasetError, MissingExtraError
from shardio.grammar import counted
from shardio.measure.apart import Apart
from shardio.measure.bars import Row, table
from shardio.measure.measured import Measured
from shardio.measure.rounds import interleaved, ratio
from shardio.sizes import in_words

_SECONDS = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    add_batch_size(parser)
    parser.add_argument(
        "--against",
        choices=["stock"],
        help="stock: tf.data's best idiom on the same shards, with parallel reads, a shuffle "
        "buffer, and one call that parses a batch",
    )
    parser.add_argument(
        "--rounds",
        type=positive,
        default=3,
        metavar="N",
        help="passes of two seconds each, in turn (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="SECONDS",
        help="leave out ways but the first that have not begun within such a time",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """Add `--batch-size`."""
    parser.add_argument(
        "--batch-size",
        type=positive,
        default=128,
        metavar="N",
        help="images of a batch (default: %(default)s)",
    )


def refuse_few(shards: ShardSet, batch_size: int) -> None:
    """Raise DatasetError for a set that has no batch of this size."""
    if not len(shards):
        raise DatasetError("there are no records to measure: all shards are empty")
    if len(shards) < batch_size:
        raise DatasetError(
            f"the set has {counted(len(shards), 'record')}, fewer than a batch: give a "
            f"--batch-size of at most {len(shards)}"
        )


def run(arguments: argparse.Namespace) -> int:
    """Measure, and print a table."""
    shards = open_named(arguments)
    batch_size, rounds = arguments.batch_size, arguments.rounds
    refuse_few(shards, batch_size)
    faces = installed()
    if arguments.against:
        check_stock(shards)
        if "tf.data" not in faces:
            raise MissingExtraError(
                "--against stock needs TensorFlow: it comes with shardio's extra [tensorflow]"
            )
        faces.append(STOCK)
    options: dict[str, Any] = {"dtype": shards.kind.image_dtype}
    with ExitStack() as stack:
        processes = {
            face: stack.enter_context(face_apart(shards, face, batch_size, options))
            for face in faces
        }
        left_out = _late(processes, arguments.limit) if arguments.limit else []
        runs = {
            face: partial(process.run, _SECONDS)
            for face, process in processes.items()
            if face not in left_out
        }
        found = interleaved(runs, rounds)
        rows = [_facts(face, found, processes[face]) for face in runs]
    if arguments.json:
        said = {"batch_size": batch_size, "rounds": rounds, "ways": rows, "left_out": left_out}
        print(json.dumps(said, ensure_ascii=False, indent=1))
        return 0
    print("\n".join(_lines(shards, rows, batch_size, rounds)))
    if left_out:
        print(f"there was no time for {', '.join(left_out)}: --limit {arguments.limit}")
    return 0


def _late(processes: dict[str, Apart[Measured]], limit: float) -> list[str]:
    """Wait until processes have begun; end those that have not in time, and return their names."""
    budget, late = Budget(limit), []
    for number, (face, process) in enumerate(processes.items()):
        if not process.ready(budget.left if number else None):
            process.close()
            late.append(face)
    return late


def _facts(face: str, found: dict[str, list[Measured]], process: Apart[Measured]) -> dict[str, Any]:
    passes = found[face]
    rates = [each.rate for each in passes]
    facts: dict[str, Any] = {
        "name": face,
        "images_per_second": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "cpu_seconds_per_million": statistics.median(each.cpu_per_million for each in passes),
        "own_memory": process.memory.own,
        "peak_rss": process.memory.resident,
    }
    if STOCK in found:
        facts["ratio"] = ratio(rates, [each.rate for each in found[STOCK]])
    return facts


def _lines(
    shards: ShardSet, rows: Sequence[dict[str, Any]], batch_size: int, rounds: int
) -> list[str]:
    fastest = max(row["images_per_second"] for row in rows)
    against = "ratio" in rows[0]
    heads = [
        "",
        "images/s",
        "min",
        "max",
        "CPU s/million",
        "memory",
        "peak RSS",
        *["ratio"] * against,
    ]
    drawn = []
    for row in rows:
        rates = (row["images_per_second"], row["least"], row["most"])
        cells = [f"{rate:,.0f}" for rate in (*rates, row["cpu_seconds_per_million"])]
        cells += [in_words(row["own_memory"]), in_words(row["peak_rss"])]
        if against:
            cells.append(f"{row['ratio']:.2f}")
        name = CALLED.get(row["name"], row["name"])
        share = row["images_per_second"] / fastest if fastest else None
        drawn.append(Row(name, cells, share))
    order = "exact" if shards.is_local else "window"
    lines = [
        f"batches of {batch_size} images, {shards.kind.image_dtype}, order {order}; median of "
        f"{counted(rounds, 'pass')} of {_SECONDS:g} seconds, in turn, each way in a process of "
        "its own"
    ]
    lines += table(heads, drawn, getattr(sys.stdout, "encoding", None) or "utf-8")
    lines.append(
        "peak RSS counts mapped pages of shards, which are the kernel's cache; memory does not"
    )
    if against:
        lines.append(
            f"{STOCK}: files read in parallel, a shuffle buffer of {shuffle_buffer(shards):,} "
            "records, parse_example of whole batches, prefetch; all ways check every CRC"
        )
    return lines
