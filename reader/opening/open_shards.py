"""Opening a set of shards: find them, hold them against the manifest, name what does not fit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from reader.cache.folder import ShardCache
from reader.opening.described import SetOptions
from reader.opening.find import Source, as_folder, read_manifest, texts_of
from reader.opening.join import join, refuse_other_transforms
from reader.opening.open_dataset import open_dataset
from reader.opening.shared_records import refuse_shared_records
from reader.shardset import ShardSet
from shardio.errors import OptionError
from shardio.format.naming import ShardName
from shardio.storage.paths import folder_of, name_of
from shardio.storage.search import expanded, is_glob

# The sources of one dataset, or a set that is open.
Group = ShardSet | list[Source]


def open_shards(
    source: Source | ShardSet | Sequence[Source | ShardSet],
    split: str | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: int | Sequence[int] | None = None,
    image: str | Mapping[str, str | None] | None = None,
    labels: str | Sequence[str] | Mapping[str, str | Sequence[str] | None] | None = None,
    missing: int | None = None,
    size: tuple[int, int] | None = None,
    crop: Literal["center"] | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_limit: int | str | None = None,
) -> ShardSet:
    """Open shards for reading.

    `source` is a glob, a list of globs or files, or the folder of a dataset; each may be a URL, and
    braces stand for several as in shells: `train-{00..15}.tfrecord`.
    Several datasets, or sets that are open, become one: their records in the order of the list.
    They need images of one shape, the same labels and one vocabulary, which those behind may
    continue; with `rows` their rows are pairs of the member's number and the row.

    `split` chooses a split of a folder that holds several; `"*"` takes them all. `shape` (height,
    width, channels) and `classes` (of all heads, or of each) are needed only where no dataset.json
    lies beside the shards.

    TFRecord shards that others wrote are opened too: `image` names the bytes feature with the
    image, `labels` the features with the labels, where their usual names do not tell: integers,
    floats, and lists of one length. A mapping says how labels are read that are bytes:
    `labels={"name": ["cat", "dog"], "target": "int64", "y": None}` lists the texts of the classes
    of one, gives the NumPy dtype of the values of another, and takes numbers as they are. A label
    that is not there, -1 or an empty text is the class `missing`, if that is given. Raw pixels are
    uint8, or what `image={"image_raw": "float32"}` says: floats stay as they are, and of "uint16"
    the high byte is kept. Encoded images (PNG, JPEG, WebP, GIF, BMP) must all have one size,
    `shape` or that of the first, or are resized to `size`, (height, width), with Pillow's bicubic
    filter: the whole of each or, with `crop="center"`, as much of its centre as has that shape.
    Each shard is read once for an index, which is kept beside it or, where that cannot be, in a
    cache folder.

    With `cache`, a folder on a local disk, whole shards are copied there by a thread from the first
    read on, checked, and read from there as soon as they are whole; the samples and their order are
    the same at all times. Any number of processes may share the folder. `cache_limit`, in bytes or
    like "200GB", bounds all that is in it; without it, a twentieth of the disk, at most 10 GB, is
    left free. When there is no more room, shards of sets that no process has open go, those first
    that were not used for longest. A set that is larger than the cache keeps there what fitted in,
    and the rest is read from its source in every epoch. Where nothing can be cached, a CacheWarning
    says why, once, and all is read from the source.

    The sizes of all shards are compared with the manifest here; nothing else is read. Raises
    MissingFileError where nothing matches, DatasetError, which lists every shard that is cut, too
    long, unknown, or of another dataset, and OptionError where not one shard fits in the limit, or
    two of several sets share a record.
    """
    single = isinstance(source, str | os.PathLike | ShardSet) or not isinstance(source, Iterable)
    sources: list[Any] = [source] if single else [*source]  # type: ignore[misc]
    for one in sources:
        if not isinstance(one, str | os.PathLike | ShardSet):
            raise OptionError(
                "shards are named by a path, a glob or a URL, or a list of these and of open sets, "
                f"not by {one!r}"
            )
    groups = datasets_of(sources)
    if len(groups) > 1 or isinstance(groups[0], ShardSet):
        how: dict[str, Any] = {"shape": shape, "classes": classes, "image": image}
        how |= {"labels": labels, "missing": missing, "size": size, "crop": crop}
        how |= {"cache": cache, "cache_limit": cache_limit}
        names = list(map(_named, groups))
        sets = [_opened(group, split, how) for group in groups]
        refuse_other_transforms(sets, names)
        joined = join(sets, names)
        refuse_shared_records(sets, names)
        return joined
    if cache_limit is not None and cache is None:
        raise OptionError("cache_limit goes with cache, a folder on a local disk")
    options = SetOptions(shape, classes, image, labels, missing, size, crop)
    shards = open_dataset(groups[0], split, options)
    return shards if cache is None else _cached(shards, ShardCache.of(cache, cache_limit))


def datasets_of(sources: Sequence[Source | ShardSet]) -> list[Group]:
    """Group the sources of each dataset, in the order of the first one of each.

    Files and globs belong to one dataset where their folders have the same dataset.json, or none;
    each folder, and each set that is open, stands alone.
    """
    if not sources:
        raise OptionError("no shards are named")
    sources = _each(sources)
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


def _each(sources: Sequence[Source | ShardSet]) -> list[Source | ShardSet]:
    """Return the sources, each with braces as the names that it stands for."""
    each: list[Source | ShardSet] = []
    for source in sources:
        each += [source] if isinstance(source, ShardSet) else expanded(os.fspath(source))
    return each


def _opened(group: Group, split: str | None, how: dict[str, Any]) -> ShardSet:
    if not isinstance(group, ShardSet):
        return open_shards(group[0] if len(group) == 1 else group, split, **how)
    given = [name for name, value in {"split": split, **how}.items() if value is not None]
    if given:
        raise OptionError(f"{given[0]} is for shards that are opened: give it to the first opening")
    return group


def _named(group: Group) -> str:
    if isinstance(group, ShardSet):
        return folder_of(group.shards[0].path) if group.shards else "an empty set"
    return os.fspath(group[0])


def _cached(shards: ShardSet, cache: ShardCache) -> ShardSet:
    least = min((shard.size for shard in shards.shards if shard.size), default=0)
    if cache.limit is not None and cache.limit < least:
        raise OptionError(
            f"cache_limit is {cache.limit:,} bytes, and the smallest shard has {least:,}: nothing "
            "could be cached"
        )
    return replace(shards, cache=cache)
