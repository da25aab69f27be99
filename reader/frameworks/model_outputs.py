"""Whether the outputs of a Keras model have a unit for each class. Nothing is imported here.

TensorFlow and PyTorch stop at a label that has no unit, but on a GPU TensorFlow may not, and JAX
computes a wrong loss without an error. What is not surely wrong is let through: other losses than
the two crossentropies of classes, models that are not built, and steps of a user's own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from reader.batching.batch_maker import BatchMaker
from reader.batching.label_arrays import chosen_labels
from shardio.errors import OptionError
from shardio.format.label import Label
from shardio.grammar import counted

_KERAS = "keras.src."
_STEPS = ("call", "compute_loss", "train_step", "test_step")
_SPARSE, _ONE_HOT = "sparse_categorical_crossentropy", "categorical_crossentropy"
_LOSSES = {
    _SPARSE: _SPARSE,
    _ONE_HOT: _ONE_HOT,
    "SparseCategoricalCrossentropy": _SPARSE,
    "CategoricalCrossentropy": _ONE_HOT,
}


def check_units(model: Any, data: Any, maker: BatchMaker) -> None:
    """Raise OptionError for a model with another number of outputs, or with too few units.

    A transform, or `data` that are not the batches of `maker` themselves, may give other labels
    than the set has, so that nothing is said of them.
    """
    if not is_made_by(data, maker):
        return
    outputs = _outputs_of(model)
    options = maker.options
    if options.transform is not None or not outputs:
        return
    losses = _losses_of(model, list(outputs))
    heads = {label.name: label for label in chosen_labels(maker.shards.labels, options.labels)}
    if None in losses or not heads:
        return
    if len(outputs) != len(heads):
        if options.as_dict:
            return
        raise OptionError(
            f"the batches have {counted(len(heads), 'label')} ({', '.join(heads)}), and the model "
            f"{counted(len(outputs), 'output')}: give it one for each, or give the batches "
            "labels=[...] with those that it has"
        )
    by_name = options.as_dict and len(heads) > 1
    for (name, shape), (position, head), loss in zip(
        outputs.items(), enumerate(heads), losses, strict=True
    ):
        label = heads.get(name) if by_name else heads[head]
        if label is None or not label.kind.is_class or not label.classes or len(shape) != 2:
            continue
        units = shape[-1]
        if units is not None and _is_wrong(maker, label, loss, units):
            where = f"output {name!r}" if by_name else f"output {position + 1}"
            raise OptionError(
                f"label {label.name!r} has {counted(label.classes, 'class')}, and {where} of the "
                f"model, which learns it, {counted(units, 'unit')}: give it {label.classes}"
            )


def is_made_by(data: Any, maker: BatchMaker) -> bool:
    """Whether `data` are the batches of `maker` themselves."""
    return getattr(data, "__dict__", {}).get("_shardio_maker") is maker


def _is_wrong(maker: BatchMaker, label: Label, loss: str | None, units: int) -> bool:
    if maker.options.one_hot:
        return loss == _ONE_HOT and units != label.classes
    if loss != _SPARSE or units >= label.classes:
        return False
    labels_of = getattr(maker.shards, "labels_of", None)
    if labels_of is None or maker.shards.mix is not None:
        return True
    # A part of a set may have none of the last classes.
    return bool(labels_of(label.name).max(initial=-1) >= units)


def order_of(outputs: dict[str, Any]) -> list[str]:
    """Return the names of outputs that are a dict, in the order that Keras gives them."""
    return list(outputs) if isinstance(outputs, OrderedDict) else sorted(outputs)


def _outputs_of(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Return the shapes of the outputs in Keras's order, by name; none where it is not sure."""
    for step in _STEPS:
        if not str(getattr(getattr(model, step, None), "__module__", "")).startswith(_KERAS):
            return {}
    outputs = getattr(model, "_outputs_struct", None)
    if outputs is None:
        outputs = getattr(model, "outputs", None)  # of a Sequential that is built
    if isinstance(outputs, dict):
        named = {name: outputs[name] for name in order_of(outputs)}
    elif isinstance(outputs, list | tuple):
        names = getattr(model, "output_names", None) or ["output"]
        named = dict(zip(names, outputs, strict=False))
        if len(named) != len(outputs):
            return {}
    else:
        named = {"output": outputs}
    shapes = {name: getattr(output, "shape", None) for name, output in named.items()}
    if not all(isinstance(shape, tuple) for shape in shapes.values()):
        return {}
    return {name: tuple(shape) for name, shape in shapes.items() if shape is not None}


def _losses_of(model: Any, names: list[str]) -> list[str | None]:
    """Return which loss each output has, None for one that is neither of the two."""
    given = getattr(getattr(model, "_compile_loss", None), "_user_loss", None)
    if isinstance(given, dict):
        given = [given.get(name) for name in names]
    elif not isinstance(given, list | tuple):
        given = [given] * len(names)  # one loss is that of each output
    if len(given) != len(names):
        return [None]
    return [_loss_of(loss) for loss in given]


def _loss_of(loss: Any) -> str | None:
    if isinstance(loss, str):
        return _LOSSES.get(loss)
    kind = loss if hasattr(loss, "__name__") else type(loss)
    options = getattr(loss, "_fn_kwargs", {})
    if not kind.__module__.startswith(_KERAS) or options.get("axis", -1) != -1:
        return None
    # Labels of the class that a loss ignores need no unit.
    return None if options.get("ignore_class") is not None else _LOSSES.get(kind.__name__)
