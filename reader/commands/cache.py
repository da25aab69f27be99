"""list the sets in a cache folder, and remove their copies"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict

from reader.cache.cached_set import CachedSet
from reader.cache.folder import ShardCache
from shardio.errors import OptionError
from shardio.grammar import counted
from shardio.plain_text import plain_text
from shardio.sizes import measured

_SHORT = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", metavar="FOLDER", help="the folder that cache= names")
    parser.add_argument(
        "--clear",
        metavar="ID",
        nargs="*",
        help="remove the copies of sets, by the beginning of their ids, or of all that no process "
        "has open",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """List or clear."""
    cache = ShardCache.of(arguments.folder, None)
    sets = cache.sets()
    if arguments.clear is not None:
        return _clear(cache, sets, arguments.clear)
    if arguments.json:
        print(json.dumps({"sets": [asdict(cached) for cached in sets]}, indent=1))
        return 0
    for cached in sets:
        print(_line(cached))
    total = measured(sum(cached.bytes for cached in sets))
    print(f"{counted(len(sets), 'set')} in {cache.folder}, {total}")
    return 0


def _clear(cache: ShardCache, sets: list[CachedSet], wanted: list[str]) -> int:
    chosen = []
    for text in wanted:
        found = [cached for cached in sets if cached.name.startswith(text)]
        if len(found) != 1:
            raise OptionError(
                f"{text!r} begins the ids of {counted(len(found), 'set')}, not of one"
            )
        if found[0].is_open:
            raise OptionError(f"{found[0].name[:_SHORT]} is open in another process")
        chosen += found
    if not wanted:
        chosen = [cached for cached in sets if not cached.is_open]
    before = sum(cached.bytes for cached in sets)
    cache.clear({cached.name for cached in chosen})
    left = cache.sets()
    freed = before - sum(cached.bytes for cached in left)
    kept = f"; {counted(len(left), 'set')} left" if left else ""
    print(f"{measured(max(0, freed))} removed from {cache.folder}{kept}")
    return 0


def _line(cached: CachedSet) -> str:
    origin = cached.origin
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(cached.used))
    if origin is None:
        what = f"{counted(cached.shards, 'shard')}, {measured(cached.bytes)}"
        source = "not known"
    else:
        what = (
            f"{cached.shards} of {counted(origin.shards, 'shard')}, {measured(cached.bytes)} of "
            f"{measured(origin.bytes)}"
        )
        source = " and ".join(origin.folders)
    state = "open now" if cached.is_open else f"used {used}"
    return f"{cached.name[:_SHORT]}  {what:<40}  {state:<21}  {plain_text(source)}"
