"""A training of several processes that is started again by another number of them.

What all have seen together is the order of the set, without a gap and without doubles.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import open_shards
from tests.reader.datasets import Made
from tests.reader.processes import free_ports, run, run_together, tf_config

BATCH, EPOCHS = 2, 2

_TORCH = """
import json, multiprocessing, os, sys
import torch.distributed as dist
from torch.utils.data import DataLoader
from reader import open_shards
from reader.resume import Saves

glob, folder = sys.argv[1:3]
os.environ["GLOO_SOCKET_IFNAME"] = "lo"
worlds = json.loads(sys.argv[3])

def train(rank, world, steps, store, seen):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    data, saves = open_shards(glob).to_torch(2, rows=True, epochs=2), Saves(folder)
    if saves.latest is not None:
        data.load_state_dict(json.loads((saves.latest / "data.json").read_text()))
    dist.barrier()  # none saves before all have loaded
    mine = []
    for *_, rows in DataLoader(data, batch_size=None):
        mine.append(rows.tolist())
        if len(mine) == steps:
            break
    if rank == 0:
        with saves.new() as place:
            (place / "data.json").write_text(json.dumps(data.state_dict()))
    dist.barrier()
    dist.destroy_process_group()
    seen.put((rank, mine))

context, found = multiprocessing.get_context("fork"), []
for number, (world, steps) in enumerate(worlds):
    seen = context.SimpleQueue()
    ranks = [
        context.Process(target=train, args=(rank, world, steps, f"{folder}-{number}", seen))
        for rank in range(world)
    ]
    for rank in ranks:
        rank.start()
    found.append([mine for _, mine in sorted(seen.get() for _ in ranks)])
    for rank in ranks:
        rank.join()
print(json.dumps(found))
"""


def order_of(glob: str) -> list[list[int]]:
    """Return the rows of each epoch in their order, without any that would be left out."""
    stream = open_shards(glob).batches(1, rows=True, epochs=EPOCHS, drop_remainder=False)
    rows = [int(rows[0]) for *_, rows in stream]
    return np.array(rows).reshape(EPOCHS, -1).tolist()


@pytest.mark.slow
def test_torch_goes_on_with_another_number_of_processes(made: Made, tmp_path: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    worlds = [(3, 2), (2, 3), (4, 0)]
    found = run(_TORCH, made.glob, tmp_path / "saves", [list(each) for each in worlds])
    order = order_of(made.glob)
    epoch = at = 0
    for (world, _), ranks in zip(worlds, found, strict=True):
        assert len({len(mine) for mine in ranks}) == 1, "ranks have made different numbers of steps"
        for step in zip(*ranks, strict=True):
            if at + BATCH * world > len(order[epoch]):
                epoch, at = epoch + 1, 0
            together = [row for mine in step for row in mine]
            assert together == order[epoch][at : at + BATCH * world]
            at += BATCH * world
    assert epoch == EPOCHS - 1
    assert len(order[epoch]) - at < BATCH * worlds[-1][0]


@pytest.mark.parametrize("step", [0, 3, 5, 12])
def test_a_start_step_is_that_of_any_number_of_workers_with_the_same_step_size(
    made: Made, step: int
) -> None:
    shards = open_shards(made.glob)
    stream = shards.batches(8, epochs=None)
    expected = [next(stream)[0] for _ in range(step + 3)][step:]
    for world in (1, 2, 4):
        workers = [(rank, world) for rank in range(world)]
        parts = [
            shards.to_keras(8 // world, epochs=None, start_step=step, worker=worker)
            for worker in workers
        ]
        for number, images in enumerate(expected):
            together = np.concatenate([part[number][0] for part in parts])
            assert np.array_equal(together, images)


# The least of a loop of one's own: the step is counted by the optimizer, and saved with the model.
_MIRRORED = """
import json, sys
import tensorflow as tf
from reader import open_shards

glob, folder, batch_size, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
strategy = tf.distribute.MultiWorkerMirroredStrategy()
shards = open_shards(glob)
with strategy.scope():
    step = tf.Variable(0, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
checkpoint = tf.train.Checkpoint(step=step)
latest = tf.train.latest_checkpoint(folder)
if latest:
    checkpoint.restore(latest).assert_consumed()
begun = int(step.numpy())

def share(context):
    return shards.to_tf_dataset(
        batch_size, rows=True, epochs=None, start_step=begun,
        worker=(context.input_pipeline_id, context.num_input_pipelines),
    )

batches, seen = iter(strategy.distribute_datasets_from_function(share)), []
while step.numpy() < steps:
    batch = next(batches)
    seen.append([int(row) for row in strategy.experimental_local_results(batch[-1])[0]])
    strategy.run(lambda: step.assign_add(1))
# Each worker takes part in a save; that of the first one is read.
rank = strategy.cluster_resolver.task_id or 0
checkpoint.save(f"{folder}/all" if rank == 0 else f"{folder}-{rank}/all")
print(json.dumps([begun, seen]))
"""


@pytest.mark.slow
def test_workers_of_tensorflow_go_on_with_another_number(made: Made, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")

    def train(world: int, steps: int) -> list[Any]:
        ports = free_ports(world)
        return run_together(
            _MIRRORED,
            [(made.glob, tmp_path / "saves", 8 // world, steps)] * world,
            [{"TF_CONFIG": tf_config(ports, rank)} for rank in range(world)],
        )

    stream = open_shards(made.glob).batches(8, rows=True, epochs=None)
    expected = [next(stream)[-1].tolist() for _ in range(9)]
    done = 0
    for world, steps in ((2, 3), (1, 5), (2, 9)):
        answers = train(world, steps)
        assert {begun for begun, _ in answers} == {done}
        together = zip(*(seen for _, seen in answers), strict=True)
        rows = [[row for mine in step for row in mine] for step in together]
        assert rows == expected[done:steps]
        done = steps
