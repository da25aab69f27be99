"""The manifest of a folder."""

from __future__ import annotations

from reader.opening.find import unfinished_hint
from shardio.errors import DatasetError, MissingFileError
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST
from shardio.storage import storage_for
from shardio.storage.paths import join

# A hundred times what 100,000 shards take; a larger file is something else.
_MANIFEST_BYTES = 1 << 30


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
