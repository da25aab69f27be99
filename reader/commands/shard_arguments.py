"""The arguments that name a set of shards."""

from __future__ import annotations

import argparse
from typing import Any

from reader.opening.described import SetOptions
from reader.opening.find import ALL_SPLITS, Source
from reader.opening.open_shards import open_shards
from reader.opening.sound_parts import SoundParts, open_sound_parts
from reader.shardset import ShardSet
from shardio.arguments import of_names
from shardio.errors import MissingFileError, OptionError
from shardio.format.vocabulary import parse_vocabulary
from shardio.storage import storage_for

# How numbers lie in bytes.
_DTYPES = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "float32")
_FILE_BYTES = 1 << 30


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the argument that names shards."""
    parser.add_argument(
        "shards",
        nargs="+",
        metavar="GLOB",
        help="a glob (in quotes), files, or the folder of a dataset; each may be a URL",
    )


def sources_of(arguments: argparse.Namespace) -> Source | list[Source]:
    """Return what names shards, as `find_shards` takes it."""
    sources: list[Source] = arguments.shards
    return sources[0] if len(sources) == 1 else sources


def add_shard_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name shards and say what they hold."""
    add_sources(parser)
    parser.add_argument("--split", help="one split of a folder (default: all)")
    parser.add_argument(
        "--shape",
        type=_shape,
        metavar="HxWxC",
        help="the shape of the images, where no dataset.json is beside the shards",
    )
    parser.add_argument(
        "--image",
        type=_image,
        metavar="NAME[=DTYPE]",
        help="the feature with the image, in shards of other tools; raw pixels may be uint16 or "
        "float32",
    )
    parser.add_argument(
        "--labels",
        metavar="A,B[=FILE|DTYPE]",
        help="the features with the labels, in shards of other tools; none with an empty text. "
        "Labels that are texts have a FILE with a class on each line, and those that lie in bytes "
        "a DTYPE such as int64",
    )
    parser.add_argument(
        "--missing", type=int, metavar="N", help="the class of labels that are not there, or -1"
    )
    parser.add_argument(
        "--size", type=_size, metavar="HxW", help="resize encoded images of other tools' shards"
    )
    parser.add_argument("--crop", choices=["center"], help="of each the centre that has the shape")


def add_where_argument(parser: argparse.ArgumentParser) -> None:
    """Add what chooses records by their labels."""
    parser.add_argument(
        "--where",
        action="append",
        metavar="LABEL=CLASS",
        help="only records with this class, a number or a text, such as y0=17; of several, those "
        "that have all",
    )


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a size is like 224x224, not {text!r}") from None
    return height, width


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    found = of_names(arguments, "shape", "image", "missing", "size", "crop")
    return found | {"labels": None if arguments.labels is None else _labels(arguments.labels)}


def open_named(arguments: argparse.Namespace) -> ShardSet:
    """Open the set that the arguments name."""
    return open_shards(
        sources_of(arguments),
        arguments.split or ALL_SPLITS,
        **_options(arguments),
    )


def find_named(arguments: argparse.Namespace) -> SoundParts:
    """Open what can be opened of the set that the arguments name."""
    options = SetOptions(**_options(arguments))
    return open_sound_parts(sources_of(arguments), arguments.split or ALL_SPLITS, options)


def _image(text: str) -> str | dict[str, str]:
    """Return the name of a feature, and the dtype of its pixels if it says one."""
    name, equals, dtype = text.rpartition("=")
    return {name: dtype} if equals else text


def _labels(text: str) -> list[str] | dict[str, str | tuple[str, ...] | None]:
    """Return names of features, and how those are read that are bytes."""
    names = text.split(",") if text else []
    if "=" not in text:
        return names
    pairs = [name.rpartition("=") if "=" in name else (name, "", "") for name in names]
    return {name: _bytes_as(said) if equals else None for name, equals, said in pairs}


def _bytes_as(said: str) -> str | tuple[str, ...]:
    """Return a dtype, or the texts of the classes that a file lists."""
    if said in _DTYPES:
        return said
    try:
        data = storage_for(said).read_file(said, _FILE_BYTES)
    except MissingFileError:
        raise OptionError(
            f"--labels NAME={said}: there is no such file, with the text of a class on each line, "
            f"and it is none of {', '.join(_DTYPES)}"
        ) from None
    return parse_vocabulary(data, said)


def _shape(text: str) -> tuple[int, int, int]:
    try:
        height, width, channels = map(int, text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a shape is like 32x128x3, not {text!r}") from None
    return height, width, channels
