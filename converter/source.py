"""The input table: a path and labels a row, checked before any image is opened."""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter import columns
from converter.archives import SEPARATOR
from converter.splits import SplitShares, in_two_splits
from converter.vocabulary import build_vocabulary, classes_of
from shardio.errors import MissingExtraError, ShardioError, TableError
from shardio.format.manifest import Label
from shardio.format.naming import SPLIT_PATTERN
from shardio.storage import storage_for
from shardio.storage.chooser import join, scheme_of

PATH = "path"
SPLIT = "split"
DEFAULT_SPLIT = "train"

_ARCHIVES = ("tar", "zip")
_LABEL = re.compile(r"y(\d+)")
_READ_BYTES = 1 << 22
_SHOWN = 20


@dataclass(frozen=True)
class Table:
    """The rows of an input table.

    `labels` is (rows, heads), int64. `splits` are the names of the splits in order, `split` the
    index into them of each row. `vocabulary` is that of text labels. Paths stay in Arrow's memory:
    one string object a row would be ten times as much.
    """

    name: str
    sha256: str
    root: str
    heads: tuple[str, ...]
    labels: NDArray[np.int64]
    splits: tuple[str, ...]
    split: NDArray[np.int32]
    _paths: Any
    vocabulary: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def paths(self, rows: NDArray[np.int64]) -> list[str]:
        """Return the paths of `rows` as the table has them."""
        found: list[str] = self._paths.take(rows).to_pylist()
        return found

    def heads_of(self, classes: int | None) -> tuple[Label, ...]:
        """Return the heads; without `classes` or a vocabulary one has its largest label + 1."""
        if self.vocabulary is not None:
            return tuple(Label(head, len(self.vocabulary), self.vocabulary) for head in self.heads)
        most = self.labels.max(axis=0)
        return tuple(
            Label(head, classes or int(last) + 1)
            for head, last in zip(self.heads, most, strict=True)
        )

    def location(self, path: str) -> str:
        """Return where the image of a row's `path` is: absolute, or below the root.

        A member of an archive is `archive.tar::name`, or as fsspec writes it, `tar://name::archive`.
        """
        if scheme_of(path) in _ARCHIVES and SEPARATOR in path:
            name, _, archive = path.partition("://")[2].partition(SEPARATOR)
            return self.location(archive) + SEPARATOR + name
        if path.startswith("/") or scheme_of(path):
            return path
        return join(self.root, path)


