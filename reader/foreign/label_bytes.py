"""Labels that a foreign record holds as bytes: texts of known classes, or numbers as in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reader.foreign.raw_pixels import dtype_of
from shardio.cached_property import cached_property
from shardio.errors import OptionError, UnsupportedRecordError
from shardio.format.label import CLASS, FLOAT, INT, MAX_LABEL, LabelKind, numbers_of

_SHOWN = 40


@dataclass(frozen=True)
class LabelBytes:
    """How the bytes of a label are read: as one of the `texts` of its classes, or as a `dtype`."""

    texts: tuple[str, ...] | None = None
    dtype: str = ""

    @classmethod
    def of(cls, name: str, said: str | Sequence[str]) -> LabelBytes:
        """Return what a user says of a label: a NumPy dtype, or the texts of its classes in order.

        Raises OptionError for what is neither.
        """
        if not isinstance(said, str):
            texts = tuple(said)
            if not texts or not all(isinstance(text, str) and text for text in texts):
                raise OptionError(f"the classes of {name!r} are texts, and not {said!r}")
            if len(set(texts)) != len(texts):
                twice = next(text for text in texts if texts.count(text) > 1)
                raise OptionError(f"{twice!r} is the text of two classes of {name!r}")
            return cls(texts)
        found = dtype_of(said)
        if found.kind not in "iu" and found != np.float32:
            raise OptionError(
                f"{name!r} is read as integers, such as 'int64', as 'float32', or by a list of the "
                f"texts of its classes, not as {said!r}"
            )
        return cls(None, found.str)

    def kind_of(self, name: str, data: memoryview) -> LabelKind:
        """Return the kind of a label by the first record; OptionError where it does not fit."""
        if self.texts is not None:
            return CLASS
        dtype = np.dtype(self.dtype)
        if not len(data) or len(data) % dtype.itemsize:
            raise OptionError(
                f"{name!r} has {len(data)} bytes, which are no values of {dtype.name}"
            )
        return LabelKind(FLOAT if dtype.kind == "f" else INT, len(data) // dtype.itemsize)

    def numbers(self, name: str, data: memoryview, kind: LabelKind) -> list[int]:
        """Return the numbers of a record; UnsupportedRecordError where it has others."""
        if self.texts is not None:
            return [self._class_of(name, bytes(data))]
        dtype = np.dtype(self.dtype)
        if len(data) != kind.length * dtype.itemsize:
            raise UnsupportedRecordError(
                f"feature {name!r} must have {kind.length * dtype.itemsize} bytes, {kind.length} x "
                f"{dtype.name}, not {len(data)}"
            )
        values = np.frombuffer(data, dtype)
        if kind.is_float:
            return list(numbers_of(values.astype(np.float32)))
        found: list[int] = values.tolist()
        if not all(0 <= value <= MAX_LABEL for value in found):
            raise UnsupportedRecordError(f"feature {name!r} must be 0 to {MAX_LABEL}, not {found}")
        return found

    def _class_of(self, name: str, data: bytes) -> int:
        number = self._numbers_of_texts.get(data)
        if number is None:
            text = repr(data[:_SHOWN].decode(errors="replace"))
            raise UnsupportedRecordError(
                f"feature {name!r} is {text}, which is none of the {len(self.texts or ())} classes "
                "that labels= lists"
            )
        return number

    @cached_property
    def _numbers_of_texts(self) -> Mapping[bytes, int]:
        return {text.encode(): number for number, text in enumerate(self.texts or ())}
