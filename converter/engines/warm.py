"""What every worker needs: imported once, by the process that the workers are forked from."""

from converter import shard
from converter.imaging import load_formats

__all__ = ["shard"]

load_formats()
