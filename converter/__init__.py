"""Images in, shards out.

    from converter import ConvertOptions, convert

    summary = convert("labels.csv", "shards", ConvertOptions(classes=21_000))

`source` reads the table, `plan` deals its rows to shards, `shard` makes one shard, `engines` run
`shard` in this process or in many, and `run` holds them together.
"""

from converter.options import ConvertOptions
from converter.run import convert
from converter.summary import Summary

__all__ = ["ConvertOptions", "Summary", "convert"]
