"""shardio itself, in its own environment: the kind of stream is the fourth argument."""

import sys
from pathlib import Path

sys.path.pop(0)
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import numpy as np
from reader import open_shards

sys.path.insert(0, str(Path(__file__).resolve().parent))
from loop import BATCH, work

_shards = open_shards(sys.argv[3])
_epochs = iter(range(10**9))


def epoch(folder):
    to, order, *options = sys.argv[4].split()
    given = {
        "dtype": "uint8",
        "shuffle": order,
        "verify": "unchecked" not in options,
        "start_epoch": next(_epochs),
    }
    batches = _shards.to_torch(BATCH, **given) if to == "torch" else _shards.batches(BATCH, **given)
    for x, y in batches:
        yield x, np.stack([np.asarray(head) for head in y])


if __name__ == "__main__":
    work(lambda folder, data: None, epoch)
