"""Which worker of a distributed job this process is, as its framework says.

A framework is asked only if the job itself has loaded it: nothing is imported here, and none is
started that was not initialised. One that was may be: JAX answers when all its processes are there.

| asked              | when                                                 | rank among          |
|--------------------|------------------------------------------------------|---------------------|
| torch.distributed  | its process group is initialised                     | the group           |
| torchrun           | it has started this process                          | RANK, WORLD_SIZE    |
| JAX                | `jax.distributed` is initialised                     | the processes       |
| tf.distribute      | within the scope of a strategy with other processes  | chief, then workers |
| TF_CONFIG          | it is set in the environment                         | chief, then workers |

TensorFlow's parameter servers and evaluators are no part of the training; each is a job of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from shardio.errors import OptionError

ALONE = (0, 1)

# Those that train. A cluster has one chief at most, and its tasks are counted before the workers.
_TRAINS = ("chief", "worker")
_OTHERS = ("ps", "evaluator")


def current_worker() -> tuple[int, int]:
    """Return (rank, world) of this process; (0, 1) where no framework says otherwise.

    Raises OptionError if TF_CONFIG is malformed, or if frameworks disagree.
    """
    said: dict[str, tuple[int, int]] = {}
    for name, ask in (
        ("torch.distributed", _torch),
        ("torchrun", _torchrun),
        ("JAX", _jax),
        ("tf.distribute", scoped_worker),
        ("TF_CONFIG", _tf_config),
    ):
        try:
            worker = ask()
        except (KeyError, TypeError, ValueError) as error:
            raise OptionError(f"{name} cannot be understood: {error}") from error
        if worker is not None:
            said[name] = worker
    if len(set(said.values())) > 1:
        answers = ", ".join(f"{name} says {worker}" for name, worker in said.items())
        raise OptionError(f"which worker is this? {answers}; give worker=(rank, world)")
    return next(iter(said.values()), ALONE)


def _torch() -> tuple[int, int] | None:
    group = sys.modules.get("torch.distributed")
    # While torch is being imported, or where it was built without, there are no such names.
    if group is None or not getattr(group, "is_available", bool)() or not group.is_initialized():
        return None
    return group.get_rank(), group.get_world_size()


def _torchrun() -> tuple[int, int] | None:
    # So that a set that is made before the process group is no copy for every worker.
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


def _jax() -> tuple[int, int] | None:
    jax = sys.modules.get("jax")
    distributed = getattr(jax, "distributed", None)
    # Only then: asking for the process starts JAX's backend, and afterwards it is too late to
    # initialise.
    if jax is None or not getattr(distributed, "is_initialized", bool)():
        return None
    return jax.process_index(), jax.process_count()


def scoped_worker() -> tuple[int, int] | None:
    """Return (rank, world) if a strategy with other processes has a scope here, which may end."""
    distribute = getattr(sys.modules.get("tensorflow"), "distribute", None)
    if distribute is None:
        return None
    resolver = distribute.get_strategy().cluster_resolver
    # One that drives other machines from a single process, as for TPUs, has no task.
    if resolver is None or resolver.task_type is None:
        return None
    return _rank(resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id)


def _tf_config() -> tuple[int, int] | None:
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error}): {text}") from error
    cluster = config.get("cluster", {}) if isinstance(config, dict) else None
    if not isinstance(cluster, dict):
        raise ValueError(f"it and its cluster must be objects: {text}")
    if not cluster:
        return None
    task = config.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise ValueError(f"it has a cluster, but no task with type and index: {text}")
    return _rank(cluster, task["type"], task["index"])


def _rank(cluster: Mapping[str, Any], kind: Any, index: Any) -> tuple[int, int] | None:
    """Return the rank of a task among those that train; None if nobody shares with it."""
    if kind in _OTHERS:
        return None
    if kind not in _TRAINS:
        raise ValueError(f"task type is {kind!r}, none of {', '.join(_TRAINS + _OTHERS)}")
    counts = []
    for name in _TRAINS:
        members = cluster.get(name, [])
        if not isinstance(members, list):
            raise ValueError(f"cluster {name} is not a list of addresses")
        counts.append(len(members))
    place = _TRAINS.index(kind)
    # TensorFlow takes an index that is written as text.
    number = int(index)
    if not 0 <= number < counts[place]:
        raise ValueError(f"task {kind} {number} is not in the cluster, which has {counts[place]}")
    world = sum(counts)
    return (sum(counts[:place]) + number, world) if world > 1 else None


class WorkerOfThen:
    """Remembers which worker this process was when a set was made whose length is fixed."""

    def __init__(self, given: tuple[int, int] | None) -> None:
        """Ask now, unless the worker was given as an option."""
        self._then = None if given is not None else current_worker()

    def compare(self) -> None:
        """Raise OptionError where this process is another worker by now."""
        now = None if self._then is None else current_worker()
        if now != self._then:
            raise OptionError(
                f"this process was worker (rank, world) {self._then} when the set was made, and is "
                f"{now} now: make the set after the framework is initialised, or give "
                f"worker={now}"
            )
