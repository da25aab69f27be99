"""Labels that are texts: a vocabulary, shared by all heads, gives each text its class."""

from __future__ import annotations

from converter.table.cells.columns import plain
from shardio.errors import OptionError
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST
from shardio.storage import storage_for
from shardio.storage.paths import join


def vocabulary_of(folder: str) -> tuple[str, ...]:
    """Return the vocabulary of a finished dataset; OptionError where it has none."""
    name = join(folder, MANIFEST)
    with storage_for(name).open_stream(name) as stream:
        data = bytearray()
        while block := stream.read(1 << 20):
            data += block
    found = {
        label.vocabulary
        for label in Manifest.from_json(bytes(data), name).labels
        if label.vocabulary
    }
    if len(found) != 1:
        raise OptionError(f"{folder} has {'no' if not found else 'several'} vocabularies of labels")
    return found.pop()


def read_vocabulary(path: str) -> tuple[str, ...]:
    """Read a UTF-8 file with a text on each line; its number, from 0, is the class.

    Texts become plain, as those of labels do; a line of white space is that character. Raises
    OptionError, which names the line, for a text that is empty or stands there twice.
    """
    import pyarrow as pa

    with storage_for(path).open_stream(path) as stream:
        data = bytearray()
        while block := stream.read(1 << 20):
            data += block
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise OptionError(f"{path} is not UTF-8: {error}") from error
    if lines and not lines[-1]:
        lines.pop()  # the end of the last line
    lines = [line.removesuffix("\r") for line in lines]
    texts = plain(pa.array(lines, pa.large_string())).to_pylist()
    lines = [text or line for text, line in zip(texts, lines, strict=True)]
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line:
            raise OptionError(f"{path}: line {number} is empty")
        if line in seen:
            raise OptionError(f"{path}: line {number} has {line!r} again, as line {seen[line]}")
        seen[line] = number
    if not lines:
        raise OptionError(f"{path} is empty")
    return tuple(lines)
