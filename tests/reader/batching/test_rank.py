from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reader.batching.options import BatchOptions
from reader.batching.rank import current_worker
from shardio.errors import OptionError
from tests.reader.datasets import Made
from tests.reader.processes import free_ports, run, run_together, tf_config

torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)
jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")

_ALONE = """
import json, sys
from reader.batching.options import BatchOptions
from reader.batching.rank import current_worker
print(json.dumps([current_worker(), [name in sys.modules for name in sys.argv[1:]]]))
"""


def config(kind: object, index: object, **cluster: object) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


def test_alone_where_nobody_says_otherwise_and_nothing_is_imported() -> None:
    worker, loaded = run(_ALONE, "torch", "tensorflow", "jax")
    assert worker == [0, 1]
    assert not any(loaded)


def test_tf_config_counts_without_tensorflow() -> None:
    worker, loaded = run(_ALONE, "tensorflow", TF_CONFIG=tf_config([1, 2, 3], 2))
    assert worker == [2, 3]
    assert not any(loaded)


@pytest.mark.parametrize(
    ("text", "worker"),
    [
        (config("worker", 1, worker=["a:1", "b:1"]), (1, 2)),
        (config("chief", 0, chief=["a:1"], worker=["b:1", "c:1"]), (0, 3)),
        (config("worker", 0, chief=["a:1"], worker=["b:1", "c:1"]), (1, 3)),
        (config("worker", 1, chief=["a:1"], worker=["b:1", "c:1"], ps=["d:1"]), (2, 3)),
        (config("worker", "1", worker=["a:1", "b:1"]), (1, 2)),
        (config("ps", 0, worker=["a:1", "b:1"], ps=["d:1"]), (0, 1)),
        (config("evaluator", 0, chief=["a:1"], worker=["b:1"]), (0, 1)),
        (config("chief", 0, chief=["a:1"]), (0, 1)),
        (config("worker", 0), (0, 1)),
        ("{}", (0, 1)),
        (" ", (0, 1)),
    ],
)
def test_chief_and_workers_share(
    text: str, worker: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    assert current_worker() == worker


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "not JSON .*: {$"),
        ("[]", "must be objects"),
        ('{"cluster": ["a:1"]}', "must be objects"),
        ('{"cluster": {"worker": ["a:1"]}}', "no task with type and index"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}', "no task with type"),
        (config("worker", 2, worker=["a:1", "b:1"]), "worker 2 is not in the cluster, which has 2"),
        (config("worker", -1, worker=["a:1", "b:1"]), "worker -1 is not in"),
        (config("chief", 0, worker=["a:1", "b:1"]), "chief 0 is not in the cluster, which has 0"),
        (config("wroker", 0, worker=["a:1"]), "'wroker', none of chief, worker, ps, evaluator"),
        (config("worker", "one", worker=["a:1", "b:1"]), "'one'"),
        (config("worker", None, worker=["a:1", "b:1"]), "NoneType"),
        (config("worker", 0, worker="a:1"), "worker is not a list"),
    ],
)
def test_a_malformed_tf_config_is_named(
    text: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(OptionError, match=f"^TF_CONFIG cannot be understood: .*{what}"):
        current_worker()


_TORCH = """
import json, os, sys
import torch.distributed as dist
from reader import open_shards
from reader.batching.options import BatchOptions
from reader.batching.rank import current_worker
from shardio.errors import OptionError

meeting, rank, shards = sys.argv[1], int(sys.argv[2]), open_shards(sys.argv[3])
before = current_worker()
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
during = current_worker()
rows = [batch[2].tolist() for batch in shards.batches(5, rows=True)]
items = [batch[2].tolist() for batch in shards.to_torch(5, rows=True)]
said = []
for index, addresses in ((rank, "ab"), (rank, "abc"), (0, "a")):
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})
    try:
        said.append(current_worker())
    except OptionError as error:
        said.append(str(error))
del os.environ["TF_CONFIG"]
dist.destroy_process_group()
print(json.dumps([before, during, said, current_worker(), rows, items]))
"""


@torch
@pytest.mark.jobs  # torchrun's processes are tried below
def test_a_process_group_of_torch_says_who_is_who(made: Made, tmp_path: Path) -> None:
    arguments = [(tmp_path / "meeting", rank, made.glob) for rank in range(2)]
    answers = run_together(_TORCH, arguments)
    for rank, (before, during, (same, other, alone), after, rows, items) in enumerate(answers):
        assert before == after == [0, 1]
        assert during == same == alone == [rank, 2]
        assert other == (
            f"which worker is this? torch.distributed says ({rank}, 2), TF_CONFIG says "
            f"({rank}, 3); give worker=(rank, world)"
        )
        assert items == rows
    seen = [row for *_, rows, _ in answers for batch in rows for row in batch]
    assert len(seen) == len(set(seen)) == 30


_JAX = """
import json, sys
import jax
from reader.batching.options import BatchOptions
from reader.batching.rank import current_worker

before = current_worker()
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
print(json.dumps([before, current_worker()]))
"""


@jax
def test_the_processes_of_jax_say_who_is_who() -> None:
    (port,) = free_ports(1)
    answers = run_together(_JAX, [(f"127.0.0.1:{port}", rank) for rank in range(2)])
    # The early question did not start JAX, or it could not have been initialised any more.
    assert answers == [[[0, 1], [rank, 2]] for rank in range(2)]


_STRATEGY = """
import json, sys
import tensorflow as tf
from reader.batching.options import BatchOptions
from reader.batching.rank import current_worker
from shardio.errors import OptionError

spec = tf.train.ClusterSpec({"worker": sys.argv[2:]})
rank = int(sys.argv[1])
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
    spec, task_type="worker", task_id=rank
)
several = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
said = [current_worker()]
for strategy in (several, tf.distribute.MirroredStrategy(["CPU:0"])):
    with strategy.scope():
        said.append(current_worker())
print(json.dumps(said))
"""


@pytest.mark.jobs
def test_within_the_scope_of_a_strategy_its_cluster_counts() -> None:
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    answers = run_together(_STRATEGY, [(rank, *addresses) for rank in range(2)])
    assert answers == [[[0, 1], [rank, 2], [0, 1]] for rank in range(2)]


def test_options_name_a_malformed_tf_config_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(OptionError, match="TF_CONFIG cannot be understood: it is not JSON"):
        BatchOptions()


@torch
def test_torchrun_counts_before_there_is_a_process_group(tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(
        "import json, os, sys\n"
        "from reader.batching.rank import current_worker\n"
        "worker = current_worker()\n"
        "open(f'{sys.argv[1]}/{worker[0]}', 'w').write(json.dumps(worker))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node=2", str(script), str(tmp_path)),
        ],
        check=True,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        timeout=120,
    )
    assert [json.loads((tmp_path / rank).read_text()) for rank in "01"] == [[0, 2], [1, 2]]
