"""Files on any storage as a whole: written, and digested."""

from __future__ import annotations

import hashlib
import secrets

from shardio.storage.chooser import storage_for


def write_file(path: str, data: bytes) -> None:
    """Write a file as a whole, or leave what is there; StorageError where that fails."""
    with storage_for(path).publish(path, attempt=secrets.token_hex(6)) as file:
        file.write(data)


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with storage_for(path).open_stream(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
