"""One image of each storage, read before the first shard is begun."""

from __future__ import annotations

from converter.sources.image_files import read_image
from converter.table.table import Table
from shardio.errors import (
    LoginError,
    MissingExtraError,
    MissingFileError,
    StorageError,
    UnusableFileError,
)
from shardio.storage.paths import is_local


def try_roots(table: Table) -> None:
    """Read one image of each storage; raises StorageError for one that can never be read.

    That is one of an unknown kind, or that refuses the login. Its other faults are those of images.
    """
    for row, path in table.examples:
        location = table.location(path)
        if is_local(location):
            continue
        try:
            read_image(location)
        except LoginError as error:
            raise StorageError(f"row {row}: {error}") from error
        except MissingExtraError as error:
            raise MissingExtraError(f"row {row}: {error}") from error
        except (MissingFileError, UnusableFileError):
            continue
        except StorageError as error:
            raise StorageError(f"row {row}: {error}") from error
