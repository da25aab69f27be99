"""measure every stage from storage to a model's step, and name the one that limits"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any

from reader.batching.options import DTYPES
from reader.commands.bench import add_batch_size, refuse_few
from reader.commands.shard_arguments import add_shard_arguments, open_named
from reader.measure.examine import Wanted, examine
from reader.measure.findings import Findings
from reader.measure.model import parse_model
from reader.measure.verdict import Verdict, verdict
from shardio.grammar import counted
from shardio.measure.bars import Row, table
from shardio.measure.telling import say_measuring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    add_batch_size(parser)
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument(
        "--step-ms",
        type=_milliseconds,
        metavar="N",
        help="milliseconds of a training step, which batches have to keep up with",
    )
    wanted.add_argument(
        "--model",
        metavar="file.py:make",
        help="a function that returns a compiled Keras model or a function step(x, ys); it may "
        'take the shapes of a batch, {"image": (128, 32, 128, 3), "y0": (128,)}',
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="of the images, as in batches (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _milliseconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, and judge."""
    model = None if arguments.model is None else parse_model(arguments.model)
    shards = open_named(arguments)
    refuse_few(shards, arguments.batch_size)
    step = None if arguments.step_ms is None else arguments.step_ms / 1e3

    wanted = Wanted(arguments.batch_size, arguments.dtype, step, model)
    found = examine(shards, wanted, say_measuring)
    judged = verdict(found)
    if arguments.json:
        print(json.dumps(_as_json(found, judged), ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(found, judged)))
    return 0


def _as_json(found: Findings, judged: Verdict) -> dict[str, Any]:
    return {
        "batch_size": found.batch_size,
        "dtype": found.dtype,
        "order": found.order,
        "sampled": found.sampled,
        "cores": found.cores,
        "cold": found.why_not or None,
        "others": found.others,
        "unsteady": found.unsteady,
        "left_out": found.left_out,
        "demand": None if found.demand is None else asdict(found.demand),
        "lock_held": None if found.model is None else found.model.held,
        "stages": [
            {
                "stage": stage,
                "name": name,
                "images_per_second": rate.rate,
                "cpu_seconds_per_million": rate.cpu_per_million,
            }
            for (stage, name), rate in found.stages().items()
        ],
        "verdict": asdict(judged),
    }


def _lines(found: Findings, judged: Verdict) -> list[str]:
    stages = found.stages()
    full = max(rate.rate for rate in stages.values())
    if found.demand:  # what is enough, and how much more than that, can be seen
        full = 2 * found.demand.rate
    rows, before = [], ""
    for (stage, name), rate in stages.items():
        title = f"{stage if stage != before else '':9} {name}"
        before = stage
        cells = f"{rate.rate:,.0f}", f"{rate.cpu_per_million:,.0f}"
        rows.append(Row(title, cells, rate.rate / full if full else None))
    bars = "a full bar is the fastest"
    if found.demand is not None:
        bars = f"half a bar is what {found.demand.of} takes"
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    lines = [
        f"batches of {found.batch_size} images, {found.dtype}; "
        f"{counted(found.sampled, 'record')} looked at; {counted(found.cores, 'core')}; "
        f"{bars}",
        *table(["stage", "images/s", "CPU s/million"], rows, encoding),
    ]
    if found.why_not:
        lines.append(found.why_not)
    if found.left_out:
        lines.append(f"there was no time for {', '.join(found.left_out)}: the machine is too slow")
    return [*lines, "", f"{judged.sentence[:1].upper()}{judged.sentence[1:]}."]
