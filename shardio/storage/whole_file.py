"""Files that a command writes for people."""

from __future__ import annotations

import secrets

from shardio.storage.chooser import storage_for


def write_file(path: str, data: bytes) -> None:
    """Write a file as a whole, or leave what is there; StorageError where that fails."""
    with storage_for(path).publish(path, attempt=secrets.token_hex(6)) as file:
        file.write(data)
