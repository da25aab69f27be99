"""Batches as a `keras.utils.PyDataset`. The only file that imports keras."""

from __future__ import annotations

from typing import Any

from reader.batches import BatchMaker
from shardio.errors import MissingExtraError

try:
    import keras
except ImportError as error:
    raise MissingExtraError("to_keras needs Keras: pip install 'shardio[tensorflow]'") from error


class KerasBatches(keras.utils.PyDataset):  # type: ignore[misc]  # keras ships no types
    """A PyDataset; an item depends on its index and on the epochs that have ended, on nothing else.

    So `fit` may look at an item before the first epoch, as it does, without that item being lost.
    """

    def __init__(self, maker: BatchMaker) -> None:
        super().__init__()
        self._maker = maker
        self._passes = 0

    @property
    def num_batches(self) -> int | None:
        """The number of batches of a pass, None without an end."""
        epochs = self._maker.options.epochs
        return None if epochs is None else self._maker.steps * epochs

    def __len__(self) -> int:
        return self._maker.steps * (self._maker.options.epochs or 1)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        options = self._maker.options
        if options.epochs is not None and not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        epoch, step = divmod(index, self._maker.steps)
        first = options.start_epoch + self._passes * (options.epochs or 0)
        x, labels, *rows = self._maker.make(first + epoch, step)
        return (x, tuple(labels), *rows)

    def on_epoch_end(self) -> None:
        """Go on to the next order."""
        self._passes += 1
