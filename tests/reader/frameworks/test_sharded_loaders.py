"""Which records each process gets: DDP, processes of a DataLoader, Lightning, accelerate."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from reader import open_shards
from shardio.errors import OptionError
from tests.reader.datasets import Made
from tests.reader.processes import ROOT, free_ports, run_together, tf_config
from tests.reader.sharded import rows_of

# 37 records: 3 steps of two ranks with 5 records each.
SEEN = 30


def needs(package: str) -> None:
    """Skip where a package is missing, but for continuous integration, where that is a failure."""
    if importlib.util.find_spec(package) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{package} is not installed")
        pytest.skip(f"{package} is not installed")


def ranks(port: int) -> list[dict[str, str]]:
    """Return what a launcher tells each of two processes."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    return [{**address, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]


_DDP = """
import json, sys
import torch.distributed as dist
from torch.utils.data import DataLoader
from reader import open_shards
from tests.reader.sharded import break_tf_config, rows_of

def loaders(shards):
    for method, count in ((None, 0), ("fork", 2), ("spawn", 1), ("forkserver", 1)):
        yield DataLoader(
            shards.to_torch(5, rows=True),
            batch_size=None,
            num_workers=count,
            multiprocessing_context=method,
            worker_init_fn=break_tf_config if count else None,
        )

shards = open_shards(sys.argv[1])
made = [*loaders(shards)]
stream, started = shards.batches(5, rows=True), shards.batches(5, rows=True)
begun = rows_of([next(started)])
alone = [len(loader) for loader in made], len(stream)
dist.init_process_group("gloo")
made += loaders(shards)
said = [[len(loader.dataset), rows_of(loader)] for loader in made]
later = len(stream), rows_of(stream)
print(json.dumps([alone, said, later, begun + rows_of(started)]))
"""


@pytest.mark.jobs
def test_the_worker_is_asked_for_when_an_iterator_is_made(made: Made) -> None:
    """In the process that makes it, whenever the set was made and however processes start."""
    needs("torch")
    (port,) = free_ports(1)
    answers = run_together(_DDP, [(made.glob,)] * 2, ranks(port))
    expected = [
        rows_of(open_shards(made.glob).batches(5, rows=True, worker=(rank, 2))) for rank in range(2)
    ]
    for rank, (alone, said, later, begun) in enumerate(answers):
        assert alone == [[7] * 4, 7]
        assert said == [[3, expected[rank]]] * 8
        assert later == [3, expected[rank]]
        # A stream that has begun stays what it is.
        assert begun == rows_of(open_shards(made.glob).batches(5, rows=True))
    assert len({*expected[0], *expected[1]}) == SEEN


def test_states_from_before_and_after_belong_to_the_worker_of_then(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"rows": True, "shuffle": "window", "block": 3, "window": 2}
    stream = open_shards(made.glob).batches(5, **options)
    assert (stream.options.worker, stream.state_dict()["lanes"]) == ((0, 1), 1)
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2], 1))
    assert (stream.options.worker, stream.state_dict()["lanes"]) == ((1, 2), 2)
    expected = rows_of(open_shards(made.glob).batches(5, worker=(1, 2), **options))
    state = stream.state_dict()
    first = rows_of([next(stream)])
    other = open_shards(made.glob).batches(5, **options)
    other.load_state_dict(stream.state_dict())
    assert first + rows_of(stream) == first + rows_of(other) == expected
    stream.load_state_dict(state)
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2], 0))
    other = open_shards(made.glob).batches(5, worker=(0, 2), **options)
    assert rows_of(stream) == rows_of(other)


