"""Several sets as one: their records one after the other, where they are of one kind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np

from reader.fetch.record_kind import RecordKind
from reader.sets.choice import PIECE, Choice, Ids, listed
from reader.shardset import ShardSet
from shardio.errors import DatasetError, OptionError
from shardio.format.label import Label

# What differs between two sets, as the second one says it; empty where nothing does.
_Found = list[str]


def join(sets: Sequence[ShardSet], names: Sequence[str]) -> ShardSet:
    """Return the set of the records of all `sets`, in their order; `names` are for errors.

    Raises DatasetError, which lists what does not fit, and OptionError for a mix.
    """
    first = sets[0]
    mixed = [name for name, member in zip(names, sets, strict=True) if member.mix is not None]
    if mixed:
        raise OptionError(
            f"{mixed[0]} is a mix, whose shares would be lost: join its members, and mix the joins"
        )
    problems: _Found = []
    for name, other in zip(names[1:], sets[1:], strict=True):
        problems += [f"{name} has {what}" for what in _differences(first, other)]
    if problems:
        raise DatasetError(f"these sets do not fit {names[0]}:\n  " + "\n  ".join(problems))
    if len({member.cache for member in sets}) > 1:
        raise OptionError("open all sets with the same cache= and cache_limit=, or none of them")
    return replace(
        first,
        choice=_choice_of(sets),
        mix=None,
        shards=tuple(shard for member in sets for shard in member.shards),
        kind=first.kind.joined([member.kind for member in sets[1:]]),
        labels=tuple(_label_of(heads) for heads in zip(*(x.labels for x in sets), strict=True)),
        manifest=None,
        left_out=tuple(file for member in sets for file in member.left_out),
        members=tuple(part for member in sets for part in member.members or (member,)),
    )


def refuse_other_transforms(sets: Sequence[ShardSet], names: Sequence[str]) -> None:
    """Raise DatasetError where images were cut or scaled in another way than those of the first.

    Sets without a manifest say nothing of it.
    """
    first, problems = None, []
    for name, one in zip(names, sets, strict=True):
        for part in one.members or (one,):
            if part.manifest is None:
                continue
            said = asdict(part.manifest.transform)
            if first is None:
                first = name, said
            other = [f"{key}={value}" for key, value in said.items() if value != first[1][key]]
            if other:
                mine = ", ".join(
                    f"{key}={first[1][key]}" for key in said if said[key] != first[1][key]
                )
                problems.append(f"{name} was made with {', '.join(other)}, {first[0]} with {mine}")
    if problems:
        raise DatasetError(
            "these sets have other transforms; convert them alike, or mix() them:\n  "
            + "\n  ".join(problems)
        )


def _choice_of(sets: Sequence[ShardSet]) -> Choice | None:
    """Return which records of all shards those of the sets are; None where they are all."""
    if all(member.choice is None for member in sets):
        return None

    def pieces() -> Iterator[Ids]:
        begin = 0
        for member in sets:
            for at in range(0, len(member), PIECE):
                yield begin + member.chosen.ids(np.arange(at, min(at + PIECE, len(member))))
            begin += member.stored_records

    return listed(pieces)


def _differences(first: ShardSet, other: ShardSet) -> _Found:
    """Say what of a set is not as of the first one."""
    if other.shape != first.shape:
        return [f"images of {_shape(other)}, not {_shape(first)}"]
    wanted, found = [label.name for label in first.labels], [label.name for label in other.labels]
    if found != wanted:
        return [f"labels {', '.join(found) or 'none'}, not {', '.join(wanted) or 'none'}"]
    problems = []
    for mine, theirs in zip(first.labels, other.labels, strict=True):
        if theirs.kind != mine.kind:
            problems.append(f"for {mine.name} {theirs}, not {mine}")
        elif (theirs.vocabulary is None) != (mine.vocabulary is None):
            what = ("numbers", "texts")
            problems.append(
                f"{what[theirs.vocabulary is not None]} as classes of {mine.name}, not "
                f"{what[mine.vocabulary is not None]}"
            )
        elif mine.vocabulary is not None and theirs.vocabulary is not None:
            pairs = zip(mine.vocabulary, theirs.vocabulary, strict=False)
            for number, (text, said) in enumerate(pairs):
                if said != text:
                    problems.append(
                        f"for {mine.name} the class {number} = {said!r}, not {text!r}: convert it "
                        "with --vocabulary-of"
                    )
                    break
    if not problems and _read_as(other.kind) != _read_as(first.kind):
        problems.append("records that are stored in another way: raw, encoded, or by another tool")
    return problems


def _shape(shards: ShardSet) -> str:
    return "x".join(map(str, shards.shape))


def _label_of(heads: tuple[Label, ...]) -> Label:
    """Return a head of all sets: the longest vocabulary, which continues the others."""
    most = max(heads, key=lambda head: head.classes)
    return most if all(head.classes for head in heads) else replace(most, classes=0)


def _read_as(kind: RecordKind) -> object:
    """Return what kinds have in common that one source reads."""
    return kind.choice or kind.layout
