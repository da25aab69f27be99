"""A folder of captchas with its table of labels."""

from __future__ import annotations

import functools
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
from breakage import ERROR_PAGE, KINDS, Breakage, too_small, truncated
from captcha import CHARACTERS, CaptchaPainter
from glyphs import class_characters, class_glyphs
from image_file import JPEG_QUALITIES, jpeg_bytes, png_bytes
from tqdm import tqdm

TABLE = "labels.csv"
CLASSES = "classes.txt"
FILES_PER_FOLDER = 1000
IMAGES_PER_TASK = 50
"""Divides FILES_PER_FOLDER, so that a task writes into one folder."""

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Options:
    """What the data set's bytes depend on, and where it goes."""

    out: Path
    images: int
    classes: int
    png: float
    """Fraction of the files that are PNG, the others being JPEG."""
    broken: float
    """Fraction of the files that are broken."""
    seed: int


@dataclass(frozen=True)
class Plan:
    """What becomes of each image: arrays of shape (images,)."""

    is_png: npt.NDArray[np.bool_]
    breakage: npt.NDArray[np.int64]
    """Values of Breakage."""


@dataclass(frozen=True)
class Task:
    """A run of consecutive images for one worker."""

    options: Options
    start: int
    """Index of the first image."""
    plan: Plan
    """Of these images only."""


def make_plan(options: Options) -> Plan:
    """Choose the PNG files and the broken files; the numbers of both are exact."""
    rng = Random(f"{options.seed} plan")
    indices = range(options.images)
    is_png = np.zeros(options.images, np.bool_)
    is_png[rng.sample(indices, round(options.png * options.images))] = True
    breakage = np.full(options.images, Breakage.NONE, np.int64)
    broken = rng.sample(indices, round(options.broken * options.images))
    # In turn rather than at random: even a handful of broken files shows every kind.
    breakage[broken] = np.resize(np.array(KINDS, np.int64), len(broken))
    return Plan(is_png, breakage)


def image_path(index: int, is_png: bool) -> str:
    """Return the path of an image relative to the data set's folder, with slashes."""
    suffix = "png" if is_png else "jpg"
    return f"images/{index // FILES_PER_FOLDER:03d}/{index:06d}.{suffix}"


def write_dataset(options: Options, workers: int) -> Plan:
    """Write images, classes.txt and, last, labels.csv; return what was planned."""
    plan = make_plan(options)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / CLASSES).write_text(
        "".join(f"{character}\n" for character in class_characters(options.classes)),
        encoding="utf-8",
        newline="\n",
    )
    # The table marks a data set as whole, so it appears under its name only when complete.
    table = options.out / TABLE
    unfinished = table.with_name(f".{TABLE}.tmp")
    with unfinished.open("w", encoding="utf-8", newline="\n") as rows:
        rows.write("path," + ",".join(f"y{i}" for i in range(CHARACTERS)) + "\n")
        for index, labels in _all_labels(options, plan, workers):
            path = image_path(index, bool(plan.is_png[index]))
            rows.write(",".join([path, *map(str, labels)]) + "\n")
        rows.flush()
        os.fsync(rows.fileno())
    unfinished.replace(table)
    return plan


def _all_labels(options: Options, plan: Plan, workers: int) -> Iterator[tuple[int, list[int]]]:
    """Write all images in `workers` processes; yield each image's index and labels in order."""
    tasks = []
    for start in range(0, options.images, IMAGES_PER_TASK):
        part = slice(start, start + IMAGES_PER_TASK)
        tasks.append(Task(options, start, Plan(plan.is_png[part], plan.breakage[part])))
    # Spawned processes begin alike on every system and inherit no threads or locks.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context) as pool,
        tqdm(total=options.images, unit="image", disable=None) as progress,
    ):
        # map gives the results in the order of the tasks, whoever finishes first.
        for task, labels in zip(tasks, pool.map(write_images, tasks), strict=True):
            yield from enumerate(labels.tolist(), start=task.start)
            progress.update(len(labels))


def write_images(task: Task) -> Labels:
    """Write the files of a task; return the labels, shape (images of the task, CHARACTERS)."""
    options, plan = task.options, task.plan
    folder = (options.out / image_path(task.start, False)).parent
    folder.mkdir(parents=True, exist_ok=True)
    numbers = class_glyphs(options.classes)
    labels = np.empty((len(plan.is_png), CHARACTERS), np.int64)
    for i in range(len(labels)):
        # A generator per image: its bytes do not depend on who draws what before it.
        rng = Random(f"{options.seed} image {task.start + i}")
        labels[i] = [rng.randrange(options.classes) for _ in range(CHARACTERS)]
        is_png = bool(plan.is_png[i])
        file = _file_bytes(rng, numbers[labels[i]].tolist(), is_png, Breakage(plan.breakage[i]))
        if file is not None:
            (options.out / image_path(task.start + i, is_png)).write_bytes(file)
    return labels


def _file_bytes(
    rng: Random, glyph_numbers: list[int], is_png: bool, breakage: Breakage
) -> bytes | None:
    """Return the content of one file, or None for a file that is to be missing."""
    if breakage is Breakage.MISSING:
        return None
    if breakage is Breakage.EMPTY:
        return b""
    if breakage is Breakage.TEXT:
        return ERROR_PAGE
    picture = _painter().paint(rng, glyph_numbers)
    if breakage is Breakage.TOO_SMALL:
        picture = too_small(rng, picture)
    file = png_bytes(picture) if is_png else jpeg_bytes(picture, rng.randint(*JPEG_QUALITIES))
    return truncated(rng, file) if breakage is Breakage.TRUNCATED else file


@functools.cache
def _painter() -> CaptchaPainter:
    """Return this process's painter; it takes a few tenths of a second to build."""
    return CaptchaPainter()
