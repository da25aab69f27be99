"""A stream of batches: in order, made ahead by a thread, and resumable to the sample."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any

from reader.batch_form import Batch, BatchForm, BatchParts
from reader.batch_maker import BatchMaker, BegunBatch
from reader.memory import MemoryPlan, Pipeline
from reader.options import BatchOptions
from reader.rank import current_worker
from shardio.errors import DatasetError, OptionError

if TYPE_CHECKING:
    from reader.shardset import ShardSet

STATE_VERSION = 1

# Batches made ahead of the one that the caller works on. Many would only hide a storage that is
# too slow for a moment; on average they cannot help. What compiled code begins needs no thread of
# ours. Else one makes them: a second one gets no further, as each read gives up the interpreter's
# lock and has to win it back. The caller holds the batch that it works on, and the one before it,
# which its variable still holds while the next is asked for.
PIPELINE = Pipeline(threads=1, held=2, prefetch=(1, 2, 8))
# Handing a batch from thread to thread takes some 150 microseconds. A caller that takes less to
# come back has nothing that could be done beside it, and makes its batches itself.
_HURRY = 100e-6


class Batches(Iterator[Batch]):
    """The batches of a stream, in order, made ahead by a thread.

    `len` is the number of batches of one epoch. `close` ends the thread, as does forgetting the
    iterator; `with` may be used. `state_dict` says where the stream is, in a few numbers that any
    serializer takes; a stream that gets them by `load_state_dict` goes on with the next sample.
    """

    def __init__(
        self,
        shards: ShardSet,
        options: BatchOptions,
        *,
        every: tuple[int, int] = (0, 1),
        convert: Callable[[BatchParts], BatchParts] | None = None,
    ) -> None:
        """Begin; of the steps from `start_epoch` on only each that `every` names is made.

        `every` is (number, count): the steps number, number + count, ... Each batch is put
        together of what `convert` makes of its arrays.
        """
        self._every = every
        self._convert = convert
        self._form = BatchForm.of(shards.labels, as_dict=options.as_dict)
        self._turn = Lock()
        self._ahead: deque[tuple[int, int, Begun]] = deque()
        self._shards = shards
        self._start(options, options.start_epoch, 0)

    def _start(self, options: BatchOptions, epoch: int, samples: int) -> None:
        """Let the next batch be the one at position `samples` of `epoch`."""
        self._given = options
        self._begun = False
        self._process = os.getpid()
        self._closed = False
        self._pool = ThreadPoolExecutor(PIPELINE.threads, thread_name_prefix="shardio-batches")
        self._maker = BatchMaker(self._shards, options, PIPELINE, parts=self._every[1])
        options = self._maker.options
        self._given_at = 0.0
        self._away = 1.0
        # Both at once: another thread may ask for the state.
        self._place = epoch, samples
        steps = _schedule(options, len(self._shards), epoch, samples)
        number, count = self._every
        begun = (epoch - options.start_epoch) * self._maker.steps
        begun += -(-samples // options.step_size)
        self._waiting = itertools.islice(steps, (number - begun) % count, None, count)
        self._ahead.clear()

    def __len__(self) -> int:
        return self._located().steps

    def __next__(self) -> Batch:
        with self._turn:
            if self._closed:
                raise StopIteration
            try:
                if self._process != os.getpid():  # a fork copies no thread
                    options = self._maker.options if self._begun else self._given
                    self._start(options, *self._place)
                self._located()
                self._begun = True
                # Smoothed, so that neither a pause now and then nor a quick step decides.
                self._away += 0.25 * (time.perf_counter() - self._given_at - self._away)
                batch = self._next()
                self._given_at = time.perf_counter()
            except BaseException:
                # Interrupted somewhere, it could not go on without leaving out a step.
                self.close()
                raise
            return batch

    def _next(self) -> Batch:
        hurry = self._away < _HURRY and not self._maker.begins
        if not (hurry and self._ahead):
            depth = 1 if hurry else self._maker.memory.prefetch + 1 - len(self._ahead)
            for epoch, start in itertools.islice(self._waiting, depth):
                self._ahead.append((epoch, start, self._begin(epoch, start, here=hurry)))
        if not self._ahead:
            raise StopIteration
        epoch, start, future = self._ahead.popleft()
        parts = future.result()
        batch = self._form.for_arrays(self._convert(parts) if self._convert else parts)
        self._place = epoch, min(start + self._maker.options.step_size, len(self._shards))
        return batch

    def _located(self) -> BatchMaker:
        """Return the maker; until the first batch, that of the worker that this process is now."""
        asks = not (self._begun or self._closed) and self._given.worker is None
        if asks and current_worker() != self._maker.options.worker:
            self._pool.shutdown(wait=False)
            self._start(self._given, *self._place)
        return self._maker

    def _begin(self, epoch: int, start: int, *, here: bool) -> Begun:
        """Begin to make a batch, or make it here and now, or let the thread make it."""
        try:
            if self._maker.begins:
                return self._maker.begin(epoch, start)
            if here:
                return _Made(self._maker.make(epoch, start))
        except Exception as error:  # an interrupt comes now, and not when its batch is due
            return _Made(error)
        return self._pool.submit(self._maker.make, epoch, start)

    @property
    def options(self) -> BatchOptions:
        """The options, with what was chosen for those that were not given."""
        return self._located().options

    @property
    def skipped(self) -> int:
        """How many damaged records were skipped (`on_error="skip"`), prefetched ones included."""
        return self._maker.skipped.count

    @property
    def memory(self) -> MemoryPlan:
        """What this stream owns in memory."""
        return self._located().memory

    def state_dict(self) -> dict[str, int | str]:
        """Return where the stream is: what all workers together have been given so far."""
        options, (epoch, samples) = self._located().options, self._place
        return {
            "version": STATE_VERSION,
            "dataset": self._shards.fingerprint,
            "shuffle": options.shuffle,
            "seed": options.seed,
            "epoch": epoch,
            "samples": samples,
            "block": options.block or 0,
            "window": options.window or 0,
            "lanes": options.lanes or 0,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the stream of `state` was.

        Order (with its block, window and lanes) and seed are the state's; batch size, number of
        workers and all else are this stream's own. Raises DatasetError for a state of another set
        of shards.
        """
        if not isinstance(state, Mapping):
            raise OptionError(f"a state is what state_dict() returned, not {state!r}")
        known = self.state_dict()
        wrong = [
            name for name, value in known.items() if not isinstance(state.get(name), type(value))
        ]
        if wrong or state["version"] != STATE_VERSION:
            raise OptionError(
                f"this is no state of a stream of version {STATE_VERSION}: "
                f"{', '.join(wrong) or 'version'} is not as it should be"
            )
        if state["dataset"] != known["dataset"]:
            raise DatasetError("the state is of another set of shards: its samples are not here")
        if not 0 <= state["samples"] <= len(self._shards) or state["epoch"] < 0:
            raise OptionError(
                f"sample {state['samples']} of epoch {state['epoch']} is none of ours"
            )
        last = self._maker.options.epochs
        if last is not None and state["epoch"] >= self._maker.options.start_epoch + last:
            raise OptionError(
                f"the state is in epoch {state['epoch']}, which this stream does not reach: give "
                "it a later start_epoch, more epochs, or epochs=None"
            )
        inner = state["samples"] % self._maker.options.step_size
        if self._every[1] > 1 and inner and state["samples"] < len(self._shards):
            raise OptionError(
                "the state is of another batch size or number of workers; the processes of a "
                "DataLoader go on with their own only"
            )
        options = replace(
            self._maker.options,
            shuffle=state["shuffle"],
            seed=state["seed"],
            block=state["block"] or None,
            window=state["window"] or None,
            lanes=state["lanes"] or None,
            worker=self._given.worker,
        )
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._start(options, state["epoch"], state["samples"])

    def close(self) -> None:
        """Stop making batches; the iterator is at its end."""
        self._closed = True
        self._ahead.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._maker.close()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Made:
    """A batch that is made, or the error that came instead: a Future takes longer to be one."""

    def __init__(self, made: BatchParts | Exception) -> None:
        self._made = made

    def result(self) -> BatchParts:
        """Return the parts of the batch or raise the error."""
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


Begun = BegunBatch | Future[BatchParts] | _Made


# No method: a generator that holds its stream would keep a forgotten stream, and its thread, alive.
def _schedule(
    options: BatchOptions, records: int, epoch: int, start: int
) -> Iterator[tuple[int, int]]:
    """Yield epoch and position of every step to come."""
    while options.epochs is None or epoch < options.start_epoch + options.epochs:
        left = records - start
        if left >= options.step_size or (left > 0 and (options.pad or not options.drop_remainder)):
            yield epoch, start
            start += min(options.step_size, left)
        else:
            epoch, start = epoch + 1, 0
