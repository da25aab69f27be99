"""What `fit`, `evaluate` and `predict` of Keras would leave out, repeat or mix up.

Nothing is imported here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reader.batching.batch_maker import BatchMaker
from shardio.grammar import counted

# Frames between a caller of Keras and the warning are Keras's own.
_LEVEL = 2


def warn_of_evaluation(given: Mapping[str, Any], maker: BatchMaker) -> None:
    """Warn where an evaluation leaves out records; `given` are the arguments of the call."""
    options = maker.options
    is_asked = given.get("steps") or given.get("validation_steps") or options.epochs is None
    is_whole = options.pad or not options.drop_remainder
    if is_asked or is_whole or options.draws is not None or maker.shards.mix is not None:
        return
    rest = maker.positions % options.step_size
    if rest:
        others = ", others in each epoch" if options.shuffle != "none" else ""
        alone = options.share[1] == 1
        way = "drop_remainder=False" if alone else "pad=True, with weighted_metrics= of compile"
        warnings.warn(
            f"the evaluation leaves out {rest:,} of {counted(maker.positions, 'record')}{others}: "
            f'give it shuffle="none", {way}',
            stacklevel=_LEVEL,
        )


def warn_of_predictions(given: Mapping[str, Any], maker: BatchMaker) -> None:
    """Warn where predictions are not one for each record, in the order of records."""
    options = maker.options
    rest = maker.positions % options.step_size
    if given.get("steps") or options.epochs is None:
        rest = 0
    if options.shuffle != "none" or (rest and (options.pad or options.drop_remainder)):
        warnings.warn(
            "predictions are in the order of batches, and these are not one of each record in the "
            'order of records: make them with shuffle="none", drop_remainder=False',
            stacklevel=_LEVEL,
        )


def warn_of_epochs(given: Mapping[str, Any], maker: BatchMaker) -> None:
    """Warn where epochs of `fit` end early, or begin with the orders of the first ones again."""
    options = maker.options
    steps, epochs = given.get("steps_per_epoch"), given.get("epochs")
    first = _first_epoch(given)
    total = None if options.epochs is None else maker.steps * options.epochs
    if steps and total and isinstance(epochs, int) and total % steps:
        if steps * (epochs - first) > total:
            warnings.warn(
                f"a pass has {counted(total, 'batch')}, so that of the epochs of "
                f"{counted(steps, 'step')} the last one in it has {total % steps}: give the "
                "batches epochs=None, and they never end",
                stacklevel=_LEVEL,
            )
        return
    is_first = options.start_epoch == maker.start_step == maker.counts.batches == 0
    if not (first and is_first) or (options.shuffle == "none" and options.transform is None):
        return
    if total is None:
        way = f"start_step={first * steps}" if steps else ""
    else:
        way = f"start_epoch={first}" if steps in (None, maker.steps) else ""
    if way:
        warnings.warn(
            f"fit goes on with epoch {first}, and these batches begin with the order of epoch 0 "
            f"again: make them with {way}",
            stacklevel=_LEVEL,
        )


def _first_epoch(given: Mapping[str, Any]) -> int:
    """Return where `fit` begins: `initial_epoch`, or what a BackupAndRestore has saved."""
    first = given.get("initial_epoch") or 0
    callbacks: Any = given.get("callbacks")
    for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
        if type(callback).__name__ == "BackupAndRestore":
            with suppress(AttributeError, OSError, TypeError, ValueError, KeyError):
                first = int(json.loads(Path(callback._training_metadata_path).read_text())["epoch"])
    return first if isinstance(first, int) else 0
