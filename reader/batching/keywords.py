"""The keyword arguments of `batches`, `to_tf_dataset`, `to_keras` and `to_torch`.

They are the fields of `BatchOptions`. Type checkers and editors read a TypedDict; `help`,
`inspect.signature` and notebooks read a signature, which is made from the fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypedDict, TypeVar, get_type_hints

from reader.batching.options import BatchOptions, Dtype, OnError, Shuffle, TransformFunction
from reader.sets.draws import RecordWeights

_Method = TypeVar("_Method", bound=Callable[..., Any])


class BatchKeywords(TypedDict, total=False):
    """All fields of `BatchOptions` but `batch_size`, which may be given by position."""

    shuffle: Shuffle
    seed: int
    epochs: int | None
    start_epoch: int
    dtype: Dtype
    labels: Sequence[str] | None
    transform: TransformFunction | None
    transform_threads: int
    one_hot: bool
    drop_remainder: bool
    pad: bool
    rows: bool
    as_dict: bool
    verify: bool
    on_error: OnError
    max_skipped: float
    worker: tuple[int, int] | None
    memory: int | str | None
    block: int | None
    window: int | None
    lanes: int | None
    weights: RecordWeights | None


def shows_options(method: _Method) -> _Method:
    """Give a method that takes `**options` a signature with all of them and their defaults."""
    plain = inspect.signature(method)
    own = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
    types = get_type_hints(BatchOptions)
    named = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=types[field.name],
        )
        for field in fields(BatchOptions)
        if field.name not in plain.parameters
    ]
    vars(method)["__signature__"] = plain.replace(parameters=own + named)
    return method
