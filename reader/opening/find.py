"""Finding shards and their manifest: what a glob, a list or a folder names, and what is gone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from shardio.errors import DatasetError, MissingFileError, OptionError
from shardio.format.manifest import Manifest
from shardio.format.naming import (
    BESIDE,
    INDEX_SUFFIX,
    MANIFEST,
    PLAN,
    SPLIT_PATTERN,
    STAGE,
    ShardName,
)
from shardio.storage import FileInfo, search, storage_for
from shardio.storage.paths import folder_of, join, name_of, scheme_of
from shardio.storage.search import expanded, is_glob

ALL_SPLITS = "*"
# A hundred times what 100,000 shards take; a larger file is something else.
_MANIFEST_BYTES = 1 << 30

# As TensorFlow Datasets names them: `mnist-train.tfrecord-00000-of-00001`.
_OF_TFDS = re.compile(rf"(?:.*-)?({SPLIT_PATTERN})\.[a-z]+-([0-9]{{5}})-of-([0-9]{{5}})")
_OTHER_NAMES = (
    ": their names are like train-00000-of-00001.tfrecord or name-train.tfrecord-00000-of-00001; "
    "name others by a glob"
)
Source = str | os.PathLike[str]


def find_shards(source: Source | Sequence[Source], split: str | None) -> list[FileInfo]:
    """Return the files that `source` names, sorted by name."""
    texts = texts_of(source)
    if split not in (None, ALL_SPLITS) and not re.fullmatch(SPLIT_PATTERN, str(split)):
        raise OptionError(f"split must be the name of a split, not {split!r}")
    if len(texts) == 1 and (folder := as_folder(texts[0])) is not None:
        return _find_in_folder(folder, split)
    if split not in (None, ALL_SPLITS):
        if len(texts) == 1 and not is_glob(texts[0]):
            raise MissingFileError(f"there is no folder {texts[0]}")
        raise OptionError("split goes with the folder of a dataset; a glob names its files itself")
    files: dict[str, FileInfo] = {}
    for text in texts:
        found = _matches(text)
        shards = [info for info in found if _is_data(name_of(info.path))]
        # Who makes a list of a glob names the files that are no shards, too.
        if not shards and (not found or is_glob(text) or len(texts) == 1):
            what = f"; {found[0].path} is no shard" if found else unfinished_hint(text)
            raise MissingFileError(f"no shards match {text}{what}")
        for info in shards:
            if info.path in files:
                raise DatasetError(f"{info.path} is named twice")
            files[info.path] = info
    if not files:
        raise MissingFileError(f"none of the {len(texts)} files named is a shard")
    return sorted(files.values(), key=lambda info: (folder_of(info.path), _sort_key(info.path)))


def texts_of(source: Source | Sequence[Source]) -> list[str]:
    """Return the paths, URLs and globs of a source, whole and without braces."""
    patterns = [source] if isinstance(source, str | os.PathLike) else list(source)
    texts = [os.fspath(pattern) for pattern in patterns]
    if not texts or "" in texts:
        raise OptionError("no shards are named: give a glob, a list of files or a folder")
    # So that the set is still found when the process goes to another folder.
    whole = (
        text if scheme_of(text) else os.path.abspath(os.path.expanduser(text)) for text in texts
    )
    return [name for text in whole for name in expanded(text)]


def _matches(text: str) -> list[FileInfo]:
    """Return the file that is called `text`, or those that match it as a glob."""
    try:
        info = storage_for(text).stat(text)
    except MissingFileError:
        return search(text) or _in_named_folder(text)
    return [] if info.is_folder else [info]


def _in_named_folder(text: str) -> list[FileInfo]:
    """Return what matches where a folder has brackets in its name, which a glob takes for a set."""
    folder, name = folder_of(text), name_of(text)
    if "[" not in folder or as_folder(folder) is None:
        return []
    escaped = re.sub(r"([*?\[])", r"[\1]", folder)
    return search(f"{escaped}/{name}")


def _is_data(name: str) -> bool:
    return name not in (MANIFEST, *BESIDE) and not name.endswith(INDEX_SUFFIX)


def as_folder(text: str) -> str | None:
    """Return `text` without its last slash if it is a folder."""
    folder = text.rstrip("/") or "/"
    try:
        return folder if storage_for(folder).stat(folder).is_folder else None
    except MissingFileError:
        if re.search(r"[*?\[]", text):
            return None
        # Some storages have no folders, only files with slashes in their names.
        return folder if storage_for(folder).list(folder) else None


def _find_in_folder(folder: str, split: str | None) -> list[FileInfo]:
    listed = storage_for(folder).list(folder)
    names = _named(listed, ShardName.parse) or _named_by_tfds(folder, listed)
    splits = sorted({name.split for name, _ in names})
    if not splits:
        raise MissingFileError(
            f"no shards in the folder {folder}{unfinished_hint(folder + '/') or _OTHER_NAMES}"
        )
    if split is None and len(splits) > 1:
        raise OptionError(
            f"{folder} has the splits {', '.join(splits)}; choose one with split={splits[0]!r}, "
            f"or take all of them by the glob {folder}/*.tfrecord*"
        )
    if split == ALL_SPLITS:
        return [info for _, info in sorted(names, key=_first)]
    if split is not None and split not in splits:
        raise MissingFileError(f"{folder} has no split {split}; it has {', '.join(splits)}")
    wanted = split or splits[0]
    return [info for name, info in sorted(names, key=_first) if name.split == wanted]


def _named(
    listed: Sequence[FileInfo], parse: Callable[[str], ShardName | None]
) -> list[tuple[ShardName, FileInfo]]:
    """Return the shards among some files."""
    return [(name, info) for info in listed if (name := parse(name_of(info.path))) is not None]


def _named_by_tfds(folder: str, listed: Sequence[FileInfo]) -> list[tuple[ShardName, FileInfo]]:
    """Return the shards that are named as TFDS does; raises DatasetError where one is missing."""
    found = _named(listed, lambda name: ShardName.of(_OF_TFDS.fullmatch(name)))
    there: dict[tuple[str, int], set[int]] = {}
    for name, _ in found:
        there.setdefault((name.split, name.count), set()).add(name.index)
    for (split, count), indexes in there.items():
        lacks = next((index for index in range(count) if index not in indexes), None)
        if lacks is not None:
            raise DatasetError(f"{folder} lacks shard {lacks} of the {count} of split {split}")
    return found


def _first(pair: tuple[ShardName, FileInfo]) -> tuple[str, int, int]:
    return pair[0].split, pair[0].index, pair[0].count


def absent(folders: Sequence[str], names: Sequence[str]) -> list[str]:
    """Name the shards that a glob did not take because they are in none of the folders."""
    if not names:
        return []
    there = {name_of(i.path) for folder in folders for i in storage_for(folder).list(folder)}
    return [f"{join(folders[0], name)} is missing" for name in names if name not in there]


def absent_by_name(files: list[FileInfo]) -> list[str]:
    """Name the shards that are not there although others, by their names, count on them."""
    problems = []
    for folder in sorted({folder_of(info.path) for info in files}):
        names = [ShardName.parse(name_of(i.path)) for i in files if folder_of(i.path) == folder]
        for split, count in sorted({(name.split, name.count) for name in names if name}):
            wanted = [str(ShardName(split, index, count)) for index in range(count)]
            problems += absent([folder], wanted)
    return problems


def unfinished_hint(pattern: str) -> str:
    """Say if an unfinished conversion or copy is why shards are missing."""
    for name, what in ((PLAN, "conversion into it"), (STAGE, "copy to it by `shardio-read stage`")):
        path = join(folder_of(pattern), name)
        try:
            storage_for(path).stat(path)
        except MissingFileError:
            continue
        return f": a {what} is not finished; run its command again"
    return ""


def read_manifest(folder: str, *, unfinished: bool = False) -> Manifest | None:
    """Return the manifest of a folder, None where there is none.

    Raises DatasetError where one is still to come, unless `unfinished` folders are looked at too.
    """
    path = join(folder, MANIFEST)
    try:
        return Manifest.from_json(storage_for(folder).read_file(path, _MANIFEST_BYTES), path)
    except MissingFileError:
        if not unfinished and (hint := unfinished_hint(f"{folder}/")):
            raise DatasetError(f"{folder} is not a dataset yet{hint}") from None
        return None


def _sort_key(path: str) -> tuple[str, int, str]:
    name = ShardName.parse(name_of(path))
    return (name.split, name.index, "") if name else (name_of(path), 0, "")
