"""Workers of torch.distributed that share a cache, and go on as another number of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from reader import open_shards
from tests.reader.counted import LOG, SCHEME
from tests.reader.datasets import write_dataset
from tests.reader.processes import free_ports, run_together

pytest.importorskip("torch")

# 80 records in blocks of 4: four steps of 20, which the ranks share.
COUNTS = (20, 0, 12, 8, 40)
OPTIONS: dict[str, dict[str, Any]] = {
    "exact": {"shuffle": "exact"},
    "window": {"shuffle": "window", "block": 4, "window": 2, "lanes": 4},
}

# An epoch and two steps; or from a state on to the end of the epoch.
_TRAIN = """
import json, sys
import torch.distributed as dist
from reader import open_shards
from tests.reader.cached import until
from tests.reader.counted import register
from tests.reader.sharded import rows_of

_, url, cache, options, state = sys.argv
register()
dist.init_process_group("gloo")
shards = open_shards(url, cache=cache)
data = shards.to_torch(20 // dist.get_world_size(), rows=True, **json.loads(options))
said = []
if state:
    data.load_state_dict(json.loads(state))
    said.append(rows_of(data))
else:
    said.append(rows_of(data))
    until(lambda: shards.cached == 4)
    batches = iter(data)
    said.append(rows_of(next(batches) for _ in range(2)))
print(json.dumps([said, data.state_dict(), len(data)]))
dist.destroy_process_group()
"""


def train(
    world: int, log: Path, url: str, cache: Path, options: str, state: str = ""
) -> list[tuple[list[list[int]], dict[str, Any], int]]:
    """Run some ranks; returns what each has read, the state that it ends in, and its steps."""
    (port,) = free_ports(1)
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    ranks = [{**group, "RANK": str(rank), LOG: str(log)} for rank in range(world)]
    return run_together(_TRAIN, [(url, cache, options, state)] * world, ranks)


def in_steps(ranks: list[list[int]]) -> list[int]:
    """Return the rows of all ranks in the order of their steps."""
    size = 20 // len(ranks)
    steps = range(0, len(ranks[0]), size)
    return [row for at in steps for rank in ranks for row in rank[at : at + size]]


@pytest.mark.jobs
@pytest.mark.parametrize("order", OPTIONS)
@pytest.mark.parametrize("after", [1, 2])
def test_other_workers_go_on_from_the_cache_that_the_first_have_filled(
    tmp_path: Path, order: str, after: int
) -> None:
    made = write_dataset(tmp_path / "shards", COUNTS)
    url, log = f"{SCHEME}://{made.folder}", tmp_path / "opened"
    options = json.dumps(OPTIONS[order])
    found = train(4, log, url, tmp_path / "cache", options)
    assert {steps for *_, steps in found} == {4}
    first = in_steps([said[0] for said, *_ in found])
    second = in_steps([said[1] for said, *_ in found])
    assert sorted(first) == list(range(80))
    assert len(set(second)) == 40
    states = [state for _, state, _ in found]
    assert states == [states[0]] * 4
    opened = Counter(log.read_text().split())
    assert {entry.file for entry in made.manifest.shards if entry.records} <= set(opened)

    log.write_text("")
    # The state brings the lanes.
    options = json.dumps({name: OPTIONS[order][name] for name in OPTIONS[order] if name != "lanes"})
    rest = train(after, log, url, tmp_path / "cache", options, json.dumps(states[0]))
    third = in_steps([said[0] for said, *_ in rest])
    assert len(third) == 40
    assert sorted(second + third) == list(range(80))
    # Each step has the records of one worker's.
    alone = open_shards(made.glob).batches(20, rows=True, epochs=2, worker=(0, 1), **OPTIONS[order])
    steps = [batch[-1].tolist() for batch in alone]
    together = first + second + third
    assert [sorted(together[at : at + 20]) for at in range(0, 160, 20)] == list(map(sorted, steps))
    # What lies in the cache is not fetched again.
    assert not [name for name in log.read_text().split() if name.endswith(".tfrecord")]
