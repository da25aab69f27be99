"""Keras's `fit` over an endless stream that begins where the last save was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reader.resume.saves import Saves
from reader.resume.stream import maker_of
from shardio.errors import OptionError

if TYPE_CHECKING:
    import keras

# What `fit` says itself.
_OURS = {"x", "y", "batch_size", "sample_weight", "validation_split"}
_OURS |= {"initial_epoch", "steps_per_epoch", "shuffle"}


def fit(
    model: keras.Model,
    data: Callable[..., Any],
    folder: str | Path,
    *,
    epochs: int,
    every: int | None = None,
    minutes: float | None = 10,
    callbacks: list[keras.callbacks.Callback] | None = None,
    verbose: str | int = "auto",
    **options: Any,
) -> keras.callbacks.History:
    """Train as `model.fit` does; after a kill, the same call goes on from the last save.

    `data` makes the stream: `functools.partial(shards.to_tf_dataset, 128)`, or that of `to_keras`;
    it is called with `epochs=None` and `start_step=`. An epoch is one of the set, all epochs have
    the same steps, and each batch that is trained on after a save is the one that would have been.

    Weights, optimizer, metrics, the place in the stream, the history and what callbacks have
    counted are saved together in `folder`, every so many batches (`every`) and `minutes`, and at
    the end. `options` are those of `model.fit`, such as `validation_data`. Returns the history of
    all epochs, also of those before a kill. A training that was finished is not repeated: its
    weights are brought back.

    Raises OptionError for what `fit` cannot go on with (another set, batch size or order than
    those of the save, another model, several workers), OutputError where another process trains
    into the folder, DatasetError where the save is damaged, StorageError where one cannot be
    written.
    """
    from reader.resume.keras_training import KerasTraining

    wrong = sorted(_OURS & options.keys())
    if wrong:
        raise OptionError(f"resume.fit says {', '.join(wrong)} itself: leave it out")
    if not callable(data):
        raise OptionError(
            "data must be a function that makes the stream, such as "
            f"functools.partial(shards.to_tf_dataset, 128), not {type(data).__name__}"
        )
    if not isinstance(epochs, int) or epochs < 1:
        raise OptionError(f"epochs must be a whole number, at least 1, not {epochs!r}")
    if every is None and minutes is None:
        raise OptionError("give every= or minutes=, or nothing is saved before the end")
    for name, value in (("every", every), ("minutes", minutes)):
        if value is not None and value <= 0:
            raise OptionError(f"{name} must be above 0, or None, not {value}")
    saves = Saves(folder)
    with saves:
        stream = data(epochs=None, start_step=0)
        training = KerasTraining(
            model, maker_of(stream), saves, epochs, every, minutes, callbacks or [], verbose
        )
        return training.run(data, options)
