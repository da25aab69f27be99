"""The contract between the converter and the reader.

`shardio.format` says what the bytes of a dataset are; it is pure and touches no file.
`shardio.storage` says how to reach bytes: local disk, memory, any fsspec file system.
Neither imports the other, and nothing here imports `converter` or `reader`.
"""

from shardio.version import __version__ as __version__
