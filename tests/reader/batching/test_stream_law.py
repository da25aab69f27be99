"""The law of streams: what `iter`, `next`, a state and an interrupt do, against a simple model."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from linecache import getline
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from reader import open_shards
from reader.batching import batches
from reader.shardset import ShardSet
from tests.reader.datasets import write_dataset

PASSES = 40


@cache
def shards() -> ShardSet:
    folder = TemporaryDirectory()
    made = write_dataset(Path(folder.name), (5, 0, 8, 1))
    opened = open_shards(made.glob)
    opened.__dict__["_folder"] = folder  # it goes with the set
    return opened


@cache
def order(options: tuple[tuple[str, Any], ...]) -> list[list[list[int]]]:
    """Return the rows of each batch of each pass, made as one stream of one pass each."""
    chosen = dict(options)
    start, epochs = chosen.pop("start_epoch"), chosen.pop("epochs")
    return [
        [
            batch[2].tolist()
            for batch in shards().batches(
                **chosen, start_epoch=start + number * epochs, epochs=epochs, rows=True
            )
        ]
        for number in range(PASSES)
    ]


@dataclass(frozen=True)
class At:
    """Where the model is: `step` of a pass, and whether `iter` has begun it."""

    number: int = 0
    step: int = 0
    begun: bool = True


class Interrupt:
    """Raises KeyboardInterrupt at one of the lines of the stream's code that are run.

    Not at a `with`: that line comes again before `__exit__`, where Python handles no signal.
    """

    def __init__(self, line: int) -> None:
        self._left = line

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *exception: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != batches.__file__:
            return None
        line = getline(frame.f_code.co_filename, frame.f_lineno).lstrip()
        if event == "line" and not line.startswith("with "):
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return self._trace


class StreamLaw(RuleBasedStateMachine):
    """A stream of NumPy batches; TorchLaw has another one."""

    face = "batches"

    @initialize(
        size=st.integers(1, 14),
        drop=st.booleans(),
        epochs=st.integers(1, 2),
        start=st.integers(0, 2),
        shuffle=st.sampled_from(["exact", "window", "none"]),
    )
    def open(self, size: int, drop: bool, epochs: int, start: int, shuffle: str) -> None:
        self.options: dict[str, Any] = {
            "batch_size": size,
            "drop_remainder": drop,
            "epochs": epochs,
            "start_epoch": start,
            "shuffle": shuffle,
        }
        if shuffle == "window":
            self.options |= {"block": 3, "window": 2}
        self.order = order(tuple(self.options.items()))
        self.states: list[tuple[dict[str, Any], At]] = []
        self.at = At()
        self.make()

    def make(self) -> None:
        self.set: Any = shards().batches(**self.options, rows=True)
        self.stream: Any = self.set

    def due(self) -> list[int] | None:
        """Move the model on; returns the batch that comes now, None at the end of a pass."""
        steps = self.order[self.at.number]
        if not self.at.begun or self.at.step == len(steps):
            if self.at.begun:
                self.at = At(self.at.number + 1, 0, False)
            return None
        self.at = replace(self.at, step=self.at.step + 1)
        return steps[self.at.step - 1]

    def begin(self) -> None:
        """Move the model on as `iter` does."""
        if self.at.begun and self.at.step == len(self.order[self.at.number]):
            self.at = At(self.at.number + 1)
        self.at = replace(self.at, begun=True)

    def check(self, batch: Any) -> None:
        assert (None if batch is None else batch[2].tolist()) == self.due()

    @rule()
    def take(self) -> None:
        self.check(next(self.stream, None))

    @rule()
    def iterate(self) -> None:
        self.stream = iter(self.set)
        self.begin()

    @rule(count=st.integers(1, 30))
    def loop(self, count: int) -> None:
        """As `for` does, up to a `break`."""
        self.iterate()
        for batch in islice(self.stream, count):
            self.check(batch)

    @rule()
    def save(self) -> None:
        # At the end of a pass the next one is meant.
        after = self.at
        if after.step == len(self.order[after.number]):
            after = At(after.number + 1)
        state = json.loads(json.dumps(self.set.state_dict()))
        self.states.append((state, replace(after, begun=True)))

    @rule(data=st.data(), fresh=st.booleans())
    def load(self, data: st.DataObject, fresh: bool) -> None:
        if not self.states:
            return
        state, at = data.draw(st.sampled_from(self.states))
        if fresh:
            self.make()
        self.set.load_state_dict(state)
        self.stream = self.loaded()
        self.at = at

    def loaded(self) -> Any:
        return self.stream

    @rule(line=st.integers(1, 60))
    def interrupt(self, line: int) -> None:
        """Whatever line the interrupt comes at, the same batch comes next."""
        try:
            with Interrupt(line):
                batch = next(self.stream, None)
        except KeyboardInterrupt:
            return
        self.check(batch)

    @invariant()
    def passes_are_left(self) -> None:
        if hasattr(self, "at") and self.at.number > PASSES - 4:
            self.at = At()
            self.make()
            self.states.clear()


class TorchLaw(StreamLaw):
    """A torch set in the process that has it."""

    def make(self) -> None:
        self.set = shards().to_torch(**self.options, rows=True)
        self.stream = iter(self.set)

    def loaded(self) -> Any:
        return iter(self.set)


StreamLaw.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TorchLaw.TestCase.settings = settings(max_examples=15, stateful_step_count=25, deadline=None)


class TestStreamLaw(StreamLaw.TestCase):  # type: ignore[misc, valid-type]
    """Of NumPy batches."""


class TestTorchLaw(TorchLaw.TestCase):  # type: ignore[misc, valid-type]
    """Of a torch set."""

    def setUp(self) -> None:
        pytest.importorskip("torch", reason="PyTorch is not installed")
        super().setUp()
