"""The shards that a manifest lists and a folder lacks: lost, or never staged there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase

from reader.opening.find import ALL_SPLITS, Source, as_folder, texts_of
from shardio.errors import FormatError, StorageError
from shardio.format.fields import parse
from shardio.format.manifest import Manifest, ShardEntry
from shardio.format.naming import MANIFEST, STAGED
from shardio.grammar import counted
from shardio.storage import storage_for
from shardio.storage.paths import folder_of, join, name_of

_MARK_BYTES = 1 << 20
_LISTED = 5


def lost_shards(
    source: Source | Sequence[Source],
    split: str | None,
    manifest: Manifest,
    folders: Sequence[str],
    unseen: Sequence[ShardEntry],
) -> list[str]:
    """Return the paths of shards that `source` would name if they were there.

    Those of splits of which no shard was found are `unseen`; some were never staged there.
    """
    texts = texts_of(source)
    if len(texts) == 1 and as_folder(texts[0]) is not None:
        named = {entry.file for entry in unseen if split in (None, ALL_SPLITS, entry.split)}
    else:
        places = [folder.rstrip("/") for folder in folders]
        named = {
            entry.file
            for entry in unseen
            if any(_matches(text, f"{place}/{entry.file}") for text in texts for place in places)
        }
    if not named:
        return []
    _, absent = _absent(manifest, folders)
    return [join(folders[0], entry.file) for entry in absent if entry.file in named]


def _matches(pattern: str, path: str) -> bool:
    """Whether a glob takes a path; `*` crosses no slash."""
    parts, names = pattern.split("/"), path.split("/")
    return len(parts) == len(names) and all(map(fnmatchcase, names, parts))


def _absent(manifest: Manifest, folders: Sequence[str]) -> tuple[frozenset[str], list[ShardEntry]]:
    """Return the splits that were staged, if not all were, and the shards that should be there."""
    there = {name_of(i.path) for folder in folders for i in storage_for(folder).list(folder)}
    absent = [entry for entry in manifest.shards if entry.file not in there]
    staged = frozenset[str]().union(*map(staged_splits, folders)) if absent else frozenset[str]()
    return staged, [entry for entry in absent if not staged or entry.split in staged]


def staged_splits(folder: str) -> frozenset[str]:
    """Return the splits that were staged to a folder, where these are not all; else nothing."""
    path = join(folder, STAGED)
    try:
        mark = parse(storage_for(path).read_file(path, _MARK_BYTES), path)
    except (StorageError, FormatError):
        return frozenset()
    splits = mark.get("splits") if isinstance(mark, dict) else None
    return frozenset(map(str, splits)) if isinstance(splits, list) else frozenset()


def mark_staged(splits: Sequence[str]) -> bytes:
    """Return what says that only some splits were staged."""
    return json.dumps({"splits": sorted(splits)}, indent=1).encode()


def describe_absent(manifest: Manifest | None, paths: Sequence[str]) -> list[tuple[str, str]]:
    """Say what the manifest lists and the folders of some shards lack: a word, and a sentence."""
    if manifest is None:
        return []
    folders = sorted({folder_of(path) for path in paths})
    staged, lost = _absent(manifest, folders)
    said = []
    if staged:
        counts = Counter(entry.split for entry in manifest.shards if entry.split not in staged)
        others = ", ".join(
            f"{split} ({counted(count, 'shard')})" for split, count in counts.items()
        )
        said.append(
            ("staged", f"only {', '.join(sorted(staged))} was copied here; not staged: {others}")
        )
    if lost:
        names = ", ".join(entry.file for entry in lost[:_LISTED])
        more = ", ..." if len(lost) > _LISTED else ""
        said.append(
            ("missing", f"{MANIFEST} lists {counted(len(lost), 'shard')} not there: {names}{more}")
        )
    return said
