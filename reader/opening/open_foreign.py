"""Opening shards that others wrote: features from the first record, places from the indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from reader.files.shard import IndexedShard, ShardFile
from reader.files.stored import REQUESTS
from reader.foreign.decode import Fit, image_shape
from reader.foreign.features import choose_image, choose_labels, kinds_of, strange_labels
from reader.foreign.indexed_records import IndexedRecords
from reader.foreign.layout import ForeignLayout, image_of
from reader.foreign.raw_pixels import UINT8, RawPixels, other_pixels
from reader.foreign.shard_index import index_shards
from reader.opening.described import SetOptions
from reader.shardset import ShardSet
from shardio.errors import DatasetError, FormatError, OptionError, UnsupportedRecordError
from shardio.examples.example import INT64, Feature, parse_example
from shardio.examples.other_messages import other_message
from shardio.format.encoding import Encoding
from shardio.format.label import Label
from shardio.format.layout import IMAGE, ROW
from shardio.format.manifest import Manifest
from shardio.format.naming import INDEX_SUFFIX, MANIFEST
from shardio.format.transform import MODES
from shardio.grammar import counted
from shardio.imaging.claims import can_hold
from shardio.imaging.file_kind import is_common, other_image
from shardio.storage import FileInfo
from shardio.storage.paths import folder_of


def open_foreign(files: list[FileInfo], first: bytes, options: SetOptions) -> ShardSet:
    """Open shards by index; `first` is the first record of the first one, and none is empty.

    What the first record holds is looked at before the shards are read for their indexes.
    """
    path = files[0].path
    other = other_message(first)
    if other:
        raise UnsupportedRecordError(
            f"{path}: record 0 is {other}, and records of a set are a tf.train.Example: write them "
            "as such"
        )
    try:
        features = parse_example(first)
    except FormatError as error:
        raise DatasetError(f"{path}: record 0 cannot be read: {error}") from error
    try:
        image = choose_image(features, options.image_name)
        label_bytes = options.label_bytes
        labels = choose_labels(features, options.label_names, label_bytes)
        kinds = kinds_of(features, labels, label_bytes)
        read_as = tuple(label_bytes.get(name) for name in labels)
        texts = [None if how is None else how.texts for how in read_as]
        counts = options.class_counts(kinds, texts)
        shape, encoded = _shape(features, image, options)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from error
    except FormatError as error:
        raise DatasetError(f"{path}: record 0: {error}") from error
    except UnsupportedRecordError as error:
        raise UnsupportedRecordError(f"{path}: record 0: {error}") from error
    strange = strange_labels(features) if options.labels is None else frozenset()
    shards = index_shards(files)
    fit: Fit | None = None
    pixels = 0
    if options.size is not None:
        fit = "center" if options.crop else "whole"
        height, width, _ = image_shape(image_of(features, image))
        pixels = height * width
    layout = ForeignLayout(
        image, labels, shape, encoded, strange=strange, kinds=tuple(kinds),
        missing=options.missing, fit=fit, read_as=read_as if any(read_as) else (),
        source_pixels=pixels, raw=options.raw_pixels or UINT8,
    )  # fmt: skip
    layout = measured(layout, shards)
    heads = tuple(
        Label(name, count, of_head, kind)
        for name, count, of_head, kind in zip(labels, counts, texts, kinds, strict=True)
    )
    return ShardSet(shards, IndexedRecords(layout), shape, heads, None, ())


def open_encoded(
    found: Sequence[ShardFile], manifest: Manifest, left_out: tuple[str, ...]
) -> ShardSet:
    """Open a set of this converter that holds encoded images; its indexes lie beside its shards."""
    files = [FileInfo(shard.path, shard.size, shard.identity) for shard in found]
    shards = tuple(
        replace(indexed, entry=shard.entry)
        for indexed, shard in zip(index_shards(files, ours=True), found, strict=True)
    )
    wrong = [shard for shard in shards if shard.entry and shard.records != shard.entry.records]
    if wrong:
        raise DatasetError(
            f"{wrong[0].path}{INDEX_SUFFIX} lists {counted(wrong[0].records, 'record')}, "
            f"{MANIFEST} says "
            f"{wrong[0].entry.records if wrong[0].entry else 0}; remove it, and it is made anew"
        )
    height, width, _ = manifest.shape
    kind = Encoding(manifest.encoding).kind
    longest = max(longest_of(shards), default=0)
    if longest and not can_hold(kind, width, height, longest):
        raise DatasetError(
            f"{folder_of(shards[0].path)}/{MANIFEST} says that images have {width}x{height} pixels,"
            f" more than {longest:,} bytes of {kind} can hold, and no record has more"
        )
    heads, kinds = manifest.layout.labels, manifest.layout.kinds
    layout = ForeignLayout(IMAGE, heads, manifest.shape, encoded=True, row=ROW, kinds=kinds)
    records = IndexedRecords(measured(layout, shards))
    return ShardSet(shards, records, manifest.shape, manifest.labels, manifest, left_out)


def measured(layout: ForeignLayout, shards: Sequence[IndexedShard]) -> ForeignLayout:
    """Return the layout with the sizes that the indexes of its shards tell."""
    records = sum(shard.records for shard in shards)
    size = sum(shard.index.end for shard in shards)
    index_bytes = sum(shard.index.offsets.nbytes for shard in shards)
    mean = -(-size // max(1, records))
    return replace(layout, record_bytes=mean, longest=longest_of(shards), index_bytes=index_bytes)


def longest_of(shards: Sequence[IndexedShard]) -> tuple[int, ...]:
    """Return the sizes of the longest records, by the indexes: those that are read at once."""
    found = np.empty(0, dtype=np.int64)
    for shard in shards:
        found = np.concatenate([found, np.diff(shard.index.offsets)])
        if len(found) > REQUESTS:
            found = np.partition(found, -REQUESTS)[-REQUESTS:]
    return tuple(sorted(found.tolist(), reverse=True))


def _shape(
    features: Mapping[str, Feature], image: str, options: SetOptions
) -> tuple[tuple[int, int, int], bool]:
    """Return the shape of the images, and whether they are encoded."""
    data, shape, raw = image_of(features, image), options.shape, options.raw_pixels
    if shape is not None and (shape[2] not in MODES or min(shape) < 1):
        raise OptionError(f"shape must be (height, width, channels) with 1, 3 or 4, not {shape}")
    size = None if shape is None else shape[0] * shape[1] * shape[2]
    # Pixels may begin as a file does; then their number is that of the shape.
    if raw is None and is_common(data) and (len(data) != size or _is_of(data, shape)):
        height, width, channels = image_shape(data)
        if options.size is not None:
            height, width = options.size
        found = height, width, channels if shape is None else shape[2]
        if shape not in (None, found):
            raise OptionError(
                f"the images are {found[0]}x{found[1]} (height x width), not {shape}; without "
                "shape= that of the first one is taken"
            )
        return found, True
    tensor = other_message(data)
    if tensor and raw is None:
        raise OptionError(
            f"feature {image!r} holds {tensor}, which is not read: write the pixels as they are "
            "(tobytes), or as a PNG"
        )
    kind = other_image(data)
    begins = f" (it begins as {kind})" if kind else ""
    if options.size is not None:
        raise OptionError(
            f"size is for encoded images, and feature {image!r} holds none{begins}; give the shape "
            "of raw pixels: shape=(height, width, channels), or --shape HxWx3"
        )
    if shape is None:
        raise OptionError(
            f"feature {image!r} has {len(data)} bytes and is no PNG, JPEG, WebP, GIF or BMP{begins}"
            "; if these are raw pixels, give their shape: shape=(height, width, channels), or "
            f"--shape HxWx3{_said(features, image, len(data))}"
        )
    wanted = (raw or UINT8).bytes_of(shape[0] * shape[1] * shape[2])
    if len(data) != wanted:
        what = "" if raw else f", and is no PNG, JPEG, WebP, GIF or BMP{begins}"
        raise OptionError(
            f"images of shape {shape} have {wanted} bytes{_as(raw)}, feature {image!r} has "
            f"{len(data)}{what}{other_pixels(image, len(data), shape)}"
        )
    return shape, False


def _said(features: Mapping[str, Feature], image: str, size: int) -> str:
    """Say which shape the pixels have by the height and width that a record names, if it does."""
    found = {
        name.lower().rpartition("/")[2]: int(feature.values[0])
        for name, feature in features.items()
        if feature.kind == INT64 and len(feature.values) == 1
    }
    height, width = found.get("height", 0), found.get("width", 0)
    return other_pixels(image, size, (height, width, 0)) if min(height, width) > 0 else ""


def _as(raw: RawPixels | None) -> str:
    return f" as {np.dtype(raw.dtype).name}" if raw else ""


def _is_of(data: memoryview, shape: tuple[int, int, int] | None) -> bool:
    """Whether data are an encoded image of `shape`."""
    try:
        return shape is not None and image_shape(data)[:2] == shape[:2]
    except (FormatError, UnsupportedRecordError):
        return False
