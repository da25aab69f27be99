"""An opened set of shards: how many records, one of them, or batches of them."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from reader.batching.batch_form import BatchForm, BatchParts
from reader.batching.batches import Batches
from reader.batching.keywords import BatchKeywords, refuse_unknown, shows_options
from reader.batching.label_arrays import label_arrays, wrong_label
from reader.batching.options import BatchOptions
from reader.dataset import Dataset
from reader.sets.draws import RecordWeights, balanced, class_label, draws_of
from reader.sets.kept_array import KeptArray, keep_array
from reader.sets.record_labels import RecordLabels
from shardio.errors import DatasetError, OptionError
from shardio.format.label_kind import columns_of
from shardio.format.naming import RECORDS
from shardio.grammar import counted
from shardio.storage.paths import folder_of, join, name_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from reader.frameworks.torch_dataset import TorchBatches

# Records that a pass over all labels reads at once.
_PASS = 1024


@dataclass(frozen=True, repr=False)
class ShardSet(Dataset):
    """Shards for training: records, and batches for every framework; made by `open_shards`.

    What it holds is described by `Dataset`.
    """

    def __repr__(self) -> str:
        height, width, channels = self.shape
        heads = ", ".join(
            f"{label.name}: {label.classes if label.kind.is_class else label}"
            for label in self.labels
        )
        if self.mix is not None:
            parts = " and ".join(
                f"{share:.2%} of {counted(size, 'record')}"
                for share, size in zip(self.mix.shares, self.mix.sizes, strict=True)
            )
            return (
                f"<ShardSet mixed of {parts}, {height}x{width}x{channels}, "
                f"classes {heads or 'none'}>"
            )
        return (
            f"<ShardSet of {counted(len(self), 'record')} in {counted(len(self.shards), 'shard')}, "
            f"{height}x{width}x{channels}, classes {heads or 'none'}>"
        )

    def __getitem__(self, index: int) -> Any:
        """Return one record: the image, uint8 (height, width, channels), and its label.

        As of `batches`: several labels are a list, and without one there is the image alone, as a
        tuple of one. A label is a number, or an array of them.
        """
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        pixels = np.empty((1, self.layout.image_bytes), dtype=np.uint8)
        integers = self._records_source.fetch(np.array([number % len(self)]), pixels)
        wrong = wrong_label(integers, self.labels)
        if wrong is not None:
            raise DatasetError(f"{self.place(number % len(self))}: {wrong[1]}")
        image = pixels[0].reshape(self.shape)
        form = BatchForm.of([label.name for label in self.labels], as_dict=False)
        found = [of_all[0] for of_all in label_arrays(integers, self.labels)]
        labels = [value if value.ndim else value.item() for value in found]
        return form.for_arrays(BatchParts(image, labels))

    @shows_options
    def options(self, batch_size: int = 128, **options: Unpack[BatchKeywords]) -> BatchOptions:
        """Complete the options of a stream of batches.

        From HDFS or another URL the default order is `window`: there each record of an `exact`
        order is a request of its own.
        """
        refuse_unknown(set(options))
        if not self.is_local:
            options.setdefault("shuffle", "window")
        complete = BatchOptions(batch_size=batch_size, **options)
        if complete.weights is None:
            return complete
        return replace(complete, weights=self._draws(complete.weights))

    def class_weights(self, label: str) -> NDArray[np.float32]:
        """Return weights for a loss by which all classes of a label count the same, (classes,).

        They are scikit-learn's "balanced": n / (k * n_c) for the n_c of n records that have class
        c, where k classes are seen. Classes that are not seen get 0. Raises OptionError for a
        label that has no classes, or where their number is not known.
        """
        if self.mix is not None:
            raise OptionError("class_weights are those of the members of a mix: ask each of them")
        head = class_label(label, self.labels, "class_weights")
        if not head.classes:
            raise OptionError(
                f"class_weights needs the number of classes of {label}, and there is no "
                "dataset.json beside the shards; give classes= to open_shards"
            )
        return balanced(self.labels_of(label), head.classes).astype(np.float32)

    def _draws(self, weights: RecordWeights) -> KeptArray:
        if self.mix is not None:
            raise OptionError(
                "weights of records are not for a mix, whose members have weights of their own"
            )
        return draws_of(
            weights,
            records=len(self),
            labels=self.labels,
            labels_of=self.labels_of,
            fingerprint=self.fingerprint,
            version=self._version,
            place=self.place,
        )

    def labels_of(self, head: str) -> NDArray[Any]:
        """Return the labels of a head of one integer, of all records: int32 (records,), read-only.

        They come from records.parquet or, without it, of one pass over the shards, and are kept in
        the cache folder.
        """
        place = [label.name for label in self.labels].index(head)
        column = columns_of([label.kind for label in self.labels])[place].start

        def fill(labels: NDArray[np.int32]) -> None:
            if self._labels_from_table(head, labels):
                return
            pixels = np.empty((_PASS, self.layout.image_bytes), dtype=np.uint8)
            for start in range(0, len(self), _PASS):
                ids = np.arange(start, min(start + _PASS, len(self)))
                labels[ids] = self._records_source.fetch(ids, pixels)[:, column]

        made_of = f"labels {self.fingerprint} {head}"
        kept = keep_array(made_of, (len(self),), np.int32, fill, version=self._version)
        return kept.array

    @property
    def _version(self) -> str:
        """What storage says of shards that no manifest describes: they may be written anew."""
        shards = self.shards
        return repr([(x.path, x.identity, x.size) for x in shards if x.entry is None])

    def _labels_from_table(self, head: str, labels: NDArray[np.int32]) -> bool:
        """Fill `labels` from records.parquet; returns False where it cannot be used."""
        manifest = self.manifest
        if manifest is None or manifest.records is None or not self.shards:
            return False
        starts = np.cumsum([0, *(entry.records for entry in manifest.shards)]).tolist()
        begins = dict(zip((entry.file for entry in manifest.shards), starts, strict=False))
        places = [(begins[name_of(shard.path)], shard.records) for shard in self.shards]
        path = join(folder_of(self.shards[0].path), RECORDS)
        return RecordLabels(path, manifest.records).read(head, places, labels)

    @shows_options
    def batches(self, batch_size: int = 128, **options: Unpack[BatchKeywords]) -> Batches:
        """Iterate over batches in NumPy.

        A batch is `(x, [y0, y1, ...])`, with one head `(x, y)` and without any `(x,)`: `x` is
        (batch, height, width, channels), float32 in [0, 1] or uint8; each label is int32 (batch,)
        or, with `one_hot`, float32 (batch, classes); a label of floats is float32, and a vector
        (batch, length). With `rows` the last element holds the rows of the input table, int64
        (batch,). With `as_dict` a batch is `{"image": x, "y0": y0, ...}`, with `weight` and `row`
        where asked for. A batch is the caller's to keep and to change. The keyword arguments are
        those of `BatchOptions`.
        """
        return Batches(self, self.options(batch_size, **options))

    @shows_options
    def to_tf_dataset(
        self, batch_size: int = 128, *, start_step: int = 0, **options: Unpack[BatchKeywords]
    ) -> tf.data.Dataset:
        """Make a `tf.data.Dataset` of batches; each pass over it is the next epoch.

        Its elements are `(x, (y0, y1, ...))`, with one head `(x, y)` and without any `x`; with
        `as_dict` they are `(x, {"y0": y0, ...})`, which models with named outputs want. With
        `rows` they have four elements, (x, labels, weights, rows): Keras would train with a third
        one as sample weights, and refuses a fourth. With `epochs` a pass is as many epochs. With
        `epochs=None` and `start_step` a pass begins after so many steps, counted from
        `start_epoch`. The keyword arguments are those of `BatchOptions`.
        """
        from reader.frameworks.tf_data import to_tf_dataset

        return to_tf_dataset(self, self.options(batch_size, **options), start_step)

    @shows_options
    def to_torch(
        self,
        batch_size: int = 128,
        *,
        channels_first: bool = False,
        **options: Unpack[BatchKeywords],
    ) -> TorchBatches:
        """Make a `torch.utils.data.IterableDataset` of batches; each pass is the next epoch.

        Its items are those of `batches`, as tensors that share the memory of the arrays; integer
        labels are int64. With `channels_first` `x` is a view, (batch, channels, height, width).
        For a DataLoader give `batch_size=None`. The keyword arguments are those of `BatchOptions`.
        """
        from reader.frameworks.torch_dataset import TorchBatches

        return TorchBatches(
            self, self.options(batch_size, **options), channels_first=channels_first
        )

    @shows_options
    def to_keras(
        self, batch_size: int = 128, *, start_step: int = 0, **options: Unpack[BatchKeywords]
    ) -> keras.utils.PyDataset:
        """Make a `keras.utils.PyDataset` of batches; each epoch of `fit` is the next one.

        Its items are the elements of `to_tf_dataset`. Give `fit` `shuffle=False`, or it puts the
        batches into an order of its own. `start_step` is that of `to_tf_dataset`. The keyword
        arguments are those of `BatchOptions`.
        """
        from reader.frameworks.keras_dataset import KerasBatches

        return KerasBatches(self, self.options(batch_size, **options), start_step)
