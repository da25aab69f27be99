"""The sections of a page on labels, and on splits side by side."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reader.look.charts import MOST_LINES, rank_chart
from reader.look.image_sections import Images
from reader.look.label_counts import FloatRange, LabelCounts
from reader.look.markup import details, element, facts, paragraph, table, text
from reader.look.survey import MOST_HEADS, Survey
from shardio.format.sequences import sequences_of
from shardio.grammar import agreeing, counted

# Classes of all heads that are shown with an image.
_SHOWN = 600
_NEVER = 2000
_WORD = 40
# Characters that stand for one that cannot be seen.
_ESCAPED = 10
_COMPONENTS = 16


@dataclass(frozen=True)
class ShownClasses:
    """The classes of a head that are shown with an image, the most frequent first."""

    classes: NDArray[np.int64]
    are_all: bool


def classes_shown(found: Survey) -> dict[str, ShownClasses]:
    """Choose the classes to show of each head: all, or the rarest and some of the commonest."""
    heads = {name: head for name, head in found.shown_classes.items() if head.are_classes}
    return {name: _shown(counts, _SHOWN // len(heads)) for name, counts in heads.items()}


def _shown(counts: LabelCounts, most: int) -> ShownClasses:
    seen = counts.seen
    if len(seen) <= most:
        return ShownClasses(seen, True)
    common = most // 3
    return ShownClasses(np.concatenate([seen[:common], seen[common - most :]]), False)


def labels_section(found: Survey, images: Images, shown: dict[str, ShownClasses]) -> str:
    """Return rank and frequency of each head, its classes with an image, and those never seen."""
    if not found.shards.labels:
        return paragraph("The records have no labels.")
    parts = []
    left = len(found.shards.labels) - MOST_HEADS
    if left > 0:
        parts.append(paragraph(f"The first {MOST_HEADS} labels; {left:,} more are not shown."))
    lengths = set(sequences_of(found.shards.labels).values())
    for number, label in enumerate(found.shards.labels[:MOST_HEADS]):
        parts.append(element("h3", text(label.name)))
        if label.name in found.floats:
            parts.append(_of_floats(found.floats[label.name]))
        elif label.name in lengths:
            parts.append(_of_lengths(found.classes[label.name]))
        elif label.name not in shown:
            parts.append(paragraph("These values are ids: there are too many to count each."))
        else:
            counts = found.classes[label.name]
            identity = f"classes-{number}"
            parts.append(_of_classes(counts, found.splits, images, shown[label.name], identity))
    return "".join(parts)


def _of_classes(
    counts: LabelCounts, splits: list[str], images: Images, shown: ShownClasses, identity: str
) -> str:
    seen, total = counts.seen, counts.total
    label = counts.label
    if not len(seen):
        return paragraph(f"No {counts.noun} is seen.")
    of = f" of {counts.known:,}" if counts.known and counts.are_words else ""
    nouns = agreeing(2, counts.noun)
    frequencies = total[seen]
    pairs = [
        (f"{nouns.capitalize()} seen", f"{len(seen):,}{of}"),
        ("Most often", f"{counts.word(int(seen[0]))} ({frequencies[0]:,} times)"),
        ("Least often", f"{counts.word(int(seen[-1]))} ({counted(int(frequencies[-1]), 'time')})"),
        ("Median", f"{int(np.median(frequencies)):,}"),
    ]
    lines = [("all", frequencies)] if len(splits) == 1 else []
    if len(splits) > 1:
        for number, split in enumerate(splits[:MOST_LINES]):
            of_split = np.sort(counts.counts[number])[::-1]
            lines.append((split, of_split[of_split > 0]))
    title = f"{label.name}: how often {nouns} are seen, by rank, on logarithmic axes"
    chart = element("figure", rank_chart(title, lines, counts.noun))
    items = "".join(_class(counts, int(number), images) for number in shown.classes)
    listed = element("ul", items, class_="images", id=identity)
    note = ""
    if not shown.are_all:
        note = paragraph(
            f"{len(shown.classes):,} of {len(seen):,} are shown: the most frequent third "
            "of them, then the rarest."
        )
    which = nouns if shown.are_all else f"some {nouns}"
    return (
        element("div", facts(pairs) + chart, class_="head")
        + _never(counts)
        + details(
            f"{label.name}: {which}, each with an image",
            note + _controls(counts, identity) + listed,
        )
    )


def _of_lengths(counts: LabelCounts) -> str:
    """Say how long the texts of another head are."""
    seen, total = counts.seen, counts.total
    if not len(seen):
        return paragraph("No text is seen.")
    middle = np.searchsorted(np.cumsum(total), (total.sum() + 1) // 2)
    most = int(seen[0])
    return facts(
        [
            ("Shortest text", counted(int(seen.min()), "character")),
            ("Median", f"{int(middle):,}"),
            ("Longest text", f"{int(seen.max()):,}"),
            ("Most often", f"{most:,} ({counted(int(total[most]), 'time')})"),
        ]
    )


def _class(counts: LabelCounts, number: int, images: Images) -> str:
    record = int(counts.first[number])
    word = counts.word(number)
    times = counted(int(counts.total[number]), "time")
    lines = element("p", text(word), class_="text") + element("p", text(times), class_="soft")
    image = images.image(record, f"{counts.noun} {word}, record {record}")
    return element(
        "li",
        image + lines,
        data_words=word,
        data_number=number,
        data_count=int(counts.total[number]),
    )


def _controls(counts: LabelCounts, identity: str) -> str:
    options = "".join(
        element("option", text(words), value=value)
        for value, words in (
            ("most", "most frequent first"),
            ("rarest", "rarest first"),
            ("number", "by number"),
        )
    )
    search = f"Find a {counts.noun} of {counts.label.name}"
    return element(
        "div",
        element("label", text(search) + '<input type="search" autocomplete="off">')
        + element("label", "Order" + element("select", options))
        + element("output", "", aria_live="polite"),
        class_="controls",
        data_list=identity,
        hidden="hidden",
    )


def _never(counts: LabelCounts) -> str:
    never = counts.never
    if not len(never) or not counts.are_words:
        return ""
    words = ", ".join(counts.word(int(number))[:_WORD] for number in never[:_NEVER])
    more = f" and {len(never) - _NEVER:,} more" if len(never) > _NEVER else ""
    title = f"{counted(len(never), counts.noun)} {agreeing(len(never), 'is')} never seen"
    listed = element(
        "p",
        text(words + more, len(words + more) * _ESCAPED),
        class_="never",
        tabindex=0,
        role="region",
        aria_label=title,
    )
    return details(title, listed)


def _of_floats(found: FloatRange) -> str:
    rows = [
        (str(number), f"{least:.6g}", f"{mean:.6g}", f"{most:.6g}")
        for number, (least, mean, most) in enumerate(
            zip(found.least, found.mean, found.most, strict=True)
        )
    ][:_COMPONENTS]
    left = found.label.kind.length - len(rows)
    more = paragraph(f"{left:,} more values are not listed.") if left else ""
    return table(f"Values of {found.label.name}", ["value", "least", "mean", "most"], rows) + more


def splits_section(found: Survey) -> str:
    """Return a table of the splits for each head."""
    splits = found.shards.splits
    total = max(1, len(found.shards))
    if len(found.splits) < 2:
        return paragraph("All records are of one split.")
    shares = [(split, splits[split], f"{splits[split] / total:.1%}") for split in found.splits]
    parts = [table("Records of each split", ["split", "records", "share"], shares)]
    has_train = "train" in found.splits
    for name, counts in found.shown_classes.items():
        if not counts.are_words:
            continue
        train = counts.counts[found.splits.index("train")] if has_train else None
        rows = []
        for number, split in enumerate(found.splits):
            here = counts.counts[number]
            row: tuple[object, ...] = (split, int((here > 0).sum()))
            row += (int(((here == 0) & (counts.total > 0)).sum()),)
            if train is not None:
                row += (int(((here > 0) & (train == 0)).sum()), _distance(here, train))
            rows.append(row)
        nouns = agreeing(2, counts.noun)
        head = ["split", f"{nouns} seen", "seen elsewhere only"]
        head += ["not in train", "distance from train"] if has_train else []
        parts.append(table(f"Label {name}", head, rows))
    if has_train:
        parts.append(
            paragraph(
                "The distance is half the sum of the differences of shares (total variation): 0 "
                "where classes are as frequent as in train, 1 where none is shared. Small splits "
                "differ by chance."
            )
        )
    return "".join(parts)


def _distance(here: NDArray[np.int64], train: NDArray[np.int64]) -> str:
    if not here.sum() or not train.sum():
        return "-"
    return f"{float(np.abs(here / here.sum() - train / train.sum()).sum()) / 2:.3f}"
