"""write an index for each shard of other tools, ahead of reading, or for NVIDIA DALI"""

from __future__ import annotations

import argparse

from reader.commands.shard_arguments import add_sources, sources_of
from reader.files.in_threads import Progress, in_threads
from reader.foreign.index_pass import make_index
from reader.foreign.shard_index import (
    beside,
    cache_folder,
    read_cached,
    read_index,
    refuse_cut,
    write_cached,
    write_index,
)
from reader.opening.find import ALL_SPLITS, find_shards, read_manifest
from shardio.errors import OptionError
from shardio.format.index import ShardIndex
from shardio.format.naming import MANIFEST
from shardio.grammar import agreeing, counted
from shardio.progress import progress
from shardio.storage import FileInfo
from shardio.storage.paths import folder_of, join, name_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_sources(parser)
    places = parser.add_mutually_exclusive_group()
    places.add_argument(
        "--beside",
        action="store_true",
        help="write SHARD.idx beside each shard, for every machine and for NVIDIA DALI; mind that"
        " globs like train-* match these files, too (default: to the cache that open_shards uses)",
    )
    places.add_argument(
        "--out", metavar="FOLDER", help="write SHARD.idx to another folder, for NVIDIA DALI"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the indexes that are missing, and say how many."""
    files = find_shards(sources_of(arguments), ALL_SPLITS)
    paths = _paths(files, arguments.out, is_beside=arguments.beside)
    total = sum(info.size for info in files)
    with progress(total, "B", quiet=arguments.quiet) as told:

        def work(info: FileInfo, tell: Progress) -> tuple[bool, int]:
            path = paths.get(info.path)
            index = _found(info, path)
            if index is not None:
                tell(info.size)
                return False, len(index)
            if path is None:
                refuse_cut(info)
            index = make_index(info, tell)
            if path is None:
                write_cached(info, index)
            else:
                write_index(path, index)
            return True, len(index)

        done = in_threads(work, files, told)
    written = sum(fresh for fresh, _ in done)
    records = sum(count for _, count in done)
    where = "beside the shards" if arguments.beside else f"to {arguments.out or cache_folder()}"
    rest = len(done) - written
    kept = f"; {rest:,} {agreeing(rest, 'was')} up to date" if rest else ""
    made = f"{written} of {counted(len(done), 'index')}"
    print(f"{made} written {where}, {counted(records, 'record')}{kept}")
    return 0


def _found(info: FileInfo, path: str | None) -> ShardIndex | None:
    """Read an index that is at `path` or, without one, where open_shards finds it."""
    if path is not None:
        return read_index(info, path)
    return read_index(info, beside(info.path)) or read_cached(info)


def _paths(files: list[FileInfo], folder: str | None, *, is_beside: bool) -> dict[str, str]:
    """Return where the index of each shard goes; nothing for the cache."""
    if is_beside:
        return {info.path: beside(info.path) for info in files}
    if folder is None:
        for own in sorted({folder_of(info.path) for info in files}):
            if read_manifest(own) is not None:
                raise OptionError(
                    f"{own} has a {MANIFEST}, and needs no indexes here; for other programs say "
                    "where they go: --out FOLDER, or --beside"
                )
        return {}
    names = [name_of(info.path) for info in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"--out needs shards of distinct names; there are several {twice[0]}")
    return {info.path: join(folder, beside(name_of(info.path))) for info in files}
