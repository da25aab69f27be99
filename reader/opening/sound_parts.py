"""A set of which something may be wrong, opened as far as it can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from reader.files.shard import ShardFile
from reader.opening.described import SetOptions
from reader.opening.find import Source, absent_by_name, find_shards, read_manifest
from reader.opening.open_dataset import (
    match,
    missing_shards,
    open_dataset,
    open_matched,
    open_without_manifest,
)
from reader.shardset import ShardSet
from shardio.errors import OptionError, ShardioError
from shardio.format.manifest import Manifest
from shardio.storage import FileInfo
from shardio.storage.paths import folder_of

# The path of a file, and a sentence that names it.
Problem = tuple[str, str]


@dataclass
class SoundParts:
    """The shards that can be opened, in one set or several, and what is wrong with the others.

    `is_part` tells that not all shards of a dataset were asked for.
    """

    manifest: Manifest | None
    sets: list[ShardSet] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    is_part: bool = False

    @classmethod
    def of(cls, shards: ShardSet) -> SoundParts:
        """Return the parts of a set that is open."""
        taken = {shard.entry.file for shard in shards.shards if shard.entry}
        is_part = shards.manifest is not None and len(taken) < len(shards.manifest.shards)
        return cls(shards.manifest, [shards], is_part=is_part)

    @property
    def shards(self) -> int:
        """The number of shards, sound or not."""
        return sum(len(shards.shards) for shards in self.sets) + len(
            {path for path, _ in self.problems}
        )


def open_sound_parts(
    source: Source | Sequence[Source], split: str | None, options: SetOptions
) -> SoundParts:
    """Open what can be opened of the set that `open_shards` would open.

    Raises what `open_shards` raises where nothing is found, or what was asked for cannot be right.
    """
    try:
        shards = open_dataset(source, split, options)
    except OptionError:
        raise
    except ShardioError as error:
        return _parts(source, split, options, error)
    return SoundParts.of(shards)


def _parts(
    source: Source | Sequence[Source], split: str | None, options: SetOptions, error: ShardioError
) -> SoundParts:
    files = find_shards(source, split)
    manifests = [read_manifest(folder) for folder in sorted({folder_of(f.path) for f in files})]
    if len({manifest and manifest.fingerprint for manifest in manifests}) > 1:
        raise error
    manifest = manifests[0]
    found = SoundParts(manifest, is_part=True)
    if manifest is None:
        found.problems += map(_missing, absent_by_name(files))
        _open_each(
            found,
            [info for info in files if info.size],
            lambda info: open_without_manifest([info], options, alone=True),
        )
    else:
        shards, found.problems = match(files, manifest)
        left_out, missing = missing_shards(files, manifest, source, split)
        found.problems += map(_missing, missing)
        try:
            found.sets = [open_matched(shards, manifest, left_out)] if shards else []
        except ShardioError:
            _open_each(found, shards, lambda shard: open_matched([shard], manifest, ()))
    if not found.problems:  # each is sound, and they do not belong together
        found.problems = [(files[0].path, str(error))]
    return found


def _missing(sentence: str) -> Problem:
    return sentence.partition(" is missing")[0], sentence


def _open_each(
    found: SoundParts, files: Sequence[FileInfo | ShardFile], opens: Callable[[Any], ShardSet]
) -> None:
    """Open every file by itself."""
    for info in files:
        try:
            found.sets.append(opens(info))
        except ShardioError as error:
            found.problems.append((info.path, str(error)))
