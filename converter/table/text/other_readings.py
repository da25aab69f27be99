"""Texts that are GB18030 and may be something else: other East Asian encodings, and Cyrillic.

Most pairs of bytes above 127 are characters in all of these. What tells them apart is which ones.
A text in its own encoding has nearly only characters that are usual there: the kanji and hanzi of
the first level, kana, syllables of Hangul. Read as anything else, many are rare ones. So a few
characters may be usual in two encodings, by chance, and the dozens of a table are not.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

# What is called how, and Python's codec, which is the larger one that Windows writes.
OTHERS = {
    "Shift_JIS": "cp932",
    "EUC-JP": "euc_jp",
    "EUC-KR": "cp949",
    "Big5": "cp950",
    "Windows-1251": "cp1251",
}
# Of so many characters one may be a rare one.
_RARE = 20
# The first kanji of the second level, which is the rarer one; in Big5 that begins with C9.
_SECOND_LEVEL = {"cp932": b"\x98\x9f", "euc_jp": b"\xd0\xa1", "cp950": b"\xc9\x40"}
# What no table has: characters for private use, and the half-width marks of punctuation that full
# stops and commas of GB18030 would be.
_NEVER = re.compile("[\ue000-\uf8ff\uff61-\uff65]")
# Letters of all of these encodings: full-width Latin, Greek and Cyrillic.
_EVERYWHERE = re.compile("[\u0370-\u052f\uff00-\uff60]")


def may_be(start: bytes, codec: str) -> bool:
    """Tell whether the start of a text, which is GB18030, is as probably in another encoding."""
    try:
        text, gb18030 = (
            codecs.getincrementaldecoder(name)().decode(start) for name in (codec, "gb18030")
        )
    except UnicodeDecodeError:
        return False
    if text == gb18030 or _NEVER.search(text):
        return False
    characters = {one for one in text if _tells(one, codec)}
    rare = sum(not _is_usual(one, codec) for one in characters)
    return rare * _RARE <= len(characters)


def _tells(character: str, codec: str) -> bool:
    """Whether a character says something of the encoding."""
    if character.isascii():
        return False
    if codec == "cp1251":
        return True
    is_letter = unicodedata.category(character).startswith("L")
    return is_letter and not _EVERYWHERE.match(character)


def _is_usual(character: str, codec: str) -> bool:
    if codec == "cp949":
        return "\uac00" <= character <= "\ud7a3"
    if codec == "cp1251":
        return "\u0410" <= character <= "\u044f" or character in "\u0401\u0451"
    if character < "\u4e00" or "\uff66" <= character <= "\uff9f":  # kana; of Big5, bopomofo
        return codec != "cp950"
    return character.encode(codec) < _SECOND_LEVEL[codec]
