"""Labels that the adaptors of frameworks do not take yet."""

from __future__ import annotations

from collections.abc import Sequence

from shardio.errors import OptionError
from shardio.format.label import Label


def refuse_other_kinds(labels: Sequence[Label], face: str) -> None:
    """Raise OptionError where a label is not one integer, which is all that `face` takes."""
    for label in labels:
        if not label.kind.is_class:
            raise OptionError(
                f"{face} takes labels of one integer, and {label.name} is {label}; batches() "
                "gives labels of every kind"
            )
