"""What dataset.json says about a dataset besides its records: name, description, licence, URL.

No byte of a shard depends on it, so it is not in the plan. While a conversion is unfinished it is
kept in `.shardio/metadata.json`, and a run that is told nothing keeps what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converter.shards.output import OutputFolder
from shardio.errors import OptionError
from shardio.format.fields import dump, load, refuse
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST, METADATA


def check_metadata(metadata: Mapping[str, str]) -> None:
    """Raise OptionError for what a JSON object of strings cannot hold."""
    for name, value in metadata.items():
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError as error:
            raise OptionError(f"metadata must be valid UTF-8: {name!a}={value!a}") from error
        if not name:
            raise OptionError(f"metadata needs a name before the =, such as name={value}")


def keep_metadata(folder: OutputFolder, metadata: Mapping[str, str]) -> None:
    """Keep it until the dataset is finished."""
    folder.write(METADATA, dump({"metadata": dict(metadata)}))


def kept_metadata(folder: OutputFolder) -> dict[str, str]:
    """Return what was kept last, nothing if nothing was."""
    text = folder.read(METADATA)
    if text is None:
        return {}
    top, problems = load(text, METADATA)
    metadata = top.texts_by_name("metadata")
    top.close()
    refuse(problems, METADATA)
    return metadata


def replace_metadata(folder: OutputFolder, manifest: Manifest, metadata: Mapping[str, str]) -> None:
    """Publish the manifest of a finished set again, with other metadata."""
    if dict(metadata) != dict(manifest.metadata):
        folder.write(MANIFEST, replace(manifest, metadata=dict(metadata)).to_json())
