"""How the rows of a file are written, as its name tells."""

from __future__ import annotations

import re
from enum import Enum

from shardio.storage.paths import name_of

ENDINGS = ".csv, .tsv, .txt, .lst, .json, .jsonl, .parquet, .arrow, .tar, .tfrecord, .lmdb or .mdb"


class Kind(Enum):
    """How the rows of a file are written."""

    DELIMITED = "lines of cells"
    JSON = "JSON"
    PARQUET = "Parquet"
    ARROW = "Arrow"
    FOLDER = "a folder of images"
    TAR = "tar"
    TFRECORD = "TFRecord"
    LMDB = "LMDB"


# Files that hold the images themselves, with their labels.
SAMPLES = (Kind.TAR, Kind.TFRECORD, Kind.LMDB)
DELIMITERS = {"csv": ",", "tsv": "\t", "lst": "\t"}
_KINDS = {
    **dict.fromkeys(("csv", "tsv", "txt", "lst"), Kind.DELIMITED),
    **dict.fromkeys(("json", "jsonl", "ndjson"), Kind.JSON),
    **dict.fromkeys(("parquet", "pq"), Kind.PARQUET),
    "arrow": Kind.ARROW,
    **dict.fromkeys(("tar", "tgz", "tbz", "tbz2", "txz"), Kind.TAR),
    **dict.fromkeys(("tfrecord", "tfrecords", "tfrec"), Kind.TFRECORD),
    **dict.fromkeys(("lmdb", "mdb"), Kind.LMDB),
}
_COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}
# What is compressed otherwise is said when it is opened.
_PACKED_TAR = re.compile(r".*\.tar\.(gz|bz2|xz|zst)")
# As TensorFlow's tools name shards, with an ending before that or without any.
_SHARD = re.compile(r"(.*\.tfrec(?:ord)?s?|[^.]+)-\d+-of-\d+")


def kind_of(name: str) -> tuple[Kind | None, str | None, str]:
    """Return kind, compression and ending of a file by its name."""
    name = name_of(name).lower()
    if _PACKED_TAR.fullmatch(name):
        return Kind.TAR, None, "tar"
    parts = name.split(".")[1:]
    compression = _COMPRESSIONS.get(parts[-1]) if parts else None
    if compression is not None:
        parts.pop()
        name = name.rpartition(".")[0]
    if _SHARD.fullmatch(name):
        return Kind.TFRECORD, compression, "tfrecord"
    ending = parts[-1] if parts else ""
    return _KINDS.get(ending), compression, ending
