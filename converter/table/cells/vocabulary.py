"""Labels that are texts: a vocabulary, shared by all heads, gives each text its class."""

from __future__ import annotations

from converter.table.cells.columns import plain_text
from shardio.errors import OptionError
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST
from shardio.format.vocabulary import parse_vocabulary
from shardio.storage import storage_for
from shardio.storage.paths import join


def vocabulary_of(folder: str) -> tuple[str, ...]:
    """Return the vocabulary of a finished dataset; OptionError where it has none."""
    name = join(folder, MANIFEST)
    with storage_for(name).open_stream(name) as stream:
        labels = Manifest.from_json(stream.read(), name).labels
    found = {label.vocabulary for label in labels if label.vocabulary}
    if len(found) != 1:
        raise OptionError(f"{folder} has {'no' if not found else 'several'} vocabularies of labels")
    return found.pop()


def read_vocabulary(path: str) -> tuple[str, ...]:
    """Read a UTF-8 file with a text on each line; its number, from 0, is the class.

    Texts become plain, as those of labels do; a line of white space is that character. Raises
    OptionError, which names the line, for a text that is empty or stands there twice.
    """
    with storage_for(path).open_stream(path) as stream:
        return parse_vocabulary(stream.read(), path, plain_text)
