"""Every error that shardio raises on purpose.

ShardioError
├── OptionError (ValueError)            an argument or a combination of arguments is wrong
├── TableError (ValueError)             the input table cannot be used
├── SizesError (ValueError)             images have several sizes, and no option says what to do
├── FormatError (ValueError)            bytes are not what the format says
│   ├── ManifestError                   dataset.json, or a file like it, is not valid
│   └── CorruptRecordError              a record of a shard is damaged
├── DatasetError (ValueError)           shards do not form one dataset
│   └── UnsupportedRecordError          a record is whole, and of a kind that is not read
├── OutputError (FileExistsError)       the output folder holds something else
├── RejectsError (RuntimeError)         more images were rejected than allowed
├── TransformError (RuntimeError)       the caller's transform failed, or returned no batch
├── WorkerError (RuntimeError)          a worker process died
├── MountError (OSError)                a folder cannot be mounted or unmounted
├── MissingExtraError (ImportError)     an optional package is not installed
└── StorageError (OSError)              the storage failed
    ├── UnknownStorageError              no storage of this kind is known
    ├── MissingFileError (FileNotFoundError)
    ├── UnusableFileError (PermissionError)  there, but not to be read: no permission, no file
    │   └── LoginError                       the storage refuses the login, or wants one
    └── UnavailableError (ConnectionError)   a server is down or does not answer; it may come back

Each also is the built-in that a caller would catch.
"""


class ShardioError(Exception):
    """Base of all errors that shardio raises on purpose."""


class OptionError(ShardioError, ValueError):
    """An argument, or a combination of arguments, is wrong."""


class TableError(ShardioError, ValueError):
    """The input table cannot be used: a column is missing, labels are no integers, ..."""


class SizesError(ShardioError, ValueError):
    """Images have several sizes, and nothing says what becomes of them.

    `ways` are options that would do, each with what it does.
    """

    def __init__(self, message: str, ways: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.ways = ways


class FormatError(ShardioError, ValueError):
    """Bytes are not what the format says."""


class ManifestError(FormatError):
    """A dataset.json, or another JSON file of the format, is not valid."""


class CorruptRecordError(FormatError):
    """A record of a shard is damaged; the message names shard, record and byte."""


class DatasetError(ShardioError, ValueError):
    """Shards do not form one dataset: mixed, cut, replaced, or none at all."""


class UnsupportedRecordError(DatasetError):
    """A record is whole, but shardio does not read its kind: an image of another size, no label.

    It is no damage: `on_error="skip"` does not leave it out.
    """


class OutputError(ShardioError, FileExistsError):
    """The output folder holds something that this run would have to overwrite."""


class RejectsError(ShardioError, RuntimeError):
    """More images were rejected than the run allows."""


class TransformError(ShardioError, RuntimeError):
    """The caller's transform failed, or returned what is no batch; the message names the step."""


class WorkerError(ShardioError, RuntimeError):
    """A worker process died."""


class MountError(ShardioError, OSError):
    """A folder cannot be mounted or unmounted; the message says what else can be done."""


class MissingExtraError(ShardioError, ImportError):
    """An optional package is not installed; the message names the extra."""


class StorageError(ShardioError, OSError):
    """The storage failed: a full disk, an I/O error, a refused connection."""


class UnknownStorageError(StorageError):
    """No storage of this kind is known."""


class MissingFileError(StorageError, FileNotFoundError):
    """The file is not there."""


class UnusableFileError(StorageError, PermissionError):
    """The path is there, but it may not be read, or it is no regular file."""


class LoginError(UnusableFileError):
    """The storage refuses the login, or wants one."""


class UnavailableError(StorageError, ConnectionError):
    """A server of the storage is down or does not answer; another try may go well."""
