"""A model of the user's: its step on a batch that is held in memory, and fed by a stream.

`file.py:make` names a function that returns a compiled Keras model or a callable `step(x, ys)`,
which gets what `batches` yields. It is called with the shapes of a batch by name, as `{"image":
(128, 32, 128, 3), "y0": (128,)}`, or without arguments where it takes none.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from reader.measure.adaptors import KERAS, NUMPY, TF_DATA, begin_face
from reader.measure.findings import ModelPass
from reader.shardset import ShardSet
from shardio.errors import OptionError
from shardio.measure.measured import Measured, measured

_SETTLE = 0.5
_ENDLESS = 10**9
# Seconds that the thread sleeps which asks for the interpreter's lock.
_PROBE = 0.001

Step = Callable[..., Any]
# Yields the images of each step.
Steps = Callable[[float], Measured]


def parse_model(text: str) -> tuple[str, str]:
    """Return file and function of `file.py:make`; OptionError where there is no such file."""
    file, colon, name = text.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise OptionError(f"--model is a file and a function in it, file.py:make, not {text!r}")
    if not os.path.isfile(file):
        raise OptionError(f"--model {text}: there is no file {file}")
    return os.path.abspath(file), name


def begin_model(
    shards: ShardSet, file: str, name: str, batch_size: int, options: dict[str, Any]
) -> Callable[[ShardSet, float], ModelPass]:
    """Make the model, and return what measures it on a part of the set.

    It measures the model alone, the stream alone, and both, for so many seconds each.
    """
    shown = f"--model {os.path.basename(file)}:{name}"
    with shards.batches(batch_size, **options) as stream:
        batch = next(stream)
    with shards.batches(batch_size, **options, as_dict=True) as stream:
        shapes = {part: array.shape for part, array in next(stream).items()}
    model = _made(shown, file, name, shapes)
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(model, keras.Model):
        if not model.compiled:
            raise OptionError(f"{shown} returns a Keras model that is not compiled")
        face = TF_DATA if keras.backend.backend() == "tensorflow" else KERAS
    elif callable(model):
        face = NUMPY
        _done(shown, model, batch)
    else:
        raise OptionError(
            f"{shown} returns {type(model).__name__}, and neither a compiled Keras model nor a "
            "function step(x, ys)"
        )
    made: list[tuple[Steps, Steps, Steps]] = []

    def run(part: ShardSet, seconds: float) -> ModelPass:
        if not made:
            if face == NUMPY:
                stream = part.batches(batch_size, **options, epochs=None)
                steps = (
                    _steps(_forever(shown, model, batch)),
                    _steps(_through(shown, model, stream)),
                )
            else:
                steps = _keras_steps(shown, keras, model, part, face, batch_size, options)
            made.append((*steps, begin_face(part, face, batch_size, options)))
        alone, fed, read = made[0]
        with _Lock() as lock:
            by_itself = alone(seconds)
        return ModelPass(by_itself, fed(seconds), read(seconds), lock.share, face)

    return run


def _made(shown: str, file: str, name: str, shapes: dict[str, tuple[int, ...]]) -> Any:
    module = _loaded(shown, file)
    make = getattr(module, name, None)
    if not callable(make):
        raise OptionError(f"{shown}: there is no function {name} in {file}")
    try:
        return make(shapes) if inspect.signature(make).parameters else make()
    except (Exception, SystemExit) as error:
        raise OptionError(f"{shown} failed: {_in_words(error)}") from error


def _loaded(shown: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("shardio_measured_model", file)
    if spec is None or spec.loader is None:
        raise OptionError(f"{shown}: {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(file))  # for what lies beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise OptionError(f"{shown}: {file} cannot be imported: {_in_words(error)}") from error
    return module


def _in_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _steps(counts: Iterator[int]) -> Steps:
    return lambda seconds: measured(counts, seconds, _SETTLE)


def _forever(shown: str, step: Step, batch: tuple[Any, ...]) -> Iterator[int]:
    while True:
        _done(shown, step, batch)
        yield len(batch[0])


def _through(shown: str, step: Step, stream: Any) -> Iterator[int]:
    for batch in stream:
        _done(shown, step, batch)
        yield len(batch[0])


def _done(shown: str, step: Step, batch: tuple[Any, ...]) -> None:
    """Make a step, and wait for what a device still does of it."""
    try:
        result = step(*batch)
        if hasattr(result, "block_until_ready"):
            result.block_until_ready()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
    except Exception as error:
        raise OptionError(f"{shown}: its step failed: {_in_words(error)}") from error


def _keras_steps(
    shown: str,
    keras: Any,
    model: Any,
    shards: ShardSet,
    face: str,
    batch_size: int,
    options: dict[str, Any],
) -> tuple[Steps, Steps]:
    """Return what trains with `fit`: on one batch in memory, and on the set."""
    endless = {**options, "epochs": None}
    if face == TF_DATA:
        data = shards.to_tf_dataset(batch_size, **endless)
        held = sys.modules["tensorflow"].data.Dataset.from_tensors(next(iter(data))).repeat()
    else:
        data = shards.to_keras(batch_size, **endless)
        held = _in_memory(keras, data[0])

    def fit(given: Any, seconds: float) -> Measured:
        clock = _clock(keras, seconds)
        try:
            model.fit(given, steps_per_epoch=_ENDLESS, shuffle=False, verbose=0, callbacks=[clock])
        except Exception as error:
            raise OptionError(f"{shown}: fit failed: {_in_words(error)}") from error
        found: Measured = clock.measured(batch_size)
        return found

    return lambda seconds: fit(held, seconds), lambda seconds: fit(data, seconds)


def _in_memory(keras: Any, item: Any) -> Any:
    class Held(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return _ENDLESS

        def __getitem__(self, index: int) -> Any:
            return item

    return Held()


def _clock(keras: Any, seconds: float) -> Any:
    """Return a callback that ends `fit` after so many seconds, those of its start not counted."""

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]
        first = last = 0
        begun = ready = used = took = 0.0

        def on_train_begin(self, logs: Any = None) -> None:
            self.model.stop_training = False
            self.ready = time.perf_counter() + _SETTLE

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            now, self.last = time.perf_counter(), batch
            if not self.begun:
                # The first step compiles.
                if now >= self.ready and batch >= 2:
                    self.first, self.begun, self.used = batch, now, time.process_time()
            elif now >= self.begun + seconds:
                self.model.stop_training = True

        def measured(self, batch_size: int) -> Measured:
            took = time.perf_counter() - self.begun
            images = (self.last - self.first) * batch_size
            return Measured(images, took, time.process_time() - self.used)

    return Clock()


class _Lock:
    """Measures which share of the time another thread waits for the interpreter's lock.

    A thread sleeps again and again; what it comes back late is the wait for the lock. The time in
    which it waited for a core tells nothing, and counts neither as late nor as time.
    """

    def __init__(self) -> None:
        self.share = 0.0
        self._stopped = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        late, start, queued = 0.0, time.perf_counter(), _queued()
        while not self._stopped:
            asked = time.perf_counter()
            time.sleep(_PROBE)
            late += time.perf_counter() - asked - _PROBE
        queued = _queued() - queued
        took = time.perf_counter() - start - queued
        self.share = min(max((late - queued) / took, 0.0), 1.0)

    def __enter__(self) -> _Lock:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped = True
        self._thread.join()


def _queued() -> float:
    """Return the seconds that this thread has waited for a core; 0 where they are not known."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0
