"""An opened set of shards: how many records, one of them, or batches of them."""

from __future__ import annotations

import hashlib
import operator
import os
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from reader.batch_form import BatchForm, BatchParts
from reader.batches import Batches
from reader.cached_fetch import CachedFetcher
from reader.core_fetch import CoreFetcher, has_core, new_maps
from reader.fetch import Fetcher
from reader.foreign_layout import ForeignLayout, Layout
from reader.indexed_fetch import IndexedFetcher
from reader.label_arrays import wrong_label
from reader.maps import Maps
from reader.options import BatchOptions
from reader.raw_fetch import RawFetcher
from reader.shard_cache import ShardCache
from reader.shard_copies import ShardCopies
from reader.shard_files import ShardFile
from reader.shard_index import IndexedShard
from reader.skipped import Skipped
from reader.source import RecordSource
from shardio.cached_property import cached_property
from shardio.errors import DatasetError
from shardio.format.manifest import Label, Manifest
from shardio.format.naming import ShardName
from shardio.storage.chooser import is_local

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from reader.torch_io import TorchBatches


@dataclass(frozen=True, repr=False)
class ShardSet:
    """Shards that were found and checked; made by `open_shards`.

    `shape` is (height, width, 3) of every image. `labels` are the heads; without a manifest their
    number of classes is 0, which stands for not known. `left_out` are the shards of the same splits
    that the glob did not take. With a `cache` shards are read from there once they are copied.
    """

    shards: tuple[ShardFile, ...]
    layout: Layout
    shape: tuple[int, int, int]
    labels: tuple[Label, ...]
    manifest: Manifest | None
    left_out: tuple[str, ...]
    cache: ShardCache | None = None

    def __len__(self) -> int:
        return self._records

    def __repr__(self) -> str:
        height, width, channels = self.shape
        heads = ", ".join(f"{label.name}: {label.classes}" for label in self.labels)
        return (
            f"<ShardSet of {len(self):,} records in {len(self.shards)} shards, "
            f"{height}x{width}x{channels}, classes {heads or 'none'}>"
        )

    @cached_property
    def splits(self) -> dict[str, int]:
        """The number of records of each split; empty where files are not named as shards are."""
        found: dict[str, int] = {}
        for shard in self.shards:
            name = ShardName.parse(shard.path.rpartition("/")[2])
            if name is not None:
                found[name.split] = found.get(name.split, 0) + shard.records
        return found

    @cached_property
    def _records(self) -> int:
        return sum(shard.records for shard in self.shards)

    @cached_property
    def is_local(self) -> bool:
        """Whether all shards are files of this machine, or of a mount."""
        return all(is_local(shard.path) for shard in self.shards)

    @property
    def classes(self) -> tuple[int, ...]:
        """The number of classes of every head."""
        return tuple(label.classes for label in self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """Which records these are, and in which numbering: a SHA-256."""
        manifest = None if self.manifest is None else self.manifest.fingerprint
        names = [(shard.path.rpartition("/")[2], shard.records) for shard in self.shards]
        choice = (self.layout.choice,) if isinstance(self.layout, ForeignLayout) else ()
        return hashlib.sha256(repr((manifest, names, *choice)).encode()).hexdigest()

    def source(self, *, verify: bool, skipped: Skipped | None = None) -> RecordSource:
        """Open the records for reading by number."""
        if isinstance(self.layout, ForeignLayout):
            shards = [shard for shard in self.shards if isinstance(shard, IndexedShard)]
            return IndexedFetcher(
                shards, self.layout, verify=verify, skipped=skipped, copies=self._copies
            )
        copies = self._copies
        fetcher = Fetcher(self.shards, self.layout, verify=verify, skipped=skipped, copies=copies)
        if not has_core():
            return fetcher
        if copies is not None:
            return CachedFetcher(
                fetcher, self.layout, copies, verify=verify, is_local=self.is_local
            )
        if self.is_local:
            return CoreFetcher(fetcher, self.layout, self._maps, verify=verify)
        return RawFetcher(fetcher, self.layout, verify=verify)

    @property
    def cached(self) -> int:
        """How many of the shards are in the cache now."""
        if self._copies is None:
            return 0
        self._copies.look()
        return len(self._copies.here)

    @property
    def _copies(self) -> ShardCopies | None:
        if self.cache is None:
            return None
        known: ShardCopies | None = self.__dict__.get("_copies_here")
        # The thread that fills the cache is not there after a fork.
        if known is None or known.pid != os.getpid():
            version = "" if self.manifest is None else self.manifest.fingerprint
            known = self.__dict__["_copies_here"] = ShardCopies(self.cache, self.shards, version)
        return known

    @cached_property
    def _maps(self) -> Maps:
        return new_maps()

    @cached_property
    def _records_source(self) -> RecordSource:
        return self.source(verify=True)

    def __getitem__(self, index: int) -> Any:
        """Return one record: the image, uint8 (height, width, 3), and its label.

        As of `batches`: several labels are a list, and without one there is the image alone, as a
        tuple of one.
        """
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        room = self._records_source.room(1)
        integers = self._records_source.fetch(np.array([number % len(self)]), room)
        wrong = wrong_label(integers, self.labels)
        if wrong is not None:
            raise DatasetError(f"{self.place(number % len(self))}: {wrong[1]}")
        image = room.array[0].reshape(self.shape)
        form = BatchForm.of(self.labels, as_dict=False)
        return form.for_arrays(BatchParts(image, integers[0, :-1].tolist()))

    def place(self, number: int) -> str:
        """Name the shard of a record, and its number there."""
        for shard in self.shards:
            if number < shard.records:
                return f"{shard.path}: record {number}"
            number -= shard.records
        raise IndexError(f"{number} records too many")

    def options(self, batch_size: int = 128, **options: Any) -> BatchOptions:
        """Complete the options of a stream of batches.

        From HDFS or another URL the default order is `window`: there each record of an `exact`
        order is a request of its own.
        """
        known = [field.name for field in fields(BatchOptions)]
        for name in options.keys() - set(known):
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise TypeError(f"a stream of batches has no option {name!r}; {hint}")
        if not self.is_local:
            options = {"shuffle": "window", **options}
        return BatchOptions(batch_size=batch_size, **options)

    def batches(self, batch_size: int = 128, **options: Any) -> Batches:
        """Iterate over batches in NumPy.

        A batch is `(x, [y0, y1, ...])`, with one head `(x, y)` and without any `(x,)`: `x` is
        (batch, height, width, 3), float32 in [0, 1] or uint8; each label is int32 (batch,) or, with
        `one_hot`, float32 (batch, classes). With `rows` the last element holds the rows of the
        input table, int64 (batch,). With `as_dict` a batch is `{"image": x, "y0": y0, ...}`, with
        `weight` and `row` where asked for. A batch is the caller's to keep and to change. The
        keyword arguments are those of `BatchOptions`.
        """
        return Batches(self, self.options(batch_size, **options))

    def to_tf_dataset(self, batch_size: int = 128, **options: Any) -> tf.data.Dataset:
        """Make a `tf.data.Dataset` of batches; each pass over it is the next epoch.

        Its elements are `(x, (y0, y1, ...))`, with one head `(x, y)` and without any `x`; with
        `as_dict` they are `(x, {"y0": y0, ...})`, which models with named outputs want. With
        `rows` they have four elements, (x, labels, weights, rows): Keras would train with a third
        one as sample weights, and refuses a fourth. With `epochs` a pass is as many epochs. The
        keyword arguments are those of `BatchOptions`.
        """
        from reader.tensorflow_io import to_tf_dataset

        return to_tf_dataset(self, self.options(batch_size, **options))

    def to_torch(
        self, batch_size: int = 128, *, channels_first: bool = False, **options: Any
    ) -> TorchBatches:
        """Make a `torch.utils.data.IterableDataset` of batches; each pass is the next epoch.

        Its items are those of `batches`, as tensors that share the memory of the arrays; integer
        labels are int64. With `channels_first` `x` is a view of shape (batch, 3, height, width).
        For a DataLoader give `batch_size=None`. The keyword arguments are those of `BatchOptions`.
        """
        from reader.torch_io import TorchBatches

        return TorchBatches(
            self, self.options(batch_size, **options), channels_first=channels_first
        )

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: not the files that are open here."""
        open_here = ("_records_source", "_maps", "_copies_here")
        return {name: value for name, value in vars(self).items() if name not in open_here}

    def to_keras(self, batch_size: int = 128, **options: Any) -> keras.utils.PyDataset:
        """Make a `keras.utils.PyDataset` of batches; each epoch of `fit` is the next one.

        Its items are the elements of `to_tf_dataset`. Give `fit` `shuffle=False`, or it puts the
        batches into an order of its own. The keyword arguments are those of `BatchOptions`.
        """
        from reader.keras_io import KerasBatches

        return KerasBatches(self, self.options(batch_size, **options))
