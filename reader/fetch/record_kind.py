"""The protocol of record kinds: how shards of a kind are checked and read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from reader.fetch.skipped import Skipped
from reader.fetch.source import RecordSource
from reader.files.shard_files import ShardFiles
from shardio.format.layout import IMAGE
from shardio.storage import RangeReader


class Layout(Protocol):
    """The sizes of records."""

    @property
    def numbers(self) -> int:
        """How many numbers a record holds: the values of its labels, and the row."""

    @property
    def image_bytes(self) -> int:
        """How many values an image has, which as uint8 are its bytes."""

    @property
    def stride(self) -> int:
        """What a record takes while it is read."""


class ExampleForm(NamedTuple):
    """How records are read as a `tf.train.Example`, for whoever reads them with other tools.

    `image` is the feature with the image, `encoded` or raw pixels; images of other sizes are
    `resized`. A label that is not there is the class `missing`. Raw pixels are `plain` as uint8.
    """

    image: str = IMAGE
    encoded: bool = False
    resized: bool = False
    missing: int | None = None
    plain: bool = True


class RecordKind(Protocol):
    """One kind of records: how a shard of them is checked, and what reads them."""

    @property
    def layout(self) -> Layout:
        """What all records have in common."""

    @property
    def choice(self) -> tuple[object, ...]:
        """Which of all that the records hold is read, and as what; empty where that is all."""

    @property
    def example(self) -> ExampleForm:
        """How other tools read the records."""

    @property
    def image_dtype(self) -> Literal["uint8", "float32"]:
        """What images are as they are stored: floats have no other dtype."""

    @property
    def counts_rows(self) -> bool:
        """Whether the row of a record is its number in the set, as none is stored."""

    def touch(self, shard: Any, reader: RangeReader, *, skips: bool) -> None:
        """Check a shard that is opened for the first time.

        With `skips` a damaged record at one of its ends is no error yet.
        """

    def source(
        self, files: ShardFiles[Any], *, verify: bool, skipped: Skipped | None
    ) -> RecordSource:
        """Return what reads the records of `files` from any storage."""

    def joined(self, others: Sequence[RecordKind]) -> RecordKind:
        """Return the kind of the records of several sets, all of the same `choice`."""

    def in_words(self) -> list[str]:
        """Say how large a record is and, in another line, what is read of it if not all."""

    @property
    def record_bytes(self) -> int:
        """Size of a record as it is stored, or the mean where they differ."""

    def check_index(self, shard: Any) -> None:
        """Raise ShardioError where a shard of ours has no index beside it, and needs one."""

    def wrong_index(self, shard: Any) -> str:
        """Say so if a shard of ours is whole but its index belongs to another one."""
