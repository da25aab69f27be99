"""Opening a set of shards: find them, hold them against the manifest, name what does not fit."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from reader.fetch import ShardFile
from reader.shardset import ShardSet
from shardio.errors import (
    CorruptRecordError,
    DatasetError,
    FormatError,
    MissingFileError,
    OptionError,
)
from shardio.format.framing import FRAMING_BYTES, HEADER_BYTES, parse_header
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Label, Manifest
from shardio.format.naming import MANIFEST, PLAN, REJECTS, SPLIT_PATTERN, ShardName
from shardio.storage import FileInfo, search, storage_for
from shardio.storage.chooser import join

_LISTED = 20
ALL_SPLITS = "*"
# No record of ours is as large; a damaged length must not fill the memory.
_MAX_RECORD_BYTES = 1 << 30

Source = str | os.PathLike[str]


def open_shards(
    source: Source | Sequence[Source],
    split: str | None = None,
    *,
    shape: tuple[int, int, int] | None = None,
    classes: int | Sequence[int] | None = None,
) -> ShardSet:
    """Open shards for reading.

    `source` is a glob, a list of globs or files, or the folder of a dataset; each may be a URL.
    `split` chooses a split of a folder that holds several; `"*"` takes them all. `shape` (height,
    width, 3) and `classes` (of all heads, or of each) are needed only where no dataset.json lies
    beside the shards.

    The sizes of all shards are compared with the manifest here; nothing else is read. Raises
    MissingFileError where nothing matches, and DatasetError, which lists every shard that is cut,
    too long, unknown, or of another dataset.
    """
    files = _find(source, split)
    folders = sorted({_folder(info.path) for info in files})
    manifests = {folder: _manifest(folder) for folder in folders}
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
        if shape is not None or classes is not None:
            raise OptionError(f"shape and classes are in {folders[0]}/{MANIFEST}; do not give them")
        return _with_manifest(files, manifest)
    return _without_manifest(files, shape, classes)


def _find(source: Source | Sequence[Source], split: str | None) -> list[FileInfo]:
    """Return the files that `source` names, sorted by name."""
    patterns = [source] if isinstance(source, str | os.PathLike) else list(source)
    texts = [os.fspath(pattern) for pattern in patterns]
    if not texts or "" in texts:
        raise OptionError("no shards are named")
    if split not in (None, ALL_SPLITS) and not re.fullmatch(SPLIT_PATTERN, str(split)):
        raise OptionError(f"split must be the name of a split, not {split!r}")
    if len(texts) == 1 and (folder := _as_folder(texts[0])) is not None:
        return _find_in_folder(folder, split)
    if split not in (None, ALL_SPLITS):
        raise OptionError("split goes with the folder of a dataset; a glob names its files itself")
    files: dict[str, FileInfo] = {}
    for text in texts:
        found = [info for info in search(text) if _name(info.path) not in (MANIFEST, REJECTS)]
        if not found:
            raise MissingFileError(f"no shards match {text}{_hint(text)}")
        for info in found:
            if info.path in files:
                raise DatasetError(f"{info.path} is named twice")
            files[info.path] = info
    return sorted(files.values(), key=lambda info: (_folder(info.path), _sort_key(info.path)))


def _as_folder(text: str) -> str | None:
    """Return `text` without its last slash if it is a folder."""
    if re.search(r"[*?\[]", text):
        return None
    folder = text.rstrip("/") or "/"
    try:
        return folder if storage_for(folder).stat(folder).is_folder else None
    except MissingFileError:
        # Some storages have no folders, only files with slashes in their names.
        return folder if storage_for(folder).list(folder) else None


def _find_in_folder(folder: str, split: str | None) -> list[FileInfo]:
    names = [
        (name, info)
        for info in storage_for(folder).list(folder)
        if (name := ShardName.parse(_name(info.path))) is not None
    ]
    splits = sorted({name.split for name, _ in names})
    if not splits:
        raise MissingFileError(f"no shards in the folder {folder}{_hint(folder + '/')}")
    if split is None and len(splits) > 1:
        raise OptionError(
            f"{folder} has the splits {', '.join(splits)}; choose one with split={splits[0]!r}"
        )
    if split == ALL_SPLITS:
        return [info for _, info in sorted(names, key=_first)]
    if split is not None and split not in splits:
        raise MissingFileError(f"{folder} has no split {split}; it has {', '.join(splits)}")
    wanted = split or splits[0]
    return [info for name, info in sorted(names, key=_first) if name.split == wanted]


def _first(pair: tuple[ShardName, FileInfo]) -> ShardName:
    return pair[0]


def _with_manifest(files: list[FileInfo], manifest: Manifest) -> ShardSet:
    entries = {entry.file: entry for entry in manifest.shards}
    problems: list[str] = []
    shards: list[ShardFile] = []
    seen: dict[str, str] = {}
    for info in files:
        name = _name(info.path)
        entry = entries.get(name)
        if entry is None:
            problems.append(f"{info.path} is not a shard of the dataset")
            continue
        if name in seen:
            problems.append(f"{info.path} is the same shard as {seen[name]}")
        seen[name] = info.path
        if info.size != entry.bytes:
            what = "was cut" if info.size < entry.bytes else "is too long"
            problems.append(
                f"{info.path} {what}: it has {info.size} bytes, {MANIFEST} says {entry.bytes}"
            )
        shards.append(ShardFile(info.path, entry.records, entry))
    _refuse(problems)
    splits = {entries[name].split for name in seen}
    left_out = tuple(
        entry.file for entry in manifest.shards if entry.split in splits and entry.file not in seen
    )
    return ShardSet(
        tuple(shards), manifest.layout, manifest.shape, manifest.labels, manifest, left_out
    )


def _without_manifest(
    files: list[FileInfo],
    shape: tuple[int, int, int] | None,
    classes: int | Sequence[int] | None,
) -> ShardSet:
    """Find the layout from the first record, and the number of records from the sizes."""
    files = [info for info in files if info.size]
    if not files:
        raise DatasetError("all shards are empty")
    layout = _first_layout(files[0])
    if shape is None:
        raise OptionError(
            f"there is no {MANIFEST} beside {files[0].path}; give the shape of its images, which "
            f"have {layout.image_bytes} bytes: shape=(height, width, 3), or --shape HxWx3"
        )
    height, width, channels = shape
    if channels != 3 or height < 1 or height * width * channels != layout.image_bytes:
        raise OptionError(
            f"images of shape {shape} have {height * width * channels} bytes, those in "
            f"{files[0].path} have {layout.image_bytes}"
        )
    heads = len(layout.labels)
    counts = [classes or 0] * heads if isinstance(classes, int | None) else list(classes)
    if len(counts) != heads or min(counts, default=0) < 0:
        raise OptionError(f"classes must be one number, or one for each of {heads} heads")
    problems = [
        f"{info.path} has {info.size} bytes, which is no multiple of the record's {layout.stride}: "
        "it was cut, or belongs to another dataset"
        for info in files
        if info.size % layout.stride
    ]
    names = [ShardName.parse(_name(info.path)) for info in files]
    for split in {name.split for name in names if name}:
        said = sorted({name.count for name in names if name and name.split == split})
        if len(said) > 1:
            problems.append(
                f"the names of split {split} speak of {' and of '.join(map(str, said))} shards: "
                "these are shards of different datasets"
            )
    _refuse(problems)
    shards = tuple(ShardFile(info.path, info.size // layout.stride, None) for info in files)
    labels = tuple(map(Label, layout.labels, counts))
    return ShardSet(shards, layout, (height, width, channels), labels, None, ())


def _first_layout(info: FileInfo) -> RecordLayout:
    with storage_for(info.path).open_stream(info.path) as stream:
        header = _read(stream, HEADER_BYTES)
        length = parse_header(header) if len(header) == HEADER_BYTES else None
        if length is None or length > min(info.size - FRAMING_BYTES, _MAX_RECORD_BYTES):
            raise CorruptRecordError(
                f"{info.path}: record 0 at byte 0: this is no TFRecord file, or its first length "
                "is damaged"
            )
        try:
            return RecordLayout.discover(_read(stream, length))
        except FormatError as error:
            raise DatasetError(
                f"{info.path}: record 0 at byte {HEADER_BYTES} was not written by shardio ({error})"
            ) from error


def _read(stream: object, size: int) -> bytes:
    """Read `size` bytes, fewer only at the end of the file; one read may return less."""
    data = b""
    while len(data) < size and (block := stream.read(size - len(data))):  # type: ignore[attr-defined]
        data += block
    return data


def _manifest(folder: str) -> Manifest | None:
    """Return the manifest of a folder, None where there is none."""
    path = join(folder, MANIFEST)
    try:
        with storage_for(folder).open_stream(path) as stream:
            return Manifest.from_json(stream.read(), path)
    except MissingFileError:
        if hint := _hint(f"{folder}/"):
            raise DatasetError(f"{folder} is not a dataset yet{hint}") from None
        return None


def _hint(pattern: str) -> str:
    """Say if an unfinished conversion is why shards are missing."""
    plan = join(_folder(pattern), PLAN)
    try:
        storage_for(plan).stat(plan)
    except MissingFileError:
        return ""
    return ": a conversion into it is not finished; run its command again"


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or ("/" if path.startswith("/") else ".")


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _sort_key(path: str) -> tuple[str, int, str]:
    name = ShardName.parse(_name(path))
    return (name.split, name.index, "") if name else (_name(path), 0, "")


def _refuse(problems: list[str]) -> None:
    if problems:
        more = len(problems) - _LISTED
        raise DatasetError(
            "these shards cannot be used together:\n  "
            + "\n  ".join(problems[:_LISTED])
            + (f"\n  and {more} more" if more > 0 else "")
        )
