"""A dataset in MLCommons' Croissant 1.1: what portals and search engines read of it.

Files with sizes and SHA-256, splits, the classes of text labels, and two record sets: `records`,
the features of the shards, and `origins`, the rows of records.parquet, which any tool that knows
Croissant can load.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from reader.look.croissant_records import SHARDS, record_sets
from shardio.errors import DatasetError
from shardio.format.manifest import Manifest
from shardio.format.naming import RECORDS
from shardio.format.transform import COLOURS
from shardio.grammar import counted

VERSION = "http://mlcommons.org/croissant/1.1"
# That of the specification.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract"),
            *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet"),
            *("references", "regex", "repeated", "replace", "samplingRate", "separator"),
            *("source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
# No media type is registered for it.
TFRECORD = "https://www.tensorflow.org/tutorials/load_data/tfrecord"
_PARQUET = "application/x-parquet"
_ENDINGS = {"json": "application/json", "csv": "text/csv", "idx": "text/plain"}
# What Croissant requires of a dataset, and by which names `metadata` may have it.
NAMES: dict[str, tuple[str, ...]] = {
    "name": ("name",),
    "description": ("description",),
    "license": ("licence", "license"),
    "url": ("url",),
    "creator": ("creator",),
    "datePublished": ("date_published",),
    "citeAs": ("citation",),
    "version": ("version",),
    "publisher": ("publisher",),
    "keywords": ("keywords",),
}
REQUIRED = ("description", "license", "url", "creator", "datePublished")


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset: its name, where it lies, its size in bytes, and its SHA-256."""

    name: str
    url: str
    size: int
    sha256: str


def croissant(manifest: Manifest, files: Sequence[DatasetFile], name: str) -> bytes:
    """Return the JSON-LD document of a dataset, whose name is `name` unless metadata have one.

    Raises DatasetError where metadata have a date that is none.
    """
    said = said_by(manifest.metadata)
    try:
        date.fromisoformat(said.get("datePublished", "2000-01-01"))
    except ValueError as error:
        raise DatasetError(
            f"metadata date_published must be like 2026-11-29, not {said['datePublished']!r}"
        ) from error
    document = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": said.get("name", name),
        "description": said.get("description", _description(manifest)),
        **_rest(said),
        "distribution": [*map(_file, files), _shards(manifest)],
        "recordSet": list(
            record_sets(manifest, has_table=any(file.name == RECORDS for file in files))
        ),
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"


def said_by(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what `metadata` says of a dataset, by Croissant's names."""
    return {
        wanted: metadata[name]
        for wanted, names in NAMES.items()
        for name in names
        if name in metadata
    }


def _rest(said: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: said[name]
        for name in ("license", "url", "datePublished", "citeAs", "version")
        if name in said
    }
    # Whether a creator is one person or several cannot be told from a name.
    for name, kind in (("creator", "sc:Person"), ("publisher", "sc:Organization")):
        if name in said:
            found[name] = {"@type": kind, "name": said[name]}
    if "keywords" in said:
        found["keywords"] = [word.strip() for word in said["keywords"].split(",")]
    return found


def _description(manifest: Manifest) -> str:
    height, width, channels = manifest.shape
    records = counted(manifest.rows_written, "image")
    return f"{records} of {width}x{height} pixels, {COLOURS[channels]}; {manifest.transform.line()}"


def _file(file: DatasetFile) -> dict[str, Any]:
    ending = file.name.rpartition(".")[2]
    formats = {**_ENDINGS, "parquet": _PARQUET, "tfrecord": TFRECORD}
    return {
        "@type": "cr:FileObject",
        "@id": file.name,
        "name": file.name,
        "contentUrl": file.url,
        "contentSize": f"{file.size} B",
        "encodingFormat": formats[ending],
        "sha256": file.sha256,
    }


def _shards(manifest: Manifest) -> dict[str, Any]:
    """Return the shards as one set of files."""
    return {
        "@type": "cr:FileSet",
        "@id": SHARDS,
        "name": SHARDS,
        "description": f"TFRecord files of tf.train.Example: {_description(manifest)}",
        "encodingFormat": TFRECORD,
        "includes": "*.tfrecord",
    }
