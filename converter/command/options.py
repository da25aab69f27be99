"""The options of a conversion, from the arguments of a command line."""

from __future__ import annotations

import argparse

from converter.options import ConvertOptions
from converter.table.cells.vocabulary import read_vocabulary, vocabulary_of
from converter.table.reading import Reading
from shardio.errors import OptionError
from shardio.format.transform import Transform


def options_of(
    arguments: argparse.Namespace,
    *,
    shards: int | None = None,
    shard_size: int | None = None,
    seed: int = 0,
) -> ConvertOptions:
    """Return the options that the arguments of images and of the table say.

    Raises OptionError for values that cannot be right, and StorageError for a vocabulary that
    cannot be read.
    """
    if arguments.pad and arguments.crop is None and arguments.crop_columns is None:
        raise OptionError("--pad needs a box: it does nothing with --crop none")
    words = read_vocabulary(arguments.vocabulary) if arguments.vocabulary else None
    if arguments.vocabulary_of:
        words = vocabulary_of(arguments.vocabulary_of)
    return ConvertOptions(
        transform=Transform(
            crop=arguments.crop,
            size=arguments.size,
            resample=arguments.resample,
            pad=arguments.pad,
            shorter=arguments.shorter_side,
            background=arguments.background,
            value_range=arguments.range,
            channels=arguments.channels,
            orientation=arguments.orientation,
            crop_columns=None if arguments.crop_columns is None else arguments.crop_columns.said,
        ),
        labels=arguments.labels,
        float_labels=arguments.float_labels,
        vectors=arguments.vector,
        sequences=arguments.sequence,
        classes=arguments.classes,
        shards=shards,
        shard_size=shard_size,
        seed=seed,
        strict_decode=arguments.strict_decode,
        max_pixels=arguments.max_pixels,
        truncated=arguments.truncated == "accept",
        encoding=arguments.encode,
        text_labels=(
            arguments.text_labels
            or arguments.characters is not None
            or (words is not None and not arguments.sequence)
        ),
        vocabulary=words,
        splits=arguments.split,
        image_column=arguments.image_column,
        reading=Reading(
            delimiter=arguments.delimiter,
            encoding=arguments.encoding,
            columns=arguments.columns,
            path_column=arguments.path_column,
            split_column=arguments.split_column,
            split_names=arguments.split_names,
            extension=arguments.extension,
            characters=arguments.characters,
            missing=arguments.missing,
            name_pattern=arguments.name_pattern,
        ),
    )
