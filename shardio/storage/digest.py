"""The SHA-256 of a whole file, wherever it lies."""

from __future__ import annotations

import hashlib

from shardio.storage.chooser import storage_for


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with storage_for(path).open_stream(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
