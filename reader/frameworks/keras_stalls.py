"""How long Keras's `fit` waits for its batches, as a callback."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

from shardio.errors import MissingExtraError

try:
    import keras
except ImportError as error:
    raise MissingExtraError(
        "StallCallback needs Keras: it comes with shardio's extra [tensorflow]"
    ) from error


class Waited(Protocol):
    """Something that is waited for."""

    @property
    def seconds(self) -> float:
        """Seconds that were waited so far."""


class StallCallback(keras.callbacks.Callback):  # type: ignore[misc]  # keras ships no types
    """Logs of each epoch of `fit` which share of its time was spent waiting for batches.

        model.fit(batches, callbacks=[StallCallback(), keras.callbacks.TensorBoard("board")])

    It comes first in the list, so that other callbacks find the numbers in the logs: `stall`, the
    share of the time of training, 0 to 1, and `utilisation`, what is left of it, which is the
    accelerator utilisation of MLPerf Storage. They are in the line of the epoch, in the history and
    in TensorBoard. Validation is left out, and so is what comes before the first epoch.

    It sees the wait of whatever `fit` takes (`to_tf_dataset`, `to_keras`, a DataLoader, ...), on
    the backends TensorFlow, JAX and torch, with any `steps_per_execution`, since it measures where
    Keras takes its batches. Where a device works on while the host waits for a batch, utilisation
    is at least what is logged. Under a `tf.distribute` strategy, and in a version of Keras that
    takes batches elsewhere, the wait cannot be seen: then it warns and logs nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._undo: Callable[[], None] | None = None
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._waits: list[Waited] = []
        self._is_training = self._is_unseen = False
        self._begun = self._before = self._total = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to look."""
        self.on_train_end()
        self._begin_anew()
        self._undo = _watch(self._watched)

    def on_train_end(self, logs: Any = None) -> None:
        """Leave Keras as it was."""
        if self._undo is not None:
            self._undo()
            self._undo = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Begin to count."""
        self._is_training, self._total = True, 0.0
        self._begun, self._before = time.perf_counter(), self._waited()

    def on_test_begin(self, logs: Any = None) -> None:
        """Leave out validation."""
        self._pause()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Log what was counted."""
        self._pause()
        if not self._waits:  # no batch was taken where it was looked for
            self._say_unseen("this version of Keras takes its batches elsewhere")
        elif logs is not None and not self._is_unseen and self._total > 0:
            stall = min(1.0, max(0.0, (self._waited() - self._before) / self._total))
            logs["stall"], logs["utilisation"] = stall, 1 - stall

    def _pause(self) -> None:
        if self._is_training:
            self._is_training = False
            self._total = time.perf_counter() - self._begun

    def _waited(self) -> float:
        return sum(wait.seconds for wait in self._waits)

    def _watched(self, batches: Any) -> Any:
        """Return what Keras takes its batches from, measured."""
        if not self._is_training:
            return batches
        if keras.backend.backend() == "tensorflow":
            from reader.frameworks.timed_dataset import TimedDataset, is_dataset

            if not is_dataset(batches):
                self._say_unseen("a strategy of tf.distribute takes batches ahead of the steps")
                return batches
            dataset = TimedDataset(batches)
            self._waits.append(dataset)
            return dataset.batches
        timed = _Timed(batches)
        self._waits.append(timed)
        return timed

    def _say_unseen(self, why: str) -> None:
        if not self._is_unseen:
            self._is_unseen = True
            warnings.warn(
                f"StallCallback cannot see how long fit waits for batches: {why}. It logs nothing; "
                "StallMonitor measures a loop of your own",
                stacklevel=2,
            )


class _Timed:
    """Batches, with the time that the caller waits for them."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        begun = time.perf_counter()
        self._iterator = iter(self._batches)
        self.seconds += time.perf_counter() - begun
        return self

    def __next__(self) -> Any:
        begun = time.perf_counter()
        try:
            return next(self._iterator)
        finally:
            self.seconds += time.perf_counter() - begun


def _watch(watched: Callable[[Any], Any]) -> Callable[[], None]:
    """Hand on to Keras's loops what `watched` makes of their batches; returns what ends that.

    Keras has no place of its own for this: `_get_iterator` of its epoch iterators is where each
    backend's loop takes what it iterates over.
    """
    try:
        from keras.src.trainers.epoch_iterator import EpochIterator
    except ImportError:
        return lambda: None
    kinds = [kind for kind in _kinds(EpochIterator) if "_get_iterator" in vars(kind)]
    originals = [vars(kind)["_get_iterator"] for kind in kinds]

    def measured(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda iterator: watched(original(iterator))

    for kind, original in zip(kinds, originals, strict=True):
        kind._get_iterator = measured(original)

    def undo() -> None:
        for kind, original in zip(kinds, originals, strict=True):
            kind._get_iterator = original

    return undo


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for other in kind.__subclasses__():
        yield from _kinds(other)
