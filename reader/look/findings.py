"""What of a survey is worth a look: each a sentence."""

from __future__ import annotations

from reader.look.label_counts import LabelCounts
from reader.look.rejects import Rejects
from reader.look.survey import Survey
from shardio.grammar import agreeing, counted

# A larger share of records of one colour is most often a box beside what is in the images.
_BLANK_SHARE = 0.01


def findings(found: Survey, rejects: Rejects) -> list[str]:
    """Return what is odd about the images, the labels, the splits and the rejects."""
    lines = []
    total = len(found.shards)
    if len(found.blank):
        share = len(found.blank) / total
        manifest = found.shards.manifest
        is_cut = manifest is not None and manifest.transform.is_cut
        why = ": the box that was cut out may lie beside what you mean" if is_cut else ""
        lines.append(
            f"{counted(len(found.blank), 'record', 'has')} one colour in all pixels ({share:.1%})"
            f"{why if share > _BLANK_SHARE else ''}."
        )
    groups = found.identical
    if len(groups):
        lines.append(
            f"{counted(len(groups), 'group')} of identical images: {groups.too_many:,} more than "
            "different ones."
        )
    if found.differing:
        lines.append(f"{_groups(found.differing, 'has')} different labels.")
    if found.crossing:
        lines.append(f"{_groups(found.crossing, 'is')} in more than one split.")
    for name, counts in found.shown_classes.items():
        if not counts.are_words:
            continue
        lines += [f"Label {name}: {line}" for line in _of_label(counts, found.splits)]
    if rejects.rows:
        count = len(rejects.rows)
        lines.append(f"{counted(count, 'row')} of the table {agreeing(count, 'was')} rejected.")
    return lines


def _groups(count: int, verb: str) -> str:
    return f"{counted(count, 'group')} of identical images {agreeing(count, verb)}"


def _of_label(counts: LabelCounts, splits: list[str]) -> list[str]:
    lines = []
    never, classes = len(counts.never), counts.known
    if never:
        lines.append(
            f"{never:,} of {counted(classes, counts.noun)} {agreeing(never, 'is')} never seen."
        )
    once = int((counts.total == 1).sum())
    if once and counts.label.kind.is_class:
        lines.append(f"{counted(once, counts.noun)} {agreeing(once, 'is')} seen only once.")
    if "train" in splits:
        train = counts.counts[splits.index("train")]
        for number, split in enumerate(splits):
            only = int(((counts.counts[number] > 0) & (train == 0)).sum())
            if only:
                lines.append(
                    f"{counted(only, counts.noun)} of {split} {agreeing(only, 'is')} not in train."
                )
    return lines
