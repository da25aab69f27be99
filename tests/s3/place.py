"""A folder of S3, reached with s3fs alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

BUCKET = "shardio"


def s3_files(**options: Any) -> Any:
    """Return a file system that looks at the server each time."""
    return fsspec.filesystem("s3", use_listings_cache=False, **options)


@dataclass
class S3Place:
    """The folder of a bucket that is there."""

    folder: str

    def write(self, name: str, data: bytes) -> None:
        s3_files().pipe_file(f"{self.folder}/{name}", data)

    def write_folder(self, folder: Path) -> None:
        """Write the files of a local folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(str(path.relative_to(folder)), path.read_bytes())

    def read(self, name: str) -> bytes:
        data: bytes = s3_files().cat_file(f"{self.folder}/{name}")
        return data

    def remove(self, name: str) -> None:
        s3_files().rm_file(f"{self.folder}/{name}")

    def names(self) -> list[str]:
        top = self.folder.partition("://")[2] + "/"
        return sorted(name.removeprefix(top) for name in s3_files().find(self.folder))

    def uploads(self) -> list[str]:
        """Keys of uploads that were begun, and neither finished nor given up."""
        found = s3_files().call_s3("list_multipart_uploads", Bucket=BUCKET).get("Uploads", [])
        top = self.folder.partition(f"{BUCKET}/")[2]
        return [upload["Key"] for upload in found if upload["Key"].startswith(top)]
