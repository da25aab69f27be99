"""read every byte and compare all checksums; exit code 1 where a shard cannot be used"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import groupby

from reader.commands.shard_arguments import add_shard_arguments, find_named
from reader.commands.verification import Fault, Verification, verify
from reader.opening.absent_shards import describe_absent
from reader.opening.sound_parts import SoundParts
from shardio.grammar import agreeing, counted
from shardio.plain_text import plain_text
from shardio.progress import progress
from shardio.storage.paths import folder_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)
    parser.add_argument(
        "--subset",
        type=_subset,
        metavar="K/N|P%",
        help="verify only each N-th shard from the K-th on (1/5 to 5/5 are all), or so many "
        "percent of the shards, chosen at random",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Verify, and print every fault."""
    found = find_named(arguments)
    there = sum(len(shards.shards) for shards in found.sets)
    if arguments.subset is not None:
        _take_subset(found, *arguments.subset)
    records = sum(len(shards) for shards in found.sets)
    with progress(records, "records", quiet=arguments.quiet) as told:
        done = verify(found, told)
    repair = _repair(found, done)
    if arguments.json:
        print(json.dumps(_as_json(found, done, repair), ensure_ascii=False, indent=1))
        return int(bool(done.faults))
    paths = [shard.path for shards in found.sets for shard in shards.shards]
    absent = describe_absent(found.manifest, paths)
    if any(fault.reason.endswith(" is missing") for fault in done.faults):
        absent = [(word, what) for word, what in absent if word != "missing"]
    faults = [*_verdict(found, done), *repair] if done.faults else []
    for line in (*_lines(done.faults), *(what for _, what in absent), *faults):
        print(plain_text(line), file=sys.stderr)
    if done.faults:
        return 1
    total = counted(done.shards, "shard") + (f" of {there:,}" if arguments.subset else "")
    checked = "CRCs and SHA-256" if found.manifest else "CRCs (no dataset.json, so no SHA-256)"
    print(
        f"{counted(done.records, 'record')} in {total} {agreeing(done.records, 'is')} whole: "
        f"{checked} agree"
    )
    return 0


def _take_subset(found: SoundParts, first: int, every: int, percent: float) -> None:
    """Keep a part of the shards; those that cannot be opened are told in any case."""
    places = [(i, shard) for i, shards in enumerate(found.sets) for shard in shards.shards]
    if percent:
        count = min(len(places), max(1, round(len(places) * percent / 100)))
        taken = sorted(random.sample(range(len(places)), count))
    else:
        taken = list(range(first - 1, len(places), every))
    kept = {index: [places[at][1] for at in taken if places[at][0] == index] for index, _ in places}
    found.sets = [
        replace(shards, shards=tuple(kept[index]))
        for index, shards in enumerate(found.sets)
        if kept[index]
    ]
    found.is_part = True


def _lines(faults: list[Fault]) -> Iterator[str]:
    """Say each fault in a line; records that stand side by side have one, if all is the same."""

    def alike(pair: tuple[int, Fault]) -> tuple[str, str, object]:
        at, fault = pair
        place = at if fault.record is None else fault.record - at
        return fault.path, _what(fault), place

    for _, group in groupby(enumerate(faults), alike):
        first, *others = (fault for _, fault in group)
        if others:
            yield f"{first.path}: records {first.record} to {others[-1].record}: {_what(first)}"
        else:
            yield first.reason


def _what(fault: Fault) -> str:
    """Return what is said of a record after its place."""
    if fault.record is None:
        return fault.reason
    place = rf"{re.escape(fault.path)}: record {fault.record}( at byte \d+)?: "
    return re.sub(f"^{place}", "", fault.reason)


def _verdict(found: SoundParts, done: Verification) -> list[str]:
    """Count the shards of each fault."""
    total = counted(max(found.shards, 1), "shard")
    said = []
    damaged = done.paths("damaged", "digest", "shard", "index")
    if damaged:
        said.append(f"{len(damaged)} of {total} {agreeing(len(damaged), 'is')} damaged or missing")
    unusable = [path for path in done.paths("unusable") if path not in damaged]
    if unusable:
        said.append(
            f"{len(unusable)} of {total} {agreeing(len(unusable), 'is')} whole, but with records "
            "that cannot be used"
        )
    return said


def _repair(found: SoundParts, done: Verification) -> list[str]:
    """Return the line that tells how to make again what is damaged."""
    if found.manifest is None or not done.paths("damaged", "digest", "shard", "index", "table"):
        return []
    folder = folder_of(done.faults[0].path)
    return [
        f"to make it again, with the table and the options of the first time: "
        f"shardio-convert TABLE {shlex.quote(folder)} --repair"
    ]


def _as_json(found: SoundParts, done: Verification, repair: list[str]) -> dict[str, object]:
    return {
        "whole": not done.faults,
        "shards": done.shards,
        "records": done.records,
        "part": found.is_part,
        "sha256": found.manifest is not None,
        "faults": [asdict(fault) for fault in done.faults],
        "repair": repair[0] if repair else None,
    }


def _subset(text: str) -> tuple[int, int, float]:
    """Return the first shard and the step, or how many percent."""
    if match := re.fullmatch(r"(\d+)/(\d+)", text):
        first, every = map(int, match.groups())
        if 1 <= first <= every:
            return first, every, 0.0
    if (match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text)) and 0 < float(match[1]) <= 100:
        return 0, 1, float(match[1])
    raise argparse.ArgumentTypeError(f"a subset is like 1/5 or 5%, not {text!r}")
