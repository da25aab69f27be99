"""What every worker needs: imported once, by the process that the workers are forked from."""

from converter.imaging.pillow import load_formats
from converter.shards import shard

__all__ = ["shard"]

load_formats()
