"""TFRecord files of `tf.train.Example` as tables, whoever wrote them: features are columns.

The image is the feature that holds an image file. Numbers and texts are labels; a list of numbers
is `[1, 2]`. What is in no record but the image is read by workers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from converter.table.reading import PATH
from converter.table.samples.places import example_of
from converter.table.samples.record_images import RecordImages, features_of
from converter.table.samples.records import RecordFile
from converter.table.samples.sample_table import table_of
from converter.table.samples.samples import SampleList
from converter.table.samples.table_file import TableFile
from converter.table.scratch import Scratch
from shardio.errors import TableError
from shardio.examples.example import BYTES, Feature, bytes_in
from shardio.imaging.file_kind import is_image

_MOST_NUMBERS = 4096
_MOST_TEXT_BYTES = 1 << 20
_SHOWN = 40
_HINT = (
    ". --labels image/class/label takes a feature that is a number, --text-labels a text, and "
    "--labels '' images alone"
)


def open_tfrecords(
    location: str, scratch: Scratch, *, root: str, image: str | None = None
) -> TableFile:
    """Read what is in a TFRecord file; `image` is the feature of the images, if it is given.

    Raises TableError for a file that is damaged, or whose records hold no images.
    """
    file = RecordFile(location)
    samples = SampleList(location, scratch)
    unread: Counter[str] = Counter()
    first_unread: dict[str, int] = {}
    copied = 0
    column = ""
    for number, (at, data) in enumerate(file.records()):
        features = features_of(data, location, number)
        if number == 0:
            column = _image_of(features, location, image)
        has = bytes_in(features, column) is not None
        features.pop(column, None)
        labels = {}
        for name, feature in features.items():
            text = _text_of(feature)
            name = f"feature.{name}" if name == PATH else name
            if text is not None:
                labels[name] = text
            elif feature.kind:
                unread[name] += 1
                first_unread.setdefault(name, number)
        samples.add(str(number), (at, len(data)) if has else None, labels)
        copied += len(data)
    if not column:
        raise TableError(f"{location} holds no records")
    notes = []
    if unread:
        shown = ", ".join(f"{count:,} x {name}" for name, count in unread.most_common(3))
        notes = [f"features that are neither numbers nor texts were left out: {shown}"]
    found = samples.finish("" if file.compression else example_of(column), first_unread)
    kind = f"TFRecord, {file.compression}" if file.compression else "TFRecord"
    return table_of(
        found,
        f"{kind}, images in {column}",
        root,
        notes=notes,
        label_hint=_HINT,
        copied=RecordImages(location, ((location, column),), copied),
    )


def _image_of(features: Mapping[str, Feature], location: str, asked: str | None) -> str:
    """Return the feature that holds the images, as the first record shows."""
    if asked is not None:
        if asked not in features or features[asked].kind != BYTES:
            raise TableError(
                f"{location}: its first record has no bytes {asked}; {_list(features)}"
            )
        return asked
    found = [
        name
        for name in sorted(features)
        if (data := bytes_in(features, name)) is not None and is_image(data)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise TableError(
            f"{location}: several features hold images: {', '.join(found)}; --image-column "
            f"{found[0]} says which one is meant"
        )
    raise TableError(
        f"{location}: no feature of its first record holds an image file; {_list(features)}. "
        "Shards of raw pixels are no input, open_shards reads them as they are"
    )


def _text_of(feature: Feature) -> str | None:
    """Return the value of a feature as a cell of a table has it, None for what is no label."""
    if not feature.kind:
        return ""
    if feature.kind != BYTES:
        if len(feature.values) == 1:
            (value,) = feature.values
            return "" if value != value else str(value)  # NaN is no number
        return json.dumps(feature.values) if len(feature.values) <= _MOST_NUMBERS else None
    if len(feature.values) != 1 or len(feature.values[0]) > _MOST_TEXT_BYTES:  # type: ignore[arg-type]
        return None
    try:
        return bytes(feature.values[0]).decode()  # type: ignore[arg-type]
    except UnicodeDecodeError:
        return None


def _list(features: Mapping[str, Feature]) -> str:
    shown = [f"{name} ({features[name].kind or 'empty'})" for name in sorted(features)[:_SHOWN]]
    return f"its features are {', '.join(shown) or 'none'}"
