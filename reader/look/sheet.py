"""A contact sheet of some records, each with its labels, number and row under it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from reader.look.records import Records
from reader.shardset import ShardSet
from shardio.format.naming import ShardName
from shardio.pictures.captions import caption
from shardio.pictures.contact_sheet import Tile
from shardio.pictures.picture import rgb, scale_for, scaled


def record_tiles(shards: ShardSet, ids: NDArray[np.int64], side: int) -> list[Tile]:
    """Read records, and make a tile of each; no side of an image has more than `side` pixels."""
    height, width, _ = shards.shape
    scale = scale_for(width, height, side)
    tiles = []
    records = Records(shards)
    try:
        for part, images, numbers in records.pieces(ids):
            for number, image, of_record in zip(part.tolist(), images, numbers, strict=True):
                texts = [*caption(shards.labels, of_record), _place(shards, number, of_record)]
                tiles.append(Tile(scaled(rgb(image), scale), tuple(texts)))
    finally:
        records.close()
    return tiles


def _place(shards: ShardSet, number: int, numbers: NDArray[np.int64]) -> str:
    """Return the number of a record in the set, its row, and its split where there are several."""
    split = ""
    if len(shards.splits) > 1:
        name = ShardName.parse(shards.place(number).rpartition(": ")[0].rpartition("/")[2])
        split = "" if name is None else f" {name.split}"
    return f"#{number} row {int(numbers[-1])}{split}"
