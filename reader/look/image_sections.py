"""The sections of a page that show images: samples, extremes, and what is alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reader.look.alike import LEAST_CORRELATION, NEAR_BITS
from reader.look.charts import histogram
from reader.look.markup import element, facts, paragraph, table, text
from reader.look.origins import Origins
from reader.look.records import spread
from reader.look.survey import MOST_COMPARED, Survey
from reader.look.thumbnails import Thumbnail, thumbnails
from shardio.grammar import agreeing, counted
from shardio.pictures.captions import caption

_SAMPLES = 24
_EXTREMES = 6
_GROUPS, _IN_GROUP = 8, 4
_PAIRS = 10
_BLANKS = 8


class _Shown(Protocol):
    @property
    def classes(self) -> NDArray[np.int64]:
        """The classes that are shown."""


@dataclass(frozen=True)
class Images:
    """The images of a page, read once."""

    found: Survey
    samples: list[int]
    dark: list[int]
    light: list[int]
    flat: list[int]
    thumbnails: dict[int, Thumbnail]
    sources: dict[int, str]

    @classmethod
    def of(cls, found: Survey, classes: Mapping[str, _Shown], origins: Origins) -> Images:
        """Choose and read the images."""
        samples = spread(len(found.shards), _SAMPLES, seed=0).tolist()
        by_brightness = np.argsort(found.brightness, kind="stable")
        dark = found.sampled[by_brightness[:_EXTREMES]].tolist()
        light = found.sampled[by_brightness[::-1][:_EXTREMES]].tolist()
        by_contrast = np.argsort(found.contrast, kind="stable")
        flat = found.sampled[by_contrast[:_EXTREMES]].tolist()
        wanted = [*samples, *dark, *light, *flat, *found.blank[:_BLANKS].tolist()]
        for group in found.identical.largest(_GROUPS):
            wanted += group[:_IN_GROUP].tolist()
        if found.near is not None:
            wanted += found.near.pairs[:_PAIRS].reshape(-1).tolist()
        for name, shown in classes.items():
            wanted += found.classes[name].first[shown.classes].tolist()
        ids = np.unique(np.array(wanted, dtype=np.int64))
        return cls(
            found, samples, dark, light, flat, thumbnails(found.shards, ids), origins.paths(ids)
        )

    def image(self, number: int, words: str) -> str:
        """Return the image of a record; `words` are for those who cannot see it."""
        small = self.thumbnails[number]
        return (
            f'<img src="{small.url}" width="{small.width}" height="{small.height}" '
            f'alt="{text(words)}" decoding="async">'
        )

    def item(self, number: int) -> str:
        """Return a record: its image, its labels, its place and its path."""
        labels = self.found.shards.labels
        lines = caption(labels, self.thumbnails[number].numbers)
        row = int(self.thumbnails[number].numbers[-1])
        split = self.found.splits[int(self.found.splits_of(np.array([number]))[0])]
        place = f"#{number} row {row}" + (f" {split}" if len(self.found.splits) > 1 else "")
        parts = [
            element("p", text(line), class_="text" if not at else None)
            for at, line in enumerate(lines)
        ]
        parts.append(element("p", text(place), class_="soft"))
        if number in self.sources:
            parts.append(element("p", text(self.sources[number]), class_="soft"))
        described = f"record {number}: {' '.join(lines)}"
        return element("li", self.image(number, described) + "".join(parts))

    def items(self, numbers: Iterable[int]) -> str:
        """Return a list of records."""
        return element("ul", "".join(map(self.item, numbers)), class_="images")


def sample_section(images: Images) -> str:
    """Return records drawn at random."""
    total = len(images.found.shards)
    how = (
        "All records."
        if len(images.samples) == total
        else (f"{len(images.samples)} of {counted(total, 'record')}, drawn at random.")
    )
    return paragraph(how) + images.items(images.samples)


def pixel_section(found: Survey, images: Images) -> str:
    """Return how bright images are and how much contrast they have, with the extremes."""
    count = len(found.sampled)
    said = (
        f"From a sample of {count:,} of {counted(len(found.shards), 'record')}."
        if found.is_sampled
        else f"From all {counted(count, 'record')}."
    )
    brightness, contrast = found.brightness, found.contrast
    rows = [
        (name, *(f"{value:.1f}" for value in np.percentile(values, (0, 5, 50, 95, 100))))
        for name, values in (("brightness", brightness), ("contrast", contrast))
    ]
    charts = "".join(
        element("figure", histogram(title, values, 0.0, high, axis))
        for title, values, high, axis in (
            ("How bright the images are", brightness, 255.0, "mean luminance"),
            (
                "How much contrast the images have",
                contrast,
                128.0,
                "standard deviation of luminance",
            ),
        )
    )
    head = ["of an image", "least", "5 %", "median", "95 %", "most"]
    return (
        paragraph(f"{said} Luminance is 0 for black and 255 for white.")
        + table("How brightness and contrast are spread", head, rows)
        + element("div", charts, class_="charts")
        + "".join(
            element("h3", text(title)) + images.items(numbers)
            for title, numbers in (
                ("Darkest", images.dark),
                ("Brightest", images.light),
                ("Least contrast", images.flat),
            )
        )
    )


def alike_section(found: Survey, images: Images) -> str:
    """Return images of one colour, identical ones and near-identical ones."""
    return (
        element("h3", "One colour")
        + _blank(found, images)
        + element("h3", "Identical")
        + _identical(found, images)
        + element("h3", "Nearly identical")
        + _near(found, images)
    )


def _blank(found: Survey, images: Images) -> str:
    if not len(found.blank):
        return paragraph("No image has one colour in all pixels.")
    count = len(found.blank)
    share = count / len(found.shards)
    said = f"{counted(count, 'record', 'has')} one colour in all pixels ({share:.1%})."
    return paragraph(said) + images.items(found.blank[:_BLANKS].tolist())


def _identical(found: Survey, images: Images) -> str:
    groups = found.identical
    if not len(groups):
        other = "other " if len(found.blank) else ""
        return paragraph(f"No two {other}images have the same pixels.")
    pairs = [
        ("Groups", f"{len(groups):,}"),
        ("Records beyond the first of each", f"{groups.too_many:,}"),
        ("Groups with different labels", f"{found.differing:,}"),
        ("Groups in several splits", f"{found.crossing:,}"),
    ]
    parts = [
        _group(images, group[:_IN_GROUP].tolist(), f"{len(group):,} records")
        for group in groups.largest(_GROUPS)
    ]
    return facts(pairs) + element("div", "".join(parts), class_="groups")


def _near(found: Survey, images: Images) -> str:
    if found.near is None:
        return paragraph(f"Not looked for: the set has more than {MOST_COMPARED:,} records.")
    pairs = found.near.pairs
    rule = (
        f"Alike are images whose difference hashes differ in {NEAR_BITS} of 64 bits or fewer, and "
        f"whose luminance correlates by {LEAST_CORRELATION} or more."
    )
    if not len(pairs):
        none = "No two other images are alike."
        if not found.near.are_all:
            none = "None was found, but too many hashes are similar to compare them all."
        return paragraph(f"{none} {rule}")
    least = "" if found.near.are_all else "At least "
    parts = [_group(images, pair, None) for pair in pairs[:_PAIRS].tolist()]
    return paragraph(
        f"{least}{counted(len(pairs), 'pair')} of images {agreeing(len(pairs), 'is')} alike. {rule}"
    ) + element("div", "".join(parts), class_="groups")


def _group(images: Images, numbers: Sequence[int], title: str | None) -> str:
    heading = "" if title is None else element("p", text(title), class_="soft")
    return element("div", heading + images.items(numbers), class_="group")
