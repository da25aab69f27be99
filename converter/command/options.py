"""The options of a conversion, from the arguments of a command line."""

from __future__ import annotations

import argparse
from dataclasses import fields

from converter.options import ConvertOptions
from converter.table.cells.vocabulary import read_vocabulary, vocabulary_of
from converter.table.reading import Reading
from shardio.arguments import of_names
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
            shorter=arguments.shorter_side,
            value_range=arguments.range,
            crop_columns=None if arguments.crop_columns is None else arguments.crop_columns.said,
            **of_names(arguments, "crop", "size", "resample", "pad", "background", "channels"),
            orientation=arguments.orientation,
        ),
        labels=arguments.labels,
        vectors=arguments.vector,
        sequences=arguments.sequence,
        shards=shards,
        shard_size=shard_size,
        seed=seed,
        truncated=arguments.truncated == "accept",
        encoding=arguments.encode,
        text_labels=(
            arguments.text_labels
            or arguments.characters is not None
            or (words is not None and not arguments.sequence)
        ),
        vocabulary=words,
        splits=arguments.split,
        reading=Reading(**of_names(arguments, *(field.name for field in fields(Reading)))),
        **of_names(arguments, "float_labels", "classes", "strict_decode", "max_pixels"),
        image_column=arguments.image_column,
    )
