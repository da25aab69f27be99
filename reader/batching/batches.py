"""A stream of batches: in order, made ahead by a thread, and resumable to the sample."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any

from reader.batching.batch_form import Batch, BatchForm, BatchParts
from reader.batching.batch_maker import BatchMaker
from reader.batching.memory import MemoryPlan, Pipeline
from reader.batching.options import BatchOptions
from reader.batching.rank import current_worker
from reader.batching.steps import Place
from reader.batching.stream_state import check_state, mix_start, stream_state
from reader.dataset import Dataset
from reader.fetch.skipped import Skipped
from reader.order.mixed import MixStart
from reader.stats.shared_counts import SharedCounts
from reader.stats.stream_stats import StreamStats
from shardio.errors import OptionError

# Batches made ahead of the one that the caller works on. Many would only hide a storage that is
# too slow for a moment; on average they cannot help. What compiled code begins needs no thread of
# ours. Else one makes them: a second one gets no further, as each read gives up the interpreter's
# lock and has to win it back. The caller holds the batch that it works on, and the one before it,
# which its variable still holds while the next is asked for.
PIPELINE = Pipeline(threads=1, held=2, prefetch=(1, 2, 8))


class Batches(Iterator[Batch]):
    """The batches of a stream, in order, made ahead by a thread.

    A pass is `epochs` epochs. `iter` goes on in the midst of a pass, and after its end begins the
    next one: until then `next` raises StopIteration. Where `next` raises anything else, also
    KeyboardInterrupt, the same batch comes next.

    `len` is the number of batches of one epoch. `close` ends the stream and its thread, as does
    forgetting the iterator; `with` may be used. `state_dict` says where the stream is, in a few
    numbers that any serializer takes; a stream that gets them by `load_state_dict` goes on with
    the next sample, at the end of a pass with the next pass.
    """

    def __init__(
        self,
        shards: Dataset,
        options: BatchOptions,
        *,
        every: tuple[int, int] = (0, 1),
        convert: Callable[[BatchParts], BatchParts] | None = None,
        mixed: MixStart | None = None,
        shared: SharedCounts | None = None,
    ) -> None:
        """Begin; of the steps from `start_epoch` on only each that `every` names is made.

        `every` is (number, count): the steps number, number + count, ... Each batch is put
        together of what `convert` makes of its arrays. `mixed` is where a mix began, if not with
        the first sample. `shared` counts for all processes of a DataLoader.
        """
        self._every, self._convert = every, convert
        self._shards, self._shared = shards, shared
        self._process, self._turn = os.getpid(), Lock()
        self._counts = shards.counts.stream(adds_to=shared)
        self._mixed = mixed
        if shards.mix is not None and mixed is None:
            self._mixed = MixStart.first(shards.mix.places)
        self._ahead: deque[tuple[int, int, Callable[[], BatchParts]]] = deque()
        self._start(options, Place.of(options, options.start_epoch, 0))
        self._form = BatchForm.of(self._maker.heads, as_dict=options.as_dict)

    def _start(self, options: BatchOptions, place: Place) -> None:
        """Go on at `place`, with these options."""
        self._given = options
        self._begun = self._closed = False
        # At once: another thread may ask for the state.
        self._place = place
        self._open(options, None)

    def _open(self, options: BatchOptions, skipped: Skipped | None) -> None:
        """Begin to make the batches from the place on; `skipped` counts on."""
        self._stopped = True
        if self._process != os.getpid():
            self._process = os.getpid()
            self._counts = self._shards.counts.stream(adds_to=self._shared)
        pipeline = PIPELINE.with_threads(options)
        self._threads = pipeline.threads
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="shardio-batches")
        self._maker = BatchMaker(
            self._shards, options, pipeline,
            parts=self._every[1], skipped=skipped, start=self._mixed, counts=self._counts,
        )  # fmt: skip
        self._counts.queue = self._ahead
        options, place = self._maker.options, self._place
        number, count = self._every
        begun = (place.epoch - place.first) * self._maker.steps
        begun += -(-place.samples // options.step_size)
        steps = place.steps(options, options.positions(self._shards))
        self._waiting = itertools.islice(steps, (number - begun) % count, None, count)
        self._ahead.clear()
        self._stopped = False

    def _stop(self) -> None:
        """Drop what was made ahead, and end the thread; `_open` goes on."""
        self._stopped = True
        self._ahead.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._maker.close()

    def __len__(self) -> int:
        return self._located().steps

    def __iter__(self) -> Batches:
        with self._turn:
            place = self._place
            if place.begun and self._is_end(place):
                self._stop()
                place = place.next_pass(self._maker.options)
            self._place = place._replace(begun=True)
        return self

    def __next__(self) -> Batch:
        before = after = self._place
        try:
            with self._turn:
                before = self._place
                batch, after = self._counts.given(self._take)
                self._place = after
                return batch
        except BaseException:
            with self._turn:
                # An interrupt may come after the batch was taken, and the caller has not got it.
                if self._place is after:
                    self._place = before
                self._stop()
            raise

    def _take(self) -> tuple[Batch, Place]:
        """Return the next batch, and the place behind it."""
        place = self._place
        if self._closed or not place.begun:
            raise StopIteration
        if self._stopped or self._process != os.getpid():  # a fork copies no thread
            options = self._maker.options if self._begun else self._given
            self._open(options, self._maker.skipped)
        maker = self._located()
        place = self._place
        self._begun = True
        depth = maker.memory.prefetch + self._threads - len(self._ahead)
        for epoch, start in itertools.islice(self._waiting, depth):
            self._ahead.append((epoch, start, self._begin(epoch, start)))
        if not self._ahead:
            self._place = place.next_pass(maker.options)._replace(begun=False)
            raise StopIteration
        epoch, start, result = self._ahead.popleft()
        parts = self._counts.wait(result)
        batch = self._form.for_arrays(self._convert(parts) if self._convert else parts)
        samples = min(start + maker.options.step_size, maker.positions)
        return batch, Place(place.first, epoch, samples)

    def _is_end(self, place: Place) -> bool:
        # Of a stream that makes each so many-th step, others may have some left.
        options = self._maker.options
        positions = options.positions(self._shards)
        return self._every[1] == 1 and place.ends_pass(options, positions)

    @property
    def place(self) -> Place:
        """Where the stream is."""
        return self._place

    @property
    def mixed(self) -> MixStart | None:
        """Where a mix began, or where it was resumed; None of other sets."""
        return self._mixed

    @property
    def goes_on(self) -> bool:
        """Whether the stream is in the midst of a pass, or has not begun it."""
        return self._place.begun and not (self._closed or self._is_end(self._place))

    def _located(self) -> BatchMaker:
        """Return the maker; until the first batch, that of the worker that this process is now."""
        asks = not (self._begun or self._closed) and self._given.worker is None
        if asks and current_worker() != self._maker.options.worker:
            self._pool.shutdown(wait=False)
            self._start(self._given, self._place)
        return self._maker

    def _begin(self, epoch: int, start: int) -> Callable[[], BatchParts]:
        """Begin to make a batch, or let the thread make it; returns what waits for it."""
        maker, measured = self._maker, self._counts.measured
        if not maker.begins:
            return self._pool.submit(measured, maker.make, epoch, start).result
        try:
            end = partial(maker.end, maker.begin(epoch, start))
            return self._pool.submit(measured, end).result if maker.thinks else end
        except Exception as error:  # an interrupt comes now, and not when its batch is due
            failed: Future[BatchParts] = Future()
            failed.set_exception(error)
            return failed.result

    @property
    def options(self) -> BatchOptions:
        """The options, with what was chosen for those that were not given."""
        return self._located().options

    @property
    def skipped(self) -> int:
        """How many damaged records were skipped (`on_error="skip"`), prefetched ones included."""
        return self._maker.skipped.count

    def stats(self) -> StreamStats:
        """Return what the stream has given in this process, and how long the caller waited."""
        return self._counts.stats()

    @property
    def memory(self) -> MemoryPlan:
        """What this stream owns in memory."""
        return self._located().memory

    def state_dict(self) -> dict[str, int | str]:
        """Return where the stream is: what all workers together have been given so far."""
        options = self._located().options
        positions = options.positions(self._shards)
        return stream_state(
            options, self._place, self._shards.fingerprint, self._mixed, positions, self._every
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where the stream of `state` was.

        Order (with its block, window and lanes) and seed are the state's; batch size, number of
        workers and all else are this stream's own. Other weights of a mix count from here on.
        Raises DatasetError for a state of another set of shards, OptionError for one of other
        weights of records.
        """
        known, options = self.state_dict(), self._maker.options
        check_state(state, known, options, options.positions(self._shards), self._every)
        inner = state["samples"] % options.step_size
        if self._every[1] > 1 and inner and state["samples"] < options.positions(self._shards):
            raise OptionError(
                "the state is of another batch size or number of workers; the processes of a "
                "DataLoader go on with their own only"
            )
        given = replace(
            options,
            shuffle=state["shuffle"],
            seed=state["seed"],
            block=state["block"] or None,
            window=state["window"] or None,
            lanes=state["lanes"] or None,
            worker=self._given.worker,
        )
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._mixed is not None:
            lanes = given.lanes or 1 if given.shuffle == "window" else 1
            start = mix_start(state)
            self._mixed = start.with_places(self._mixed.places, lanes, given.seed)
        place = Place.of(options, state["epoch"], state["samples"])
        self._start(given, place.next_pass(options) if self._is_end(place) else place)

    def close(self) -> None:
        """Stop making batches; the iterator is at its end for good."""
        self._closed = True
        self._stop()

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
