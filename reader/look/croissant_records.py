"""The record sets of a description in Croissant: what each record holds, and where it came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from shardio.format.label import Label
from shardio.format.layout import IMAGE, ROW
from shardio.format.manifest import Manifest
from shardio.format.naming import RECORDS, SPLIT_PATTERN
from shardio.format.table_columns import PLACE_COLUMNS, label_columns
from shardio.format.transform import COLOURS

# The set of files that the shards are.
SHARDS = "shards"


def record_sets(manifest: Manifest, *, has_table: bool) -> Iterator[dict[str, Any]]:
    """Yield the splits, the classes of text labels, the records and, of a table, the origins."""
    splits = dict.fromkeys(shard.split for shard in manifest.shards)
    # A label may be called as a column of the table, or as the split.
    columns = label_columns([label.name for label in manifest.labels])
    yield _enumeration("splits", "cr:Split", "name", [{"name": split} for split in splits])
    words = next((x.vocabulary for x in manifest.labels if x.vocabulary is not None), None)
    if words is not None:
        data = [{"number": number, "name": word} for number, word in enumerate(words)]
        yield _enumeration("classes", "sc:Enumeration", "number", data)
    yield _record_set(
        "records",
        "What a record of the shards holds: the features of a tf.train.Example.",
        [
            _field("records", "split", "sc:Text", _split_source(), references="splits/name"),
            _image(manifest),
            *(
                _label("records", columns[label.name], label, _shard_source(label.name))
                for label in manifest.labels
            ),
            _field("records", ROW, "sc:Integer", _shard_source(ROW)),
        ],
    )
    if has_table:
        kinds = dict.fromkeys(PLACE_COLUMNS, "sc:Text") | dict.fromkeys(
            ("number", ROW), "sc:Integer"
        )
        places = [
            _field(
                "origins",
                name,
                kind,
                _table_source(name),
                references="splits/name" if name == "split" else None,
            )
            for name, kind in kinds.items()
        ]
        labels = [
            _label("origins", columns[label.name], label, _table_source(columns[label.name]))
            for label in manifest.labels
        ]
        yield _record_set(
            "origins",
            f"{RECORDS}: where each record lies, the row and the path that it was made of, and its "
            "labels.",
            [*places, *labels],
        )


def _record_set(name: str, description: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "field": fields,
    }


def _enumeration(name: str, kind: str, key: str, data: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a record set of given records."""
    types = {"name": "sc:Text", "number": "sc:Integer"}
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "dataType": kind,
        "key": {"@id": f"{name}/{key}"},
        "field": [
            {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": of_column}
            for column, of_column in types.items()
            if column in data[0]
        ],
        "data": [{f"{name}/{column}": value for column, value in one.items()} for one in data],
    }


def _field(
    record_set: str,
    identity: str,
    kind: str | list[str],
    source: dict[str, Any],
    *,
    name: str | None = None,
    references: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    # What stands in @id is an IRI; of a label anything may be the name.
    found = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{quote(identity, safe='')}",
        "name": identity if name is None else name,
        "dataType": kind,
        **more,
        "source": source,
    }
    if references is not None:
        found["references"] = {"field": {"@id": references}}
    return found


def _image(manifest: Manifest) -> dict[str, Any]:
    height, width, channels = manifest.shape
    how = f"height {height}, width {width}, {COLOURS[channels]}"
    if manifest.encoding == "raw":
        return _field(
            "records",
            IMAGE,
            "cr:UInt8",
            _shard_source(IMAGE),
            description=f"The pixels, row by row: {how}.",
            isArray=True,
            arrayShape=f"{height},{width},{channels}",
        )
    return _field(
        "records",
        IMAGE,
        "sc:ImageObject",
        _shard_source(IMAGE),
        description=f"The image, encoded as {manifest.encoding}: {how}.",
    )


def _label(record_set: str, identity: str, label: Label, source: dict[str, Any]) -> dict[str, Any]:
    more: dict[str, Any] = {}
    if label.kind.length > 1:
        more = {"isArray": True, "arrayShape": str(label.kind.length)}
    elif label.kind.is_class:
        more = {"description": f"A class, from 0: {label}."}
    kind = "sc:Float" if label.kind.is_float else "sc:Integer"
    return _field(
        record_set,
        identity,
        [kind, "cr:Label"],
        source,
        name=label.name,
        references=None if label.vocabulary is None else "classes/number",
        **more,
    )


def _shard_source(feature: str) -> dict[str, Any]:
    return {"fileSet": {"@id": SHARDS}, "extract": {"column": feature}}


def _split_source() -> dict[str, Any]:
    return {
        "fileSet": {"@id": SHARDS},
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": rf"^({SPLIT_PATTERN})-\d{{5}}-of-\d{{5}}\.tfrecord$"},
    }


def _table_source(column: str) -> dict[str, Any]:
    return {"fileObject": {"@id": RECORDS}, "extract": {"column": column}}
