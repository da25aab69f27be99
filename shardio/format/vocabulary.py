"""The texts of classes in a file: a text on each line; its number, from 0, is the class."""

from __future__ import annotations

from collections.abc import Callable

from shardio.errors import OptionError


def parse_vocabulary(data: bytes, name: str, plain: Callable[[str], str] = str) -> tuple[str, ...]:
    """Read the texts of a UTF-8 file, as `plain` makes them where that leaves something.

    Raises OptionError, which names the file and the line, for a text that is empty or stands there
    twice.
    """
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise OptionError(f"{name} is not UTF-8: {error}") from error
    if lines and not lines[-1]:
        lines.pop()  # the end of the last line
    lines = [line.removesuffix("\r") for line in lines]
    lines = [plain(line) or line for line in lines]
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            raise OptionError(f"{name}: line {number} is empty")
        if line in seen:
            raise OptionError(f"{name}: line {number} has {line!r} again, as line {seen[line]}")
        seen[line] = number
    if not lines:
        raise OptionError(f"{name} is empty")
    return tuple(lines)