@pytest.mark.parametrize("face", ["to_keras", "to_tf_dataset"])
def test_a_set_whose_length_is_fixed_compares_at_each_pass(
    made: Made, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = open_shards(made.glob)
    dataset = getattr(shards, face)(5)
    given = getattr(shards, face)(5, worker=(0, 2))
    assert len(list(dataset)) == 7
    monkeypatch.setenv("TF_CONFIG", tf_config([1, 2], 1))
    if face == "to_keras":
        dataset.on_epoch_end()
    error: type[Exception] = OptionError
    if face == "to_tf_dataset":
        error = pytest.importorskip("tensorflow").errors.UnknownError
    words = (
        r"\(rank, world\) \(0, 1\) when the set was made, and is \(1, 2\) now: .* worker=\(1, 2\)"
    )
    for _ in range(2):
        with pytest.raises(error, match=words):
            list(dataset)
    assert len(list(given)) == len(list(getattr(shards, face)(5))) == 3
    monkeypatch.delenv("TF_CONFIG")
    assert len(list(dataset)) == 7


_SCOPE = """
import json, sys
import tensorflow as tf
from reader import open_shards
from tests.reader.sharded import rows_of

spec = tf.train.ClusterSpec({"worker": sys.argv[3:]})
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    spec, task_type="worker", task_id=int(sys.argv[2])
)
strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
shards = open_shards(sys.argv[1])
with strategy.scope():
    stream = shards.batches(5, rows=True)
    dataset = shards.to_tf_dataset(5, rows=True)
print(json.dumps([rows_of(stream), rows_of(dataset)]))
"""


@pytest.mark.jobs
def test_the_scope_of_a_strategy_counts_where_the_set_is_made(made: Made) -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    answers = run_together(_SCOPE, [(made.glob, rank, *addresses) for rank in range(2)])
    for rank, (stream, dataset) in enumerate(answers):
        expected = open_shards(made.glob).batches(5, rows=True, worker=(rank, 2))
        assert stream == dataset == rows_of(expected)


_LIGHTNING = """
import json, sys
import lightning
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader
from reader import open_shards
from tests.reader.sharded import rows_of

_, shards, how, processes, out = sys.argv
shards = open_shards(shards)

def loader():
    return DataLoader(shards.to_torch(5, rows=True), batch_size=None, num_workers=int(processes))

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(18, 7)
        self.rows = []

    def training_step(self, batch, index):
        x, (y, _), _ = batch
        self.rows += rows_of([batch])
        return torch.nn.functional.cross_entropy(self.layer(x.reshape(len(x), -1)), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

    def train_dataloader(self):
        return loader()

    def on_train_end(self):
        with open(f"{out}/{dist.get_rank()}", "w") as file:
            json.dump(self.rows, file)

if __name__ == "__main__":
    lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    ).fit(Model(), *([loader()] if how == "argument" else []))
"""


def run_group(command: Sequence[object], **environment: str) -> None:
    """Run a program that starts others; all of them end with it."""
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    process = subprocess.Popen(
        [*map(str, command)],
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=240)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert process.returncode == 0, output[-4000:]


@pytest.mark.jobs
@pytest.mark.parametrize(("how", "processes"), [("argument", 0), ("method", 0), ("argument", 2)])
def test_lightning_with_two_devices(made: Made, tmp_path: Path, how: str, processes: int) -> None:
    needs("lightning")
    script = tmp_path / "train.py"
    script.write_text(_LIGHTNING)
    run_group([sys.executable, script, made.glob, how, processes, tmp_path])
    for rank in range(2):
        found = json.loads((tmp_path / str(rank)).read_text())
        stream = open_shards(made.glob).batches(5, rows=True, epochs=2, worker=(rank, 2))
        assert found == rows_of(stream)


_ACCELERATE = """
import json, operator, sys
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration
from torch.utils.data import DataLoader
from reader import open_shards
from shardio.errors import OptionError
from tests.reader.sharded import rows_of

_, shards, dispatches, processes = sys.argv
shards, processes = open_shards(shards), int(processes)
config = DataLoaderConfiguration(dispatch_batches=json.loads(dispatches))
accelerator = Accelerator(cpu=True, dataloader_config=config)
# IterableDatasetShard takes items one by one, and an item is a batch here.
one = {} if json.loads(dispatches) is None else {
    "batch_size": 1, "drop_last": True, "collate_fn": operator.itemgetter(0)
}
def loader(**options):
    batches = shards.to_torch(4, rows=True, **options)
    return DataLoader(batches, num_workers=processes, **{"batch_size": None, **one})

whole = rows_of(accelerator.prepare(loader(worker=(0, 1))))
own = rows_of(loader())
try:
    twice = rows_of(accelerator.prepare(loader()))
except Exception as error:  # of a rank whose peer has raised, or of a DataLoader's process
    twice = f"{type(error).__name__}: {error}"
print(json.dumps([whole, own, twice]))
"""


@pytest.mark.jobs
@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("dispatches", ["null", "false"])
def test_accelerate_with_two_processes(made: Made, dispatches: str, processes: int) -> None:
    """The default reads on rank 0 only (DataLoaderDispatcher), the other on each rank."""
    needs("accelerate")
    (port,) = free_ports(1)
    arguments = [(made.glob, dispatches, processes)] * 2
    answers = run_together(_ACCELERATE, arguments, ranks(port))
    whole = [row for rows, *_ in answers for row in rows]
    everything = rows_of(open_shards(made.glob).batches(4, rows=True))
    # No record twice. The last one of 9 batches is cut in two, or left out.
    assert len(whole) == len(set(whole)) == (36 if dispatches == "null" else 32)
    assert set(whole) <= set(everything)
    for rank, (_, own, twice) in enumerate(answers):
        expected = open_shards(made.glob).batches(4, rows=True, worker=(rank, 2))
        assert own == rows_of(expected)
        assert isinstance(twice, str)
    refused = [f"this set is shared already, as worker ({rank}, 2): give to_torch worker=(0, 1)"
               in twice for rank, (*_, twice) in enumerate(answers)]  # fmt: skip
    # Processes of rank 1 are asked for nothing by the dispatcher: it ends as rank 0 does.
    assert refused[0]
    assert refused[1] or (dispatches == "null" and processes)


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_items_that_accelerate_shares_are_told_to_be_batches(
    made: Made, batch_size: int | None
) -> None:
    needs("accelerate")
    IterableDatasetShard = importlib.import_module("accelerate.data_loader").IterableDatasetShard
    from torch.utils.data import DataLoader

    batches = open_shards(made.glob).to_torch(4, worker=(0, 1))
    shard = IterableDatasetShard(batches, batch_size=batch_size, num_processes=2, drop_last=True)
    with pytest.raises(OptionError, match=r"batch_size=1, drop_last=True, collate_fn=operator"):
        next(iter(DataLoader(shard, batch_size=batch_size)))
    one = IterableDatasetShard(batches, batch_size=1, num_processes=2, drop_last=True)
    assert len(list(DataLoader(one, batch_size=1, collate_fn=itemgetter(0)))) == 4
    assert not hasattr(batches, "set_epoch")
