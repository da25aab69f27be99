"""read every byte and compare all checksums; exit code 1 where a shard cannot be used"""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from reader.commands.describe import verify, verify_records_table
from reader.commands.shard_arguments import add_shard_arguments, open_named
from reader.opening.absent_shards import describe_absent
from shardio.grammar import agreeing, counted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_shard_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Verify, and print every fault."""
    shards = open_named(arguments)
    with tqdm(total=len(shards), unit=" records", disable=not sys.stderr.isatty()) as bar:
        faults = verify(shards, bar.update)
    for fault in faults:
        print(fault.reason, file=sys.stderr)
    for _, what in describe_absent(shards.manifest, [shard.path for shard in shards.shards]):
        print(what, file=sys.stderr)
    checked = "CRCs and SHA-256" if shards.manifest else "CRCs (no dataset.json, so no SHA-256)"
    damaged = sum(fault.damaged for fault in faults)
    unusable = len(faults) - damaged
    total = counted(len(shards.shards), "shard")
    if damaged:
        again = "; the converter's --repair makes them again" if shards.manifest else ""
        print(f"{damaged} of {total} {agreeing(damaged, 'is')} damaged{again}", file=sys.stderr)
    if unusable:
        print(
            f"{unusable} of {total} {agreeing(unusable, 'is')} whole, but with records that "
            "cannot be used",
            file=sys.stderr,
        )
    records = verify_records_table(shards)
    if records:
        print(f"{records}; the converter's --repair writes it again", file=sys.stderr)
    if faults or records:
        return 1
    print(
        f"{counted(len(shards), 'record')} in {total} {agreeing(len(shards), 'is')} whole: "
        f"{checked} agree"
    )
    return 0
