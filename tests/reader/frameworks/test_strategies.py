"""`to_tf_dataset` under Keras' fit and TensorFlow's strategies."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from reader import ShardSet, open_shards
from tests.reader.datasets import Made, write_dataset
from tests.reader.processes import free_ports, run, run_together, tf_config

# 40 records: five steps of 8, so that an epoch has every record.
_COUNTS = (5, 0, 8, 1, 26)
_RECORDS = sum(_COUNTS)


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_dataset(tmp_path_factory.mktemp("strategies") / "shards", _COUNTS)


@pytest.fixture
def shards(forty: Made) -> ShardSet:
    return open_shards(forty.glob)


class Seeing(keras.Model):  # type: ignore[misc]
    """Two heads; keeps the first pixel rows of what it trains and is tested on."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.heads = [keras.layers.Dense(c, activation="softmax") for c in (7, 30)]
        self.trained: list[bytes] = []
        self.tested: list[bytes] = []

    def call(self, x: Any) -> Any:
        return tuple(head(self.flat(x)) for head in self.heads)

    def train_step(self, data: Any) -> Any:
        tf.numpy_function(lambda x: self.trained.extend(map(bytes, x)), [data[0]], [])
        return super().train_step(data)

    def test_step(self, data: Any) -> Any:
        tf.numpy_function(lambda x: self.tested.extend(map(bytes, x)), [data[0]], [])
        return super().test_step(data)


@pytest.fixture
def model() -> Seeing:
    made = Seeing()
    made.compile("sgd", loss=["sparse_categorical_crossentropy"] * 2)
    return made


def pixels(batches: Any) -> list[bytes]:
    return [bytes(image) for x, *_ in batches for image in np.asarray(x)]


