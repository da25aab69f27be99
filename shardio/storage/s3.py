"""S3 and what speaks like it: s3://bucket/key, through s3fs.

Keys, region and endpoint come from where all programs of AWS have them: AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL and the like, ~/.aws, or the machine's role.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO, ClassVar, cast

from shardio.errors import (
    MissingExtraError,
    UnknownStorageError,
    UnusableFileError,
)
from shardio.storage.call import leave
from shardio.storage.protocol import FileInfo, RangeReader
from shardio.storage.ranges_stream import RangesStream
from shardio.storage.remote import FsspecStorage
from shardio.storage.remote_info import info_of
from shardio.storage.s3_files import S3Ranges, S3Writer

# Requests of a process that may be under way at once; botocore's own default is 10.
_CONNECTIONS = 32
# Objects that a request removes at most.
_AT_ONCE = 1000
# By process and bucket. All threads share one: it makes their requests in a thread of its own, and
# logging in takes a quarter of a second.
_found: dict[tuple[int, str], Any] = {}


class S3Storage(FsspecStorage):
    """A bucket, such as s3://bucket.

    A PUT is atomic: an object is written once, under its name. There are no folders but what the
    names of objects begin with.
    """

    _options: ClassVar[dict[str, Any]] = {"use_listings_cache": False}

    def __init__(self, root: str) -> None:
        # A secret may have a slash in it, which ends the root; only names of Amazon have colons.
        if "@" in root or (root.count(":") > 1 and "://arn:" not in root):
            # The message names none of it.
            raise UnknownStorageError(
                "an s3:// URL names a bucket and no keys: they would stand in messages and files. "
                "Give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or in ~/.aws/credentials"
            )
        super().__init__(root)

    @property
    def _files(self) -> Any:
        key = (os.getpid(), self._root)
        if key not in _found:
            files = super()._files
            files.config_kwargs.setdefault("max_pool_connections", _CONNECTIONS)
            # botocore tries again by itself (AWS_MAX_ATTEMPTS), and so do we.
            files.retries = 1
            _found.setdefault(key, files)
        return _found[key]

    def _find(self) -> Any:
        try:
            return super()._find()
        except MissingExtraError as error:
            raise MissingExtraError(
                f"{self._root} needs s3fs: it comes with shardio's extra [s3]"
            ) from error

    def _info(self, path: str, entry: dict[str, Any]) -> FileInfo:
        # Some servers list milliseconds, and tell whole seconds of a single object.
        at = entry.get("LastModified")
        if isinstance(at, datetime):
            entry = {**entry, "LastModified": at.replace(microsecond=0)}
        return info_of(path, entry)

    def _place(self, path: str) -> tuple[str, str]:
        """Return bucket and key."""
        bucket, key, _ = self._files.split_path(path.rstrip("/"))
        return bucket, key

    def _pages(self, folder: str, **options: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what the keys in a folder begin with, and a page of a list of them."""
        bucket, key = self._place(folder)
        prefix = f"{key}/" if key else ""
        wanted = {"Bucket": bucket, "Prefix": prefix, **options}
        while True:
            page = self._ask_again(folder, lambda files: files.call_s3("list_objects_v2", **wanted))
            yield prefix, page
            if not page.get("IsTruncated"):
                return
            wanted["ContinuationToken"] = page["NextContinuationToken"]

    def _entries(self, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for prefix, page in self._pages(folder, Delimiter="/"):
            for entry in page.get("Contents", []):
                yield entry["Key"][len(prefix) :], {**entry, "size": entry["Size"]}
            for entry in page.get("CommonPrefixes", []):
                yield entry["Prefix"][len(prefix) : -1], {"type": "directory"}

    def list(self, folder: str) -> list[FileInfo]:
        """List the objects and folders in `folder`."""
        base = folder if folder.endswith("/") else f"{folder}/"
        # Consoles make an object of a folder: one without a name in it.
        found = [self._info(base + name, entry) for name, entry in self._entries(folder) if name]
        return sorted(found, key=lambda info: info.path)

    def names(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the name of each object and folder, a thousand at a time."""
        return ((name, "type" in entry) for name, entry in self._entries(folder) if name)

    def is_link(self, path: str) -> bool:
        """Return False: S3 has no links."""
        return False

    def open_ranges(self, path: str) -> RangeReader:
        """Open an object for reading at any byte."""
        return self._ranges(path)

    def open_stream(self, path: str) -> BinaryIO:
        """Open an object for reading."""
        return cast(BinaryIO, RangesStream(self._ranges(path)))

    def _ranges(self, path: str) -> S3Ranges:
        def identity(details: dict[str, Any]) -> str:
            return self._info(path, details).identity

        return S3Ranges(path, lambda: self._open(path, cache_type="none"), identity)

    @contextmanager
    def publish(self, path: str, *, attempt: str, overwrite: bool = True) -> Iterator[BinaryIO]:
        """Write an object that appears whole or not at all; it needs no temporary name."""
        file = S3Writer(path, self._files, overwrite=overwrite)
        try:
            yield cast(BinaryIO, file)
            self._check_target(path, overwrite)
            file.finish()
        except GeneratorExit:  # nobody writes any more
            leave(file.discard)
            raise
        except BaseException:
            file.discard()
            raise

    def delete(self, path: str) -> None:
        """Remove an object, and all that is in the folder of that name."""
        bucket, itself = self._place(path)
        keys = [itself] if itself else []
        for _, page in self._pages(path):
            keys += [entry["Key"] for entry in page.get("Contents", [])]
            while len(keys) >= _AT_ONCE:
                self._delete(path, bucket, keys[:_AT_ONCE])
                del keys[:_AT_ONCE]
        self._delete(path, bucket, keys)

    def _delete(self, path: str, bucket: str, keys: Sequence[str]) -> None:
        if not keys:
            return
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        answer = self._ask_again(
            path, lambda files: files.call_s3("delete_objects", Bucket=bucket, Delete=wanted)
        )
        for problem in answer.get("Errors", []):
            where, why = problem.get("Key", ""), problem.get("Message", problem.get("Code"))
            raise UnusableFileError(f"s3://{bucket}/{where}: was not removed: {why}")
