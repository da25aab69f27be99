"""Strict reading of a JSON object: every field once, with its kind; all problems at once."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from shardio.errors import ManifestError

_T = TypeVar("_T")


class Fields:
    """The fields of one JSON object, handed out by kind.

    A wrong field is noted in `problems` under its path and replaced by an empty value, so that
    reading goes on and finds the next one; `sound` tells whether that has happened here. `close`
    notes the fields that nobody asked for.
    """

    def __init__(self, value: object, where: str, problems: list[str]) -> None:
        self._where = where
        self._problems = problems
        self._left: dict[str, Any] = {}
        self.sound = True
        if isinstance(value, dict):
            self._left = dict(value)
        else:
            self._note(f"{where or 'the file'} is no JSON object")

    def _note(self, problem: str) -> None:
        # JSON can hold half of a surrogate pair, which no terminal and no file takes.
        self._problems.append(problem.encode(errors="backslashreplace").decode())
        self.sound = False

    def _take(self, name: str, kind: str, fits: Callable[[Any], bool], empty: _T) -> _T:
        path = f"{self._where}.{name}" if self._where else name
        if name not in self._left:
            self._note(f"{path} is missing")
            return empty
        value: _T = self._left.pop(name)
        if not fits(value):
            self._note(f"{path} must be {kind}, not {show(value, 60)}")
            return empty
        return value

    def text(self, name: str, choices: tuple[str, ...] = ()) -> str:
        """Take a string, one of `choices` where they are given."""
        kind = f"one of {', '.join(choices)}" if choices else "a string"
        return self._take(name, kind, lambda v: _is_text(v) and (not choices or v in choices), "")

    def optional_text(self, name: str) -> str | None:
        """Take a string or null."""
        return self._take(name, "a string or null", lambda v: v is None or _is_text(v), None)

    def digest(self, name: str) -> str:
        """Take a SHA-256 in lower-case hexadecimal."""
        return self._take(
            name,
            "a SHA-256 in hexadecimal",
            lambda v: isinstance(v, str) and len(v) == 64 and set(v) <= set("0123456789abcdef"),
            "0" * 64,
        )

    def integer(self, name: str, low: int = 0, high: int = 2**63 - 1) -> int:
        """Take an integer of `low` to `high`."""
        return self._take(
            name, f"an integer of {low} to {high}", lambda v: _is_int(v) and low <= v <= high, low
        )

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        """Take an integer of `low` to `high`; None where the field is not there."""
        return self.integer(name, low, high) if name in self._left else None

    def seconds(self, name: str) -> float:
        """Take a finite number that is not negative."""
        kind = "a number of seconds"
        return self._take(name, kind, lambda v: _is_number(v) and v >= 0, 0.0)

    def null(self, name: str) -> None:
        """Take null."""
        self._take(name, "null", lambda v: v is None, None)

    def has(self, name: str) -> bool:
        """Whether a field is there that was not taken yet."""
        return name in self._left

    def optional_crc(self, name: str) -> int | None:
        """Take an unsigned 32-bit integer or null."""
        return self._take(
            name,
            "an integer below 2^32 or null",
            lambda v: v is None or (_is_int(v) and 0 <= v < 2**32),
            None,
        )

    def boolean(self, name: str) -> bool:
        """Take true or false."""
        return self._take(name, "true or false", lambda v: isinstance(v, bool), False)

    def integers(self, name: str, count: int, *, null: bool = False) -> tuple[int, ...] | None:
        """Take a list of `count` integers; None for null, where that is allowed."""
        value = self._take(
            name,
            f"a list of {count} integers" + (" or null" if null else ""),
            lambda v: (
                (null and v is None)
                or (isinstance(v, list) and len(v) == count and all(_is_int(i) for i in v))
            ),
            [0] * count,
        )
        return None if value is None else tuple(value)

    def optional_numbers(
        self, name: str, count: int, *, whole: bool = False
    ) -> tuple[float, ...] | None:
        """Take a list of `count` finite numbers; None where the field is not there."""
        if name not in self._left:
            return None
        fits = _is_int if whole else _is_number
        value = self._take(
            name,
            f"a list of {count} {'integers' if whole else 'numbers'}",
            lambda v: isinstance(v, list) and len(v) == count and all(map(fits, v)),
            [0] * count,
        )
        return tuple(value)

    def optional_texts(self, name: str) -> tuple[str, ...] | None:
        """Take a list of strings or null."""
        value = self._take(
            name,
            "a list of strings or null",
            lambda v: v is None or (isinstance(v, list) and all(_is_text(i) for i in v)),
            None,
        )
        return None if value is None else tuple(value)

    def texts_by_name(self, name: str) -> dict[str, str]:
        """Take an object of strings, whose names are not empty."""
        value: dict[str, str] = self._take(
            name,
            "an object of strings",
            lambda v: isinstance(v, dict) and all(map(_is_text, [*v, *v.values()])) and "" not in v,
            {},
        )
        return value

    def child(self, name: str) -> Fields:
        """Take an object."""
        value = self._take(name, "an object", lambda v: isinstance(v, dict), None)
        path = f"{self._where}.{name}" if self._where else name
        return Fields({} if value is None else value, path, [] if value is None else self._problems)

    def children(self, name: str) -> list[Fields]:
        """Take a list of objects."""
        values: list[Any] = self._take(name, "a list", lambda v: isinstance(v, list), [])
        path = f"{self._where}.{name}" if self._where else name
        return [Fields(v, f"{path}[{i}]", self._problems) for i, v in enumerate(values)]

    def close(self) -> None:
        """Note every field that was not taken."""
        for name in self._left:
            path = f"{self._where}.{name}" if self._where else name
            self._note(f"{path} is not a field of this version")


def load(text: bytes, name: str) -> tuple[Fields, list[str]]:
    """Parse JSON; `name` stands in the error. Returns the top object and the list of problems."""
    problems: list[str] = []
    return Fields(parse(text, name), "", problems), problems


def parse(text: bytes, name: str) -> Any:
    """Parse JSON in UTF-8 in which no object has a field twice; `name` stands in the error."""
    try:
        return json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{name} is not valid JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = [name for name, count in counts.items() if count > 1]
        raise ValueError(f"an object has {', '.join(map(ascii, twice))} more than once")
    return fields


def show(value: object, most: int) -> str:
    """Return a value as JSON for an error, cut to `most` characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "something nested too deeply"
    return text if len(text) <= most else text[: most - 3] + "..."


def dump(value: object) -> bytes:
    """Write JSON in the one form that the format uses: same value, same bytes."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def refuse(problems: list[str], name: str) -> None:
    """Raise one ManifestError that lists all `problems`, if there are any."""
    if problems:
        raise ManifestError(f"{name} is not valid:\n  " + "\n  ".join(problems))


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_text(value: object) -> bool:
    """Whether a value is a string that UTF-8 can hold."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
