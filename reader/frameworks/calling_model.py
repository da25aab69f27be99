"""A Keras model that is going to be trained, found among the callers. Nothing is imported here."""

from __future__ import annotations

import warnings

from reader.batching.batch_maker import BatchMaker
from reader.frameworks.calling_loader import callers
from reader.frameworks.model_outputs import GivenLabels

_KERAS = "keras.src."
_TRAINS = ("fit", "evaluate")


def is_padded(maker: BatchMaker) -> bool:
    """Whether a batch of each epoch is filled up with what are no records."""
    return maker.options.pad and maker.positions % maker.options.step_size > 0


def check_calling_model(given: GivenLabels, *, padded: bool) -> None:
    """Hold batches against the model that takes them: their labels, and whether some is filled up.

    Raises OptionError as `GivenLabels.check` does. Warns where metrics would count what is filled
    up.
    """
    for frame in callers():
        name = frame.f_globals.get("__name__")
        if frame.f_code.co_name in _TRAINS and isinstance(name, str) and name.startswith(_KERAS):
            model = frame.f_locals.get("self")
            given.check(model)
            # Of a model's own compile; what another version of Keras calls them is not seen.
            compiled = getattr(model, "_compile_metrics", None)
            if padded and getattr(compiled, "_user_metrics", None):
                warnings.warn(
                    "pad=True fills up the last batch, and the metrics= of compile count what is "
                    "filled up as if it were records: give compile weighted_metrics= in their "
                    "place, or on one worker drop_remainder=False in place of pad=True",
                    stacklevel=2,
                )
