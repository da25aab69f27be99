"""What Arrow says of a file that it refuses, for people."""

from __future__ import annotations

import re


def explain(error: Exception | str, is_text: bool = True) -> str:
    """Say what is wrong with a file that Arrow refuses; one that is text has an encoding."""
    text = str(error).strip() or type(error).__name__
    if re.search("invalid utf-?8", text, re.IGNORECASE):
        advice = "--encoding names another one, such as gb18030"
        if not is_text:
            advice = "its texts were written as bytes of another encoding; write them as texts"
        return f"it is not UTF-8 ({text}); {advice}"
    if re.search(r"\) changed from \w+ to \w+", text):
        return f"{text}; write its values in one way in all rows"
    return text


def row_of_csv(text: str) -> tuple[int | None, str]:
    """Return the row that an error of Arrow's CSV reader names, from 0 in its block, and the rest.

    Arrow counts from 1.
    """
    text = re.sub(r"^(In CSV column #\d+: |CSV parse error: )+", "", text)
    match = re.search(r"\bRow #(\d+): ?", text)
    if match is None:
        return None, text
    return int(match[1]) - 1, text[: match.start()] + text[match.end() :]


def counted_from(rows: int, text: str) -> str:
    """Correct the row in an error of Arrow's JSON reader, which counts from the block's start."""
    if not re.search(r"\brow \d+", text):
        return f"{text} (in row {rows} or below it)"
    return re.sub(r"\brow (\d+)", lambda match: f"row {rows + int(match[1])}", text)