def read_table(
    name: str,
    *,
    labels: tuple[str, ...] | None,
    classes: int | None,
    root: str | None = None,
    text_labels: bool = False,
    vocabulary: tuple[str, ...] | None = None,
    shares: SplitShares | None = None,
    seed: int = 0,
) -> Table:
    """Read and check a table.

    The kind is told by the ending: .csv, .tsv, .jsonl (also .ndjson, .json) or .parquet. Relative
    paths are below `root`, by default the table's folder. With `text_labels` the labels are texts,
    of `vocabulary` or of one that is built. Splits are those of the column, or `shares` of the
    paths, dealt with `seed`. Raises TableError, which lists the bad rows with number and value.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtraError(
            "reading tables needs pyarrow: it comes with shardio's extra [convert]"
        ) from error
    digest = _digest(name)
    reading = name
    try:
        reader = columns.open_table(name)
        heads = _heads(name, reader.names, labels)
        table = reader.read([PATH, *heads, *([SPLIT] if SPLIT in reader.names else [])])
        if table.num_rows == 0:
            raise TableError(f"{name} has no rows")
        problems: list[tuple[int, str]] = []
        reading = f"column {PATH} of {name}"
        paths = columns.texts(table.column(PATH))
        problems += _bad_paths(paths)
        values = np.empty((table.num_rows, len(heads)), dtype=np.int64)
        if text_labels and heads:
            reading = f"columns {', '.join(heads)} of {name}"
            words = {head: columns.texts(table.column(head)) for head in heads}
            vocabulary = vocabulary or build_vocabulary(list(words.values()))
        for index, head in enumerate(heads):
            reading = f"column {head} of {name}"
            if text_labels:
                values[:, index], bad = classes_of(words[head], vocabulary or ())
            else:
                values[:, index], bad = columns.labels(table.column(head), classes)
            problems += [(row, f"{head} is {why}") for row, why in bad]
        splits: tuple[str, ...] = (DEFAULT_SPLIT,)
        split = np.zeros(table.num_rows, dtype=np.int32)
        if SPLIT in table.column_names:
            reading = f"column {SPLIT} of {name}"
            splits, split = columns.codes(columns.texts(table.column(SPLIT)))
            problems += _bad_splits(splits, split) + in_two_splits(paths, splits, split)
            if shares is not None:
                raise TableError(f"{name} has a column {SPLIT} already; give no shares of splits")
        elif shares is not None:
            splits, split = shares.deal(paths, seed)
    except ShardioError:
        raise
    # Arrow raises its own errors, OSError for damaged Parquet and UnicodeDecodeError for JSON.
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(f"{reading} cannot be read: {columns.explain(error)}") from error
    _refuse(name, problems)
    folder = name[: name.rfind("/") + 1] or "."
    words_of_all = vocabulary if text_labels and heads else None
    return Table(name, digest, root or folder, heads, values, splits, split, paths, words_of_all)


def _digest(name: str) -> str:
    """SHA-256 of the table's file."""
    digest = hashlib.sha256()
    with storage_for(name).open_stream(name) as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _heads(name: str, present: list[str], asked: tuple[str, ...] | None) -> tuple[str, ...]:
    """Choose the label columns, in the order asked for, or by number."""
    twice = sorted({column for column in present if present.count(column) > 1})
    has = f"it has {', '.join(present) or 'none'}"
    if asked is None:
        found = [column for column in present if _LABEL.fullmatch(column)]
        heads = tuple(sorted(found, key=lambda column: (int(column[1:]), column)))
        if not heads:
            raise TableError(
                f"{name} has no label columns y0, y1, ...; {has}. "
                "Name them with --labels a,b,c (or --labels '' for images without labels)"
            )
    else:
        heads = asked
    missing = [column for column in (PATH, *heads) if column not in present]
    if missing:
        text = name.lower().endswith(("csv", "tsv"))
        hint = " (the first line must be the header)" if text else ""
        raise TableError(f"{name} has no column {', '.join(missing)}; {has}{hint}")
    bad = [column for column in twice if column in (PATH, SPLIT, *heads)]
    if bad:
        raise TableError(f"{name} has the column {', '.join(bad)} more than once")
    return heads


def _bad_paths(paths: Any) -> list[tuple[int, str]]:
    """Find paths that are empty, that no file can have, or that leave the root."""
    import pyarrow.compute as pc

    problems = [
        (int(row), "path is empty") for row in np.flatnonzero(pc.equal(paths, "").to_numpy(False))
    ]
    problems += [
        (int(row), f"path {paths[int(row)].as_py()!r} has a null byte")
        for row in np.flatnonzero(pc.match_substring(paths, "\0").to_numpy(False))
    ]
    # Only what holds two dots can go up; the rest of the check is too slow for every row.
    for row in np.flatnonzero(pc.match_substring(paths, "..").to_numpy(False)):
        path = paths[int(row)].as_py()
        if scheme_of(path) or path.startswith("/"):
            continue
        normal = posixpath.normpath(path)
        if normal == ".." or normal.startswith("../"):
            problems.append((int(row), f"path {path!r} leaves the root folder"))
    return problems


def _bad_splits(splits: tuple[str, ...], split: NDArray[np.int32]) -> list[tuple[int, str]]:
    """Find splits that cannot stand in the name of a shard."""
    return [
        (int(row), f"split is {text!r}, not a letter, then letters, digits or _")
        for code, text in enumerate(splits)
        if not re.fullmatch(SPLIT_PATTERN, text)
        for row in np.flatnonzero(split == code)
    ]


def _refuse(name: str, problems: list[tuple[int, str]]) -> None:
    if not problems:
        return
    problems.sort()
    lines = [f"row {row}: {what}" for row, what in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    rows = len({row for row, _ in problems})
    raise TableError(
        f"{name} has {rows} bad {'row' if rows == 1 else 'rows'} "
        "(counted from 0, without the header):\n  " + "\n  ".join(lines)
    )
