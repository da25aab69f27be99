"""Words that follow a number."""

from __future__ import annotations

_OWN = {"index": "indexes", "is": "are", "was": "were", "has": "have", "it": "them"}


def counted(number: int, noun: str, verb: str = "") -> str:
    """Return a number with a noun and, if given, a verb in their forms: `1 shard was`."""
    words = [word for word in (noun, verb) if word]
    return " ".join([f"{number:,}", *(agreeing(number, word) for word in words)])


def agreeing(number: int, word: str) -> str:
    """Return the form of a noun, or of is, was, has and it, that goes with a number.

    Of several words the last one is the noun: `other size` becomes `other sizes`.
    """
    if number == 1:
        return word
    if word in _OWN:
        return _OWN[word]
    first, space, noun = word.rpartition(" ")
    if noun in _OWN:
        return first + space + _OWN[noun]
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{word}s"
