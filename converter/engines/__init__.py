"""The engines: what runs shard jobs, and where.

    inline       in this process, one after the other
    processes    in worker processes of this machine
    spark        as tasks of a Spark job, on this machine or a cluster

Every engine runs the same function on the same jobs, and the bytes of the shards are the same.
"""

from converter.engines.chooser import ENGINES, engine_for
from converter.engines.protocol import Engine, Progress

__all__ = ["ENGINES", "Engine", "Progress", "engine_for"]
