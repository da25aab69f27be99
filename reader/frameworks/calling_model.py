"""A Keras model that is going to be trained, found among the callers. Nothing is imported here."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from reader.batching.batch_maker import BatchMaker
from reader.frameworks.calling_loader import callers
from reader.frameworks.keras_call import (
    warn_of_epochs,
    warn_of_evaluation,
    warn_of_predictions,
)
from reader.frameworks.model_outputs import check_units, is_made_by, order_of
from shardio.errors import OptionError

_KERAS = "keras.src."
_TRAINS = ("fit", "evaluate")
_DATA = ("x", "val_x")


def check_calling_model(maker: BatchMaker) -> None:
    """Hold batches against the model that takes them, and against how it is told to.

    Raises OptionError where a model with a dict of outputs would get labels of other heads, unless
    they are named: Keras gives labels in a tuple to outputs by their places, and sorts those of a
    dict by name; and for outputs that lack units. Warns where its metrics would count what is
    filled up, and where records are left out, or epochs or predictions are others than they seem.
    """
    for frame in callers():
        name = frame.f_globals.get("__name__")
        if not (isinstance(name, str) and name.startswith(_KERAS)):
            continue
        if frame.f_code.co_name == "predict" and is_made_by(frame.f_locals.get("x"), maker):
            warn_of_predictions(frame.f_locals, maker)
        if frame.f_code.co_name in _TRAINS:
            model = frame.f_locals.get("self")
            if not maker.options.as_dict:
                refuse_outputs_by_name(model, maker.spec.heads)
            # Around the batches may be data of the user's own, with other labels.
            for data in _DATA:
                batches = frame.f_locals.get(data)
                if not is_made_by(batches, maker):
                    continue
                check_units(model, batches, maker)
                is_trained = frame.f_code.co_name == "fit" and data == "x"
                (warn_of_epochs if is_trained else warn_of_evaluation)(frame.f_locals, maker)
            # Of a model's own compile; what another version of Keras calls them is not seen.
            compiled = getattr(model, "_compile_metrics", None)
            if _is_padded(maker) and getattr(compiled, "_user_metrics", None):
                warnings.warn(
                    "pad=True fills up the last batch, and the metrics= of compile count what is "
                    "filled up as if it were records: give compile weighted_metrics= in their "
                    "place, or on one worker drop_remainder=False in place of pad=True",
                    stacklevel=2,
                )


def _is_padded(maker: BatchMaker) -> bool:
    """Whether a batch of each epoch is filled up with what are no records."""
    return maker.options.pad and maker.positions % maker.options.step_size > 0


def refuse_outputs_by_name(model: Any, heads: Sequence[str]) -> None:
    """Raise OptionError for a model whose outputs are a dict, in another order than `heads`."""
    outputs = getattr(model, "_outputs_struct", None)  # of models that are not subclassed
    if not isinstance(outputs, dict) or len(heads) < 2:
        return
    order = order_of(outputs)
    if order != list(heads):
        raise OptionError(
            f"the outputs of the model are a dict, which Keras sorts by name ({', '.join(order)}), "
            f"and the labels a tuple ({', '.join(heads)}): they would reach the wrong outputs; "
            "give to_tf_dataset or to_keras as_dict=True"
        )
