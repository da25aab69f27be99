"""Opening one dataset: its files are held against the manifest, and what does not fit is named."""

from __future__ import annotations

from collections.abc import Sequence

from reader.fetch.fixed_records import FixedRecords
from reader.files.shard import ShardFile
from reader.opening.absent_shards import lost_shards
from reader.opening.described import SetOptions
from reader.opening.find import Source, absent, absent_by_name, find_shards, read_manifest
from reader.opening.first_record import read_first_record
from reader.opening.open_foreign import open_encoded, open_foreign
from reader.shardset import ShardSet
from shardio.errors import DatasetError, FormatError, OptionError
from shardio.format.discovery import discover
from shardio.format.encoding import Encoding
from shardio.format.label import Label
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST, ShardName
from shardio.format.transform import MODES
from shardio.storage import FileInfo
from shardio.storage.paths import folder_of, name_of

_LISTED = 20


def open_dataset(
    source: Source | Sequence[Source], split: str | None, options: SetOptions
) -> ShardSet:
    """Open the shards of one dataset; raises as `open_shards` does."""
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
                f"{folders[0]}/{MANIFEST} says what images and labels are: leave out "
                f"{' and '.join(options.given)}"
            )
        return _with_manifest(files, manifest, source, split)
    return open_without_manifest(files, options)


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
    unseen = [entry for entry in manifest.shards if entry.split not in splits]
    lost = lost_shards(source, split, manifest, folders, unseen) if unseen else []
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
    """Return the layout of a record that shardio wrote, None for a foreign one."""
    try:
        return discover(first)
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


def _refuse(problems: list[str]) -> None:
    if problems:
        more = len(problems) - _LISTED
        raise DatasetError(
            "these shards cannot be used together:\n  "
            + "\n  ".join(problems[:_LISTED])
            + (f"\n  and {more} more" if more > 0 else "")
        )
