"""WebDataset tars as tables: neighbouring members with one name and several endings are a sample.

The image is the member with the ending of one, and labels are the members `.cls`, `.txt`, `.json`
and such: columns that are called as the endings are. An object of JSON gives a column for each of
its names, `json.NAME`, which is found as NAME, too, where no other column is called so.
"""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from converter.table.paths.folder_listing import IMAGE_ENDINGS
from converter.table.paths.locations import SEPARATOR
from converter.table.samples.archive_stream import archive_stream, members_of_tar
from converter.table.samples.places import BYTES
from converter.table.samples.sample_table import table_of
from converter.table.samples.samples import JSON, KEY, SampleList, Samples
from converter.table.samples.table_file import TableFile
from converter.table.scratch import Scratch
from shardio.errors import TableError, UnusableFileError
from shardio.grammar import counted
from shardio.storage import storage_for

if TYPE_CHECKING:
    from converter.table.samples.archive_stream import Buffered

# As WebDataset cuts names: at the first dot of the last part.
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
_TEXTS = JSON | {
    *("txt", "text", "transcript", "caption", "label", "lbl", "gt"),
    *("cls", "cls2", "class", "count", "index", "inx", "id"),
}
_MOST_LABEL_BYTES = 1 << 20
_KEY_BYTES = 16
_SHOWN = 3
_SHOWN_BYTES = 20
_HINT = (
    ". --labels cls takes the numbers of the members .cls, --labels txt --text-labels texts "
    "(--characters txt instead: a label for each character), and --labels '' images alone"
)


def open_webdataset(
    location: str, scratch: Scratch, *, root: str, image: str | None = None
) -> TableFile:
    """Read what is in a tar; `image` is the ending of the images, where samples have several.

    Raises TableError for a tar that is damaged, or whose members are no samples.
    """
    samples = SampleList(location, scratch, (KEY,))
    unread: Counter[str] = Counter()
    keys = bytearray()
    sample: _Sample | None = None
    try:
        with archive_stream(storage_for(location).open_stream(location), location) as file:
            for member in members_of_tar(file, ended=True):
                parts = _NAME.fullmatch(member.name)
                is_about_set = member.name.startswith("__") and member.name.endswith("__")
                if member.isdir() or is_about_set:
                    continue
                if parts is None:
                    unread["without ending"] += 1
                    continue
                where = f"{location}{SEPARATOR}{member.name}"
                if not member.isfile() or member.sparse is not None:
                    raise TableError(f"{where}: a link or stored with holes; write the tar again")
                if sample is None or sample.key != parts[1]:
                    if sample is not None:
                        sample.add_to(samples)
                    sample = _Sample(parts[1], location)
                    keys += _hash(parts[1])
                ending = parts[2].lower()
                kind = ending.rpartition(".")[2]
                if ending == image or (image is None and kind in IMAGE_ENDINGS):
                    sample.add_image(member)
                elif kind in _TEXTS:
                    sample.add_label(ending, _read_text(file, member, where), where)
                else:
                    unread[f".{ending}"] += 1
    except UnusableFileError as error:
        count = len(keys) // _KEY_BYTES
        before = f"; before it {counted(count, 'sample', 'was')} found" if count else ""
        raise TableError(f"{error}{before}") from error
    if sample is not None:
        sample.add_to(samples)
    found = samples.finish(BYTES)
    _check_keys(keys, found)
    return table_of(found, "WebDataset", root, notes=_notes(unread), label_hint=_HINT)


class _Sample:
    """The members of a sample that were seen so far."""

    def __init__(self, key: str, location: str) -> None:
        self.key = key
        self._location = location
        self._image: tarfile.TarInfo | None = None
        self._labels: dict[str, str] = {KEY: key}

    def add_image(self, member: tarfile.TarInfo) -> None:
        """Take a member for the image."""
        if self._image is not None:
            first, second = (ending_in(one.name) for one in (self._image, member))
            if first == second:
                raise self._twice(first)
            raise TableError(
                f"{self._location}: the sample {self.key} has the images .{first} and .{second}; "
                f"--image-column {first} says which one is meant"
            )
        self._image = member

    def add_label(self, ending: str, text: str, where: str) -> None:
        """Take the text of a member for a label, or an object of JSON for several."""
        labels = {ending: text}
        if ending.rpartition(".")[2] in JSON:
            labels = _labels_of_json(ending, text, where)
        for name, label in labels.items():
            if name in self._labels:
                raise self._twice(ending)
            self._labels[name] = label

    def add_to(self, samples: SampleList) -> None:
        """Add the sample to the list of all."""
        image = self._image
        if image is None:
            samples.add(self.key, None, self._labels)
        else:
            samples.add(image.name, (image.offset_data, image.size), self._labels)

    def _twice(self, ending: str) -> TableError:
        return TableError(f"{self._location}: the sample {self.key} has two members .{ending}")


def ending_in(name: str) -> str:
    """Return the ending of a member, as WebDataset cuts it."""
    parts = _NAME.fullmatch(name)
    return parts[2].lower() if parts is not None else ""


def _read_text(file: Buffered, member: tarfile.TarInfo, where: str) -> str:
    if member.size > _MOST_LABEL_BYTES:
        raise TableError(
            f"{where}: a label of {member.size:,} bytes; {_MOST_LABEL_BYTES:,} is most"
        )
    file.seek(member.offset_data)
    data = file.read(member.size)
    if len(data) < member.size:
        raise tarfile.ReadError("unexpected end of data")
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise TableError(f"{where}: the label is no UTF-8: {data[:_SHOWN_BYTES]!r}") from None


def _labels_of_json(ending: str, text: str, where: str) -> dict[str, str]:
    """Return the value, or one for each name of an object, as texts."""
    try:
        value = json.loads(text, object_pairs_hook=_each_once)
    except ValueError as error:
        raise TableError(f"{where}: no JSON ({error})") from None
    if not isinstance(value, dict):
        return {ending: _text_of(value)}
    return {f"{ending}.{name}": _text_of(one) for name, one in value.items()}


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON; ValueError for a name that comes twice, of which one would win."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice!r} comes twice in one object")
    return found


def _text_of(value: object) -> str:
    """Return a value of JSON as a cell of a table has it."""
    if value is None or value != value:  # NaN
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _hash(key: str) -> bytes:
    return hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=_KEY_BYTES).digest()


def _check_keys(keys: bytearray, samples: Samples) -> None:
    """Raise TableError where members of a sample are not neighbours."""
    found, first, counts = np.unique(
        np.frombuffer(keys, f"V{_KEY_BYTES}"), return_index=True, return_counts=True
    )
    if len(found) == len(keys) // _KEY_BYTES:
        return
    key = samples.key_of(int(first[counts > 1].min()))
    raise TableError(
        f"{samples.location}: the sample {key} comes again, with other members in between; "
        "members with one name are one sample only where they are neighbours"
    )


def _notes(unread: Counter[str]) -> list[str]:
    if not unread:
        return []
    shown = ", ".join(f"{count:,} x {name}" for name, count in unread.most_common(_SHOWN))
    return [f"members that are neither images nor texts were left out: {shown}"]
