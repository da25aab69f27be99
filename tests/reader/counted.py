"""Local files behind a scheme of their own: whoever opens one is written down."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

SCHEME = "shardio-counted"
LOG = "SHARDIO_COUNTED"


class CountedFiles(LocalFileSystem):  # type: ignore[misc]
    """Appends the name of each file that is opened to the file that the environment names."""

    protocol: ClassVar[str] = SCHEME

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + path.removeprefix(f"{cls.protocol}://").strip("/")

    def _open(self, path: str, *args: Any, **options: Any) -> Any:
        with open(os.environ[LOG], "a") as log:
            log.write(f"{os.path.basename(path)}\n")
        return super()._open(path, *args, **options)


def register() -> None:
    """Let the scheme be known in this process."""
    fsspec.register_implementation(SCHEME, CountedFiles, clobber=True)
