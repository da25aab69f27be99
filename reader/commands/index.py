"""write an index for each shard, as NVIDIA DALI and shards of others need it"""

from __future__ import annotations

import argparse
import sys

from tqdm import tqdm

from reader.find import ALL_SPLITS, find_shards, name_of
from reader.index_pass import Progress, make_index
from reader.shard_index import beside, in_threads, read_index, write_index
from shardio.errors import OptionError
from shardio.storage import FileInfo
from shardio.storage.chooser import join


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "shards",
        nargs="+",
        metavar="GLOB",
        help="a glob (in quotes), files, or the folder of a dataset; each may be a URL",
    )
    parser.add_argument(
        "--out",
        metavar="FOLDER",
        help="where the indexes go (default: beside the shards, as SHARD.idx)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the indexes that are missing, and say how many."""
    sources = arguments.shards[0] if len(arguments.shards) == 1 else arguments.shards
    files = find_shards(sources, ALL_SPLITS)
    paths = _paths(files, arguments.out)
    total = sum(info.size for info in files)
    with tqdm(total=total, unit="B", unit_scale=True, disable=not sys.stderr.isatty()) as bar:

        def work(info: FileInfo, progress: Progress) -> tuple[bool, int]:
            index = read_index(info, paths[info.path])
            if index is not None:
                progress(info.size)
                return False, len(index)
            index = make_index(info, progress)
            write_index(paths[info.path], index)
            return True, len(index)

        done = in_threads(work, files, bar.update)
    written = sum(fresh for fresh, _ in done)
    records = sum(count for _, count in done)
    where = f"to {arguments.out}" if arguments.out else "beside the shards"
    kept = f"; {len(done) - written} were up to date" if written < len(done) else ""
    print(f"{written} of {len(done)} indexes written {where}, {records:,} records{kept}")
    return 0


def _paths(files: list[FileInfo], folder: str | None) -> dict[str, str]:
    """Return where the index of each shard goes."""
    if folder is None:
        return {info.path: beside(info.path) for info in files}
    names = [name_of(info.path) for info in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"--out needs shards of distinct names; there are several {twice[0]}")
    return {info.path: join(folder, beside(name_of(info.path))) for info in files}
