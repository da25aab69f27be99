"""Half-written files: what runs that were killed leave of the files of a dataset."""

from __future__ import annotations

from shardio.format.naming import (
    BESIDE,
    INDEX_SUFFIX,
    INPUTS,
    MANIFEST,
    METADATA,
    PLAN,
    ShardName,
)
from shardio.storage import FileInfo
from shardio.storage.temporary import final_name

_FILES = (MANIFEST, *BESIDE, PLAN, INPUTS, METADATA)
_NAMES = {name.rsplit("/", 1)[-1] for name in _FILES}


def is_half_written(info: FileInfo) -> bool:
    """Whether a file would have become one of ours."""
    final = final_name(info.path.rsplit("/", 1)[-1])
    if final is None or info.is_folder:
        return False
    shard = final.removesuffix(".json").removesuffix(INDEX_SUFFIX)
    return final in _NAMES or ShardName.parse(shard) is not None
