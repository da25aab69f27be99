"""A Keras model that is going to be trained, found among the callers. Nothing is imported here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from reader.frameworks.calling_loader import callers
from shardio.errors import OptionError

_KERAS = "keras.src."
_TRAINS = ("fit", "evaluate")


def refuse_labels_by_place(heads: Sequence[str]) -> None:
    """Raise OptionError where a model with a dict of outputs would get labels of other heads.

    Keras gives labels in a tuple to outputs by their places, and sorts those of a dict by name.
    """
    for frame in callers():
        name = frame.f_globals.get("__name__")
        if frame.f_code.co_name in _TRAINS and isinstance(name, str) and name.startswith(_KERAS):
            refuse_outputs_by_name(frame.f_locals.get("self"), heads)


def refuse_outputs_by_name(model: Any, heads: Sequence[str]) -> None:
    """Raise OptionError for a model whose outputs are a dict, in another order than `heads`."""
    outputs = getattr(model, "_outputs_struct", None)  # of models that are not subclassed
    if not isinstance(outputs, dict) or len(heads) < 2:
        return
    order = list(outputs) if isinstance(outputs, OrderedDict) else sorted(outputs)
    if order != list(heads):
        raise OptionError(
            f"the outputs of the model are a dict, which Keras sorts by name ({', '.join(order)}), "
            f"and the labels a tuple ({', '.join(heads)}): they would reach the wrong outputs; "
            "give to_tf_dataset or to_keras as_dict=True"
        )