def test_fit_sees_each_record_once_an_epoch_in_new_orders(shards: ShardSet, model: Seeing) -> None:
    model.fit(shards.to_tf_dataset(8), epochs=3, shuffle=False, verbose=0)
    assert model.trained == pixels(shards.batches(8, epochs=3))
    epochs = [model.trained[at : at + _RECORDS] for at in range(0, 3 * _RECORDS, _RECORDS)]
    assert all(len(set(epoch)) == _RECORDS for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_fit_validates_on_all_records_after_every_epoch(shards: ShardSet, model: Seeing) -> None:
    held_out = shards.to_tf_dataset(7, shuffle="none", drop_remainder=False)
    history = model.fit(
        shards.to_tf_dataset(8), epochs=3, validation_data=held_out, shuffle=False, verbose=0
    )
    assert len(history.history["val_loss"]) == 3
    assert model.tested == 3 * pixels(shards.batches(8, shuffle="none"))
    assert model.trained == pixels(shards.batches(8, epochs=3))


def test_fit_of_some_batches_takes_those_of_the_next_epoch(shards: ShardSet, model: Seeing) -> None:
    model.fit(shards.to_tf_dataset(8).take(3), epochs=2, shuffle=False, verbose=0)
    epochs = pixels(shards.batches(8, epochs=2))
    assert model.trained == epochs[:24] + epochs[_RECORDS : _RECORDS + 24]


@pytest.mark.parametrize("steps", [5, 3, 7])
def test_fit_by_steps_goes_on_where_the_last_epoch_ended(
    shards: ShardSet, model: Seeing, steps: int
) -> None:
    for dataset in (shards.to_tf_dataset(8).repeat(), shards.to_tf_dataset(8, epochs=None)):
        model.trained.clear()
        model.fit(dataset, steps_per_epoch=steps, epochs=4, shuffle=False, verbose=0)
        assert model.trained == pixels(shards.batches(8, epochs=8))[: 4 * steps * 8]


def test_fit_reads_through_what_is_put_behind_the_set(shards: ShardSet, model: Seeing) -> None:
    dataset = shards.to_tf_dataset(8, dtype="uint8")
    dataset = dataset.map(lambda x, ys: (tf.cast(x, tf.float32) / 255, ys)).prefetch(2)
    model.fit(dataset, epochs=2, shuffle=False, verbose=0)
    assert model.trained == pixels(shards.batches(8, epochs=2))


def test_the_cardinality_is_known_behind_transformations(shards: ShardSet) -> None:
    dataset = shards.to_tf_dataset(8)
    assert len(dataset.prefetch(2)) == 5
    assert len(dataset.take(3)) == 3
    assert len(dataset.skip(3)) == 2
    assert len(dataset.repeat(3)) == 15
    assert dataset.repeat().cardinality() == tf.data.INFINITE_CARDINALITY
    assert len(shards.to_tf_dataset(4, worker=(1, 2))) == 5


def test_auto_sharding_is_off_also_behind_transformations(shards: ShardSet) -> None:
    for dataset in (shards.to_tf_dataset(8), shards.to_tf_dataset(8).take(3).repeat().prefetch(1)):
        policy = dataset.options().experimental_distribute.auto_shard_policy
        assert policy == tf.data.experimental.AutoShardPolicy.OFF


# What follows runs in processes of its own: the devices of TensorFlow, and the job that a process
# belongs to, are settled once.
_BEGIN = """
import json, sys
import keras
import numpy as np
import tensorflow as tf
from reader import open_shards

shards = open_shards(sys.argv[1])
known = {shards[record][0].tobytes(): record for record in range(len(shards))}
seen = []

def see(x):
    # One replica of one step: the records that it got.
    seen.append([known[np.rint(image * 255).astype(np.uint8).tobytes()] for image in x])

class Seeing(keras.Model):
    def train_step(self, data):
        tf.numpy_function(see, [data[0]], [])
        logs = super().train_step(data)
        # Keras 3 takes the mean over the first axis of what several workers return.
        return {name: tf.reshape(value, [1]) for name, value in logs.items()} if flat else logs

def layers():
    x = keras.Input((2, 3, 3))
    flat = keras.layers.Flatten()(x)
    return x, [keras.layers.Dense(classes, activation="softmax")(flat) for classes in (7, 30)]

def fit(model, dataset, **options):
    seen.clear()
    before = [weight.copy() for weight in model.get_weights()]
    model.compile("sgd", loss=["sparse_categorical_crossentropy"] * 2)
    model.fit(dataset, shuffle=False, verbose=0, **options)
    assert not all(map(np.array_equal, before, model.get_weights()))
    return list(seen)

def passes(dataset, count):
    # Of each pass, of each step: the rows that each replica got.
    return [
        [[r.numpy().tolist() for r in strategy.experimental_local_results(b[-1])] for b in dataset]
        for _ in range(count)
    ]
"""

_MIRRORED = (
    _BEGIN
    + """
flat = False
(cpu,) = tf.config.list_physical_devices("CPU")
two = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(cpu, two)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
distribute = strategy.experimental_distribute_dataset
said = {
    "replicas": strategy.num_replicas_in_sync,
    "whole": passes(distribute(shards.to_tf_dataset(8, rows=True)), 2),
    "rest": passes(distribute(shards.to_tf_dataset(7, rows=True, drop_remainder=False)), 2),
    "function": passes(
        strategy.distribute_datasets_from_function(
            lambda context: shards.to_tf_dataset(4, rows=True)
        ),
        2,
    ),
}
with strategy.scope():
    model = Seeing(*layers())
said["fit"] = fit(model, shards.to_tf_dataset(8), epochs=3)
said["endless"] = fit(model, shards.to_tf_dataset(8, epochs=None), epochs=3, steps_per_epoch=5)
print(json.dumps(said))
"""
)


def flat(pieces: Any) -> list[int]:
    """Return the numbers in nested lists, in order."""
    return [n for piece in pieces for n in (flat(piece) if isinstance(piece, list) else [piece])]


@pytest.fixture(scope="module")
def mirrored(forty: Made) -> Any:
    said = run(_MIRRORED, forty.glob)
    assert said["replicas"] == 2
    return said


def rows(shards: ShardSet, batch_size: int, epochs: int, **options: Any) -> list[list[int]]:
    """Return the rows of every batch."""
    batches = shards.batches(batch_size, epochs=epochs, rows=True, **options)
    return [batch[2].tolist() for batch in batches]


@pytest.mark.jobs
def test_two_replicas_share_a_batch(shards: ShardSet, mirrored: Any) -> None:
    steps = [step for one_pass in mirrored["whole"] for step in one_pass]
    assert steps == [[batch[:4], batch[4:]] for batch in rows(shards, 8, 2)]
    for one_pass in mirrored["whole"]:
        assert sorted(flat(one_pass)) == list(range(_RECORDS))


@pytest.mark.jobs
def test_two_replicas_share_a_last_batch_that_is_not_full(mirrored: Any) -> None:
    for one_pass in mirrored["rest"]:
        assert sorted(flat(one_pass)) == list(range(_RECORDS))
        assert [len(replica) for replica in one_pass[0]] == [4, 3]


@pytest.mark.jobs
def test_a_set_made_for_the_replicas_gives_each_the_next_batch(
    shards: ShardSet, mirrored: Any
) -> None:
    steps = [step for one_pass in mirrored["function"] for step in one_pass]
    batches = rows(shards, 4, 2)
    assert steps == [batches[at : at + 2] for at in range(0, len(batches), 2)]


@pytest.mark.jobs
def test_fit_with_two_replicas_sees_each_record_once_an_epoch(
    forty: Made, shards: ShardSet, mirrored: Any
) -> None:
    size = 2 * 5
    assert len(mirrored["fit"]) == len(mirrored["endless"]) == 3 * size
    orders = []
    for kind in ("fit", "endless"):
        for at in range(0, 3 * size, size):
            replicas = mirrored[kind][at : at + size]
            assert [len(records) for records in replicas] == size * [4]
            assert sorted(flat(replicas)) == list(range(_RECORDS))
            orders.append([Counter(flat(replicas[i : i + 2])) for i in range(0, size, 2)])
    # The replicas of a step take turns as they like; the steps come in order.
    expected = [Counter(batch) for batch in rows(shards, 8, 4)]
    numbered = [[Counter(forty.rows[list(step)].tolist()) for step in order] for order in orders]
    assert numbered[3:] == [expected[at : at + 5] for at in (0, 5, 10)]
    # Keras looks at a batch before the first epoch, and that look is a pass.
    assert numbered[:3] == [expected[at : at + 5] for at in (5, 10, 15)]


_WORKERS = (
    _BEGIN
    + """
flat = True
strategy = tf.distribute.MultiWorkerMirroredStrategy()
worker = int(sys.argv[2]), 2

def share(batch_size, **options):
    return lambda context: shards.to_tf_dataset(
        batch_size,
        worker=(context.input_pipeline_id, context.num_input_pipelines),
        **options,
    )

distribute = strategy.experimental_distribute_dataset
made = strategy.distribute_datasets_from_function
said = {
    "replicas": strategy.num_replicas_in_sync,
    "whole": passes(distribute(shards.to_tf_dataset(4, rows=True, worker=worker)), 2),
    "default": passes(distribute(shards.to_tf_dataset(4, rows=True)), 2),
    "function": passes(made(share(4, rows=True)), 2),
}
# Of a model made in the scope, Keras 3 looks at a batch in a way that fails with several workers.
with strategy.scope():
    inputs, outputs = layers()
model = Seeing(inputs, outputs)
with strategy.scope():
    endless = shards.to_tf_dataset(8, worker=worker, epochs=None)
    said["fit"] = fit(model, endless, epochs=3, steps_per_epoch=2 * (len(shards) // 16))
    said["fit function"] = fit(model, made(share(4)), epochs=3)
    weights = [float(np.sum(weight)) for weight in model.get_weights()]
print(json.dumps([said, weights]))
"""
)


@pytest.fixture(scope="module")
def workers(forty: Made) -> list[Any]:
    ports = free_ports(2)
    answers = run_together(
        _WORKERS,
        [(forty.glob, rank) for rank in range(2)],
        [{"TF_CONFIG": tf_config(ports, rank)} for rank in range(2)],
    )
    weights = [weights for _, weights in answers]
    assert weights[0] == weights[1]
    return [said for said, _ in answers]


@pytest.mark.jobs
@pytest.mark.parametrize("kind", ["whole", "default"])
def test_tensorflow_cuts_each_workers_batches_by_the_number_of_workers(
    shards: ShardSet, workers: list[Any], kind: str
) -> None:
    for rank, said in enumerate(workers):
        assert said["replicas"] == 2
        steps = [step for one_pass in said[kind] for step in one_pass]
        batches = rows(shards, 4, 2, worker=(rank, 2))
        assert steps == [[half] for batch in batches for half in (batch[:2], batch[2:])]
    for one_pass in range(2):
        together = flat([said[kind][one_pass] for said in workers])
        assert sorted(together) == list(range(_RECORDS))


@pytest.mark.jobs
def test_a_set_made_for_each_worker_is_left_as_it_is(shards: ShardSet, workers: list[Any]) -> None:
    for rank, said in enumerate(workers):
        steps = [step for one_pass in said["function"] for step in one_pass]
        assert steps == [[batch] for batch in rows(shards, 4, 2, worker=(rank, 2))]


@pytest.mark.jobs
def test_fit_on_several_workers_sees_each_share_once(
    forty: Made, shards: ShardSet, workers: list[Any]
) -> None:
    for rank, said in enumerate(workers):
        function = [forty.rows[records].tolist() for records in said["fit function"]]
        assert function == rows(shards, 4, 3, worker=(rank, 2))
        # The batch is that of all workers, and a worker trains on its part of one.
        fit = [forty.rows[records].tolist() for records in said["fit"]]
        batches = rows(shards, 8, 3, worker=(rank, 2))
        assert fit == [half for batch in batches for half in (batch[:4], batch[4:])]
    together = [n for said in workers for n in flat(said["fit function"][: _RECORDS // 8])]
    assert sorted(together) == list(range(_RECORDS))
