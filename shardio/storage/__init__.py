"""How to reach bytes: one file per place where they can live, one function that picks.

local     a folder of this machine
hdfs      hdfs:// and viewfs://, without Java
s3        s3://, through s3fs
remote    any other fsspec file system, memory:// among them
"""

from shardio.storage.chooser import storage_for
from shardio.storage.protocol import FileInfo, RangeReader, Storage
from shardio.storage.search import search

__all__ = ["FileInfo", "RangeReader", "Storage", "search", "storage_for"]
