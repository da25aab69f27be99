"""describe a dataset for portals and search engines: metadata in MLCommons' Croissant 1.1"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from reader.commands.shard_arguments import add_sources
from reader.look.croissant import NAMES, REQUIRED, DatasetFile, croissant, said_by
from reader.opening.find import ALL_SPLITS, Source, find_shards, read_manifest
from reader.opening.open_shards import datasets_of, open_shards
from shardio.errors import DatasetError, MissingFileError
from shardio.format.manifest import Manifest
from shardio.format.naming import INDEX_SUFFIX, MANIFEST, RECORDS, REJECTS
from shardio.grammar import counted
from shardio.plain_text import plain_text
from shardio.storage import storage_for
from shardio.storage.chooser import local_path
from shardio.storage.paths import folder_of, join, name_of
from shardio.storage.whole_file import digest_of, write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_sources(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="croissant.json",
        metavar="FILE",
        help="the description, which names the files relative to itself (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the description."""
    manifest, folder = _whole(arguments.shards)
    files = [
        DatasetFile(name, _url(join(folder, name), arguments.output), size, digest)
        for name, size, digest in _files(folder, manifest)
    ]
    write_file(arguments.output, croissant(manifest, files, name_of(folder)))
    said = said_by(manifest.metadata)
    print(f"{plain_text(arguments.output)}: {counted(len(files), 'file')} of {plain_text(folder)}")
    lacks = [NAMES[name][0] for name in REQUIRED if name not in said]
    if lacks:
        print(
            f"Croissant asks for {', '.join(lacks)} too: shardio-convert takes them as --metadata "
            f"{lacks[0]}=..., with the command that made the set"
        )
    return 0


def _whole(sources: list[Source]) -> tuple[Manifest, str]:
    """Return manifest and folder of what is named; DatasetError unless it is a whole dataset."""
    if len(datasets_of(sources)) > 1:
        raise DatasetError("Croissant describes one dataset; name one folder")
    folders = {folder_of(info.path) for info in find_shards(sources, ALL_SPLITS)}
    if any(read_manifest(folder) is None for folder in folders):
        raise DatasetError(
            f"there is no {MANIFEST} beside these shards, which a description is made of; "
            "shardio-convert makes sets that have one, also of shards of other tools"
        )
    shards = open_shards(sources, ALL_SPLITS)
    manifest = shards.manifest
    assert manifest is not None
    if len(shards.shards) != len(manifest.shards) or len(folders) != 1:
        raise DatasetError(
            f"Croissant describes a whole dataset, and these are {len(shards.shards):,} of "
            f"{counted(len(manifest.shards), 'shard')} in {counted(len(folders), 'folder')}; name "
            "the folder of the dataset"
        )
    return manifest, folders.pop()


def _files(folder: str, manifest: Manifest) -> list[tuple[str, int, str]]:
    """Return name, size and SHA-256 of each file; those of the shards are the manifest's."""
    found = [(shard.file, shard.bytes, shard.sha256) for shard in manifest.shards]
    indexes = [f"{shard.file}{INDEX_SUFFIX}" for shard in manifest.shards]
    others = [MANIFEST, REJECTS, *([] if manifest.encoding == "raw" else indexes)]
    if manifest.records is not None:
        others.insert(1, RECORDS)
    for name in others:
        path = join(folder, name)
        try:
            size, digest = storage_for(path).stat(path).size, digest_of(path)
        except MissingFileError:
            continue
        if name == RECORDS and digest != manifest.records:
            raise DatasetError(
                f"{path} is not the one that {MANIFEST} names; the command that made the set makes "
                "it again, with --repair"
            )
        found.append((name, size, digest))
    return found


def _url(path: str, output: str) -> str:
    """Return where a file lies, seen from the description."""
    here, there = local_path(path), local_path(output)
    if here is None or there is None:
        return path if here is None else Path(here).absolute().as_uri()
    return os.path.relpath(os.path.abspath(here), os.path.dirname(os.path.abspath(there)))
