"""Which datasets a list of sources names: one, or several to be joined."""

from __future__ import annotations

from collections.abc import Sequence

from reader.opening.find import Source, as_folder, texts_of
from reader.opening.manifests import read_manifest
from reader.shardset import ShardSet
from shardio.errors import OptionError
from shardio.format.naming import ShardName
from shardio.storage.paths import folder_of, name_of
from shardio.storage.search import is_glob

Group = ShardSet | list[Source]


def datasets_of(sources: Sequence[Source | ShardSet]) -> list[Group]:
    """Group the sources of each dataset, in the order of the first one of each.

    Files and globs belong to one dataset where their folders have the same dataset.json, or none;
    each folder, and each set that is open, stands alone.
    """
    if not sources:
        raise OptionError("no shards are named")
    if len(sources) == 1:
        (only,) = sources
        return [only if isinstance(only, ShardSet) else [only]]
    groups: dict[object, Group] = {}
    known: dict[str, object] = {}
    for number, source in enumerate(sources):
        if isinstance(source, ShardSet):
            groups[number] = source
            continue
        (text,) = texts_of(source)
        # A list may name thousands of shards, and each look at a storage takes its time.
        looks = not is_glob(text) and ShardName.parse(name_of(text)) is None
        if looks and as_folder(text) is not None:
            groups[number] = [source]
            continue
        folder = folder_of(text)
        if folder not in known:
            manifest = None if is_glob(folder) else read_manifest(folder)
            known[folder] = None if manifest is None else manifest.fingerprint
        group = groups.setdefault(("files", known[folder]), [])
        assert isinstance(group, list)
        group.append(source)
    return list(groups.values())
