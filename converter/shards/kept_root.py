"""Where the images of an unfinished conversion are: recorded once, and compared after that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from converter.shards.other_plan import begun_elsewhere
from shardio.errors import OutputError
from shardio.format.done import DoneRecord
from shardio.format.inputs import ConversionInputs
from shardio.format.naming import INPUTS
from shardio.storage import storage_for
from shardio.storage.paths import is_local, join


class Write(Protocol):
    """Publishes a small file of the folder; OutputError where it must not be there, and is."""

    def __call__(self, name: str, data: bytes, /, *, overwrite: bool) -> None: ...  # noqa: D102


def keep_root(
    folder: str,
    inputs: ConversionInputs,
    text: bytes | None,
    finished: Collection[DoneRecord],
    write: Write,
    *,
    moved: bool,
) -> None:
    """Record where the images are, or make sure that finished records come from there too.

    `text` is what stands there. With `moved` they are the same images. Raises OutputError for those
    of another root. Where no lock keeps a second run out, the first root that is recorded stays.
    """
    name = join(folder, INPUTS)
    there = None if text is None else ConversionInputs.from_json(text, name)
    if there == inputs:
        return
    # Of rejects there is nothing that could be mixed, but a run may be under way.
    locked = is_local(folder)
    if not moved and (any(done.records for done in finished) or not (locked or there is None)):
        raise begun_elsewhere(folder, inputs, there)
    try:
        write(INPUTS, inputs.to_json(), overwrite=moved or locked)
    except OutputError:  # another run was first, a moment ago
        with storage_for(name).open_stream(name) as stream:
            first = ConversionInputs.from_json(stream.read(), name)
        if first != inputs:
            raise begun_elsewhere(folder, inputs, first) from None
