"""Transforms on their way to the processes of a DataLoader."""

from __future__ import annotations

from multiprocessing.context import get_spawning_popen
from multiprocessing.reduction import ForkingPickler
from pickle import PicklingError

from reader.batching.options import TransformFunction
from shardio.errors import OptionError


def refuse_local_function(transform: TransformFunction | None) -> None:
    """Raise OptionError where a process is being started that cannot be told the transform."""
    if transform is None or get_spawning_popen() is None:
        return
    try:
        ForkingPickler.dumps(transform)
    except (AttributeError, TypeError, PicklingError) as error:
        raise OptionError(
            f"transform={transform!r} cannot be sent to a process that is started anew ({error}): "
            "give a function of a module, in place of a lambda or a function within a function, or "
            'DataLoader(..., multiprocessing_context="fork")'
        ) from error
