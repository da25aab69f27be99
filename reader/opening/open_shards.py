"""Opening a set of shards: find them, hold them against the manifest, name what does not fit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from reader.cache.folder import ShardCache
from reader.fetch.fixed_records import FixedRecords
from reader.files.shard import ShardFile
from reader.opening.absent_shards import lost_shards
from reader.opening.described import SetOptions
from reader.opening.find import Source, absent, absent_by_name, find_shards, unfinished_hint
from reader.opening.first_record import read_first_record
from reader.opening.open_foreign import open_encoded, open_foreign
from reader.shardset import ShardSet
from shardio.errors import DatasetError, FormatError, MissingFileError, OptionError
from shardio.format.encoding import Encoding
from shardio.format.label import Label
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import MODES
from shardio.storage import FileInfo, storage_for
from shardio.storage.paths import folder_of, join, name_of

_LISTED = 20
# A hundred times what 100,000 shards take; a larger file is something else.
_MANIFEST_BYTES = 1 << 30


def open_shards(
    source: Source | Sequence[Source],
    split: str | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: int | Sequence[int] | None = None,
    image: str | None = None,
    labels: str | Sequence[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_limit: int | str | None = None,
) -> ShardSet:
    """Open shards for reading.

    `source` is a glob, a list of globs or files, or the folder of a dataset; each may be a URL.
    `split` chooses a split of a folder that holds several; `"*"` takes them all. `shape` (height,
    width, channels) and `classes` (of all heads, or of each) are needed only where no dataset.json
    lies beside the shards.

    TFRecord shards that others wrote are opened too: `image` names the bytes feature with the
    image, `labels` the int64 features with the labels, where their usual names do not tell. Encoded
    images (PNG, JPEG, WebP) must all have one size, `shape` or that of the first. Each shard is
    read once for an index, which is kept beside it or, where that cannot be, in a cache folder.

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
    long, unknown, or of another dataset, and OptionError where not one shard fits in the limit.
    """
    if cache is not None:
        shards = open_shards(
            source, split, shape=shape, classes=classes, image=image, labels=labels
        )
        return _cached(shards, ShardCache.of(cache, cache_limit))
    if cache_limit is not None:
        raise OptionError("cache_limit goes with cache, a folder on a local disk")
    options = SetOptions(shape, classes, image, labels)
    files = find_shards(source, split)
    folders = sorted({folder_of(info.path) for info in files})
    manifests = {folder: read_manifest(folder) for folder in folders}
    manifest = manifests[folders[0]]
    fingerprints = {
        folder: None if found is None else found.fingerprint for folder, found in manifests.items()
    }
    others = [folder for folder in folders if fingerprints[folder] != fingerprints[folders[0]]]
    if others:
        raise DatasetError(
            f"the shards belong to different datasets: those in {folders[0]} and those in "
            f"{', '.join(others[:_LISTED])}; open one dataset at a time"
        )
    if manifest is not None:
        if options.given:
            raise OptionError(
                f"{' and '.join(options.given)} are in {folders[0]}/{MANIFEST}; do not give them"
            )
        return _with_manifest(files, manifest, source, split)
    return open_without_manifest(files, options)


def _cached(shards: ShardSet, cache: ShardCache) -> ShardSet:
    least = min((shard.size for shard in shards.shards if shard.size), default=0)
    if cache.limit is not None and cache.limit < least:
        raise OptionError(
            f"cache_limit is {cache.limit:,} bytes, and the smallest shard has {least:,}: nothing "
            "could be cached"
        )
    return replace(shards, cache=cache)


def _with_manifest(
    files: list[FileInfo],
    manifest: Manifest,
    source: Source | Sequence[Source],
    split: str | None,
) -> ShardSet:
    shards, problems = match(files, manifest)
    _refuse([what for _, what in problems])
    left_out, missing = missing_shards(files, manifest, source, split)
    _refuse(missing)
    return open_matched(shards, manifest, left_out)


def match(
    files: Sequence[FileInfo], manifest: Manifest
) -> tuple[list[ShardFile], list[tuple[str, str]]]:
    """Hold files against the manifest; returns the shards, and the path and fault of the others."""
    entries = {entry.file: entry for entry in manifest.shards}
    problems: list[tuple[str, str]] = []
    shards: dict[str, ShardFile] = {}
    for info in files:
        name = name_of(info.path)
        entry = entries.get(name)
        if entry is None:
            problems.append((info.path, f"{info.path} is not a shard of the dataset"))
            continue
        if name in shards:
            problems.append((info.path, f"{info.path} is the same shard as {shards[name].path}"))
            continue
        if info.size != entry.bytes:
            cut = "was cut" if info.size < entry.bytes else "is too long"
            what = f"{info.path} {cut}: it has {info.size} bytes, {MANIFEST} says {entry.bytes}"
            problems.append((info.path, what))
        shards[name] = ShardFile(info.path, entry.records, entry, info.identity, info.size)
    wrong = {path for path, _ in problems}
    return [shard for shard in shards.values() if shard.path not in wrong], problems


def missing_shards(
    files: Sequence[FileInfo],
    manifest: Manifest,
    source: Source | Sequence[Source],
    split: str | None,
) -> tuple[tuple[str, ...], list[str]]:
    """Return the shards that `source` left out of its splits, and what to say of those missing."""
    names = {name_of(info.path) for info in files}
    seen = {entry.file for entry in manifest.shards} & names
    splits = {entry.split for entry in manifest.shards if entry.file in seen}
    left_out = tuple(
        entry.file for entry in manifest.shards if entry.split in splits and entry.file not in seen
    )
    folders = sorted({folder_of(info.path) for info in files})
    lost = lost_shards(source, split, manifest, folders, seen)
    others = "; to open what is there, name its split"
    return left_out, absent(folders, left_out) + [f"{path} is missing{others}" for path in lost]


def open_matched(
    shards: Sequence[ShardFile], manifest: Manifest, left_out: tuple[str, ...]
) -> ShardSet:
    """Open shards that are as the manifest says."""
    if not Encoding(manifest.encoding).is_raw:
        return open_encoded(shards, manifest, left_out)
    return ShardSet(
        tuple(shards),
        FixedRecords(manifest.layout),
        manifest.shape,
        manifest.labels,
        manifest,
        left_out,
    )


def open_without_manifest(
    named: list[FileInfo], options: SetOptions, *, alone: bool = False
) -> ShardSet:
    """Find the layout from the first record, and the number of records from the sizes.

    Shards that stand `alone` are opened even if others lack that their names count on.
    """
    files = [info for info in named if info.size]
    if not files:
        raise DatasetError("all shards are empty")
    first = read_first_record(files[0])
    layout = None if options.of_features else _own_layout(first)
    if layout is None:
        _refuse(_disagreeing(named) or ([] if alone else absent_by_name(named)))
        return open_foreign(files, first, options)
    shape = options.shape
    if shape is None:
        raise OptionError(
            f"there is no {MANIFEST} beside {files[0].path}; give the shape of its images, which "
            f"have {layout.image_bytes} bytes: shape=(height, width, channels), or --shape HxWx3"
        )
    height, width, channels = shape
    if channels not in MODES or height < 1 or height * width * channels != layout.image_bytes:
        wrong = "" if channels in MODES else "; channels are 1, 3 or 4"
        raise OptionError(
            f"images of shape {shape} have {height * width * channels} bytes, those in "
            f"{files[0].path} have {layout.image_bytes}{wrong}"
        )
    counts = options.class_counts(layout.kinds)
    problems = [
        f"{info.path} has {info.size} bytes, which is no multiple of the record's {layout.stride}: "
        "it was cut, or belongs to another dataset"
        for info in files
        if info.size % layout.stride
    ]
    _refuse(problems + _disagreeing(files) or ([] if alone else absent_by_name(named)))
    shards = tuple(
        ShardFile(info.path, info.size // layout.stride, None, info.identity, info.size)
        for info in files
    )
    labels = tuple(
        Label(name, count, None, kind)
        for name, count, kind in zip(layout.labels, counts, layout.kinds, strict=True)
    )
    return ShardSet(shards, FixedRecords(layout), shape, labels, None, ())


def _own_layout(first: bytes) -> RecordLayout | None:
    """Return the layout of a record that shardio wrote, None for one of others."""
    try:
        return RecordLayout.discover(first)
    except FormatError:
        return None


def _disagreeing(files: list[FileInfo]) -> list[str]:
    """Say of which splits the names of shards count differently."""
    problems = []
    names = [ShardName.parse(name_of(info.path)) for info in files]
    for split in {name.split for name in names if name}:
        said = sorted({name.count for name in names if name and name.split == split})
        if len(said) > 1:
            problems.append(
                f"the names of split {split} speak of {' and of '.join(map(str, said))} shards: "
                "these are shards of different datasets"
            )
    return problems


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


def _refuse(problems: list[str]) -> None:
    if problems:
        more = len(problems) - _LISTED
        raise DatasetError(
            "these shards cannot be used together:\n  "
            + "\n  ".join(problems[:_LISTED])
            + (f"\n  and {more} more" if more > 0 else "")
        )
