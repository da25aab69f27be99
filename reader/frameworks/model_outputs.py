"""The outputs of a Keras model, held against the labels that it is given. Nothing is imported."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reader.batching.batch_maker import BatchMaker
from shardio.errors import OptionError

_SPARSE = ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy")


@dataclass(frozen=True)
class GivenLabels:
    """The heads that batches have, with the number of classes of each, 0 where that is not known.

    They are `named` where labels come in a dict; `some` records alone may not have all classes.
    """

    heads: tuple[str, ...]
    classes: tuple[int, ...]
    named: bool
    some: bool

    @classmethod
    def of(cls, maker: BatchMaker) -> GivenLabels:
        """Return what the batches of `maker` have."""
        heads = maker.spec.heads
        known = {label.name: label.classes for label in maker.shards.labels}
        # What a transform gives has other classes, and maybe other heads.
        told = maker.options.transform is None and not maker.options.one_hot
        classes = tuple(known.get(head, 0) if told else 0 for head in heads)
        return cls(heads, classes, maker.options.as_dict, maker.shards.choice is not None)

    def check(self, model: Any) -> None:
        """Raise OptionError for a model that would be trained on other labels, or on none.

        So would one with a dict of outputs in another order than labels in a tuple, and an output
        of fewer units than its head has classes: there JAX, and TensorFlow on a GPU, compute a loss
        that is wrong, and no error. Of some records alone that is a warning.
        """
        # Of models that are not subclassed; a Sequential has one of them inside.
        functional = getattr(model, "_functional", None) or model
        outputs = getattr(functional, "_outputs_struct", None)
        if not self.named:
            self._refuse_outputs_by_name(outputs)
        names = list(getattr(model, "output_names", ()))
        losses = getattr(getattr(model, "_compile_loss", None), "_user_loss", None)
        for place, (head, classes) in enumerate(zip(self.heads, self.classes, strict=True)):
            key = head if isinstance(outputs, Mapping) or self.named else place
            units = _units(_of(outputs, key, names, len(self.heads)))
            if units < classes and _is_sparse(_of(losses, key, names, 1)):
                self._tell_few_units(head, units, classes)

    def _refuse_outputs_by_name(self, outputs: Any) -> None:
        if not isinstance(outputs, dict) or len(self.heads) < 2:
            return
        order = list(outputs) if isinstance(outputs, OrderedDict) else sorted(outputs)
        if order != list(self.heads):
            raise OptionError(
                "the outputs of the model are a dict, which Keras sorts by name "
                f"({', '.join(order)}), and the labels a tuple ({', '.join(self.heads)}): they "
                "would reach the wrong outputs; give to_tf_dataset or to_keras as_dict=True"
            )

    def _tell_few_units(self, head: str, units: int, classes: int) -> None:
        what = (
            f"the model's output for {head} has {units} units, and {head} has {classes:,} classes: "
            f"labels from {units} on would be trained as nothing; give the output {classes:,} units"
        )
        if not self.some:
            raise OptionError(what)
        warnings.warn(f"{what}, unless this part of the set has none of them", stacklevel=2)


def _of(parts: Any, key: str | int, names: Sequence[str], heads: int) -> Any:
    """Return what belongs to a head, of one part for all `heads`, a list, or a dict; or None."""
    if isinstance(parts, Mapping):
        name = names[key] if isinstance(key, int) and key < len(names) else key
        return parts.get(name)
    if isinstance(parts, list | tuple):
        place = names.index(key) if isinstance(key, str) and key in names else key
        return parts[place] if isinstance(place, int) and place < len(parts) else None
    return parts if heads == 1 else None


def _units(output: Any) -> int:
    """Return the units of an output; where they are not known, more than any head has classes."""
    shape = getattr(output, "shape", None)
    last = shape[-1] if shape else None
    return last if isinstance(last, int) else 1 << 62


def _is_sparse(loss: Any) -> bool:
    """Whether a loss takes integers as classes, none of which it ignores, from the last axis."""
    if getattr(loss, "ignore_class", None) is not None or getattr(loss, "axis", -1) != -1:
        return False
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return name in _SPARSE
