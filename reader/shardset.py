"""An opened set of shards: how many records, one of them, or batches of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from reader.batching.batch_form import BatchForm, BatchParts
from reader.batching.batches import Batches
from reader.batching.keywords import BatchKeywords, shows_options
from reader.batching.label_arrays import label_arrays, wrong_label
from reader.batching.options import BatchOptions, refuse_unknown
from reader.dataset import Dataset
from reader.sets.choice import Choice, Ids, chosen, number_of, whole
from reader.sets.conditions import Condition
from reader.sets.draws import RecordWeights, draws_of, loss_weights
from reader.sets.kept_array import KeptArray
from reader.sets.record_columns import Records
from reader.sets.selection import Selection
from shardio.errors import DatasetError, OptionError
from shardio.format.layout import ROW
from shardio.grammar import counted

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from reader.frameworks.torch_dataset import TorchBatches


@dataclass(frozen=True, repr=False)
class ShardSet(Dataset):
    """Shards for training: records, and batches for every framework; made by `open_shards`.

    What it holds is described by `Dataset`.
    """

    def __repr__(self) -> str:
        height, width, channels = self.shape
        of = "" if self.choice is None else f" of {self.stored_records:,}"
        heads = ", ".join(
            f"{label.name}: {(label.classes or 'not known') if label.kind.is_class else label}"
            for label in self.labels
        )
        if self.mix is not None:
            return (
                f"<ShardSet mixed of {self.mix.members}, {height}x{width}x{channels}, "
                f"classes {heads or 'none'}>"
            )
        return (
            f"<ShardSet of {counted(len(self), 'record')}{of} in "
            f"{counted(len(self.shards), 'shard')}, {height}x{width}x{channels}, "
            f"classes {heads or 'none'}>"
        )

    def __getitem__(self, index: Any) -> Any:
        """Return one record, or the set of some of them.

        One record is the image (height, width, channels), uint8 or the floats of a set that holds
        such, and its label, as of `batches`:
        several labels are a list, and without one there is the image alone, as a tuple of one. A
        label is a number, or an array of them.

        A slice, a list of numbers or a mask, as in NumPy, gives a smaller set that does all that
        this one does. A set of a range takes no memory, one of a list 8 bytes for each record,
        which above 1 MB lie in a file in the cache folder. Raises IndexError for numbers that there
        are not, and OptionError for what is no index or names a record twice.
        """
        number = number_of(index)
        if number is None:
            if self.mix is not None:
                raise OptionError("a mix has no parts by number: mix those of its members")
            return self._part(chosen(self.chosen, index))
        if not -len(self) <= number < len(self):
            raise IndexError(f"record {number} of {len(self)}")
        stored = int(self.chosen.ids(np.array([number % len(self)]))[0])
        pixels, integers = self._read(np.array([stored]))
        image = pixels[0].reshape(self.shape)
        form = BatchForm.of([label.name for label in self.labels], as_dict=False)
        found = [of_all[0] for of_all in label_arrays(integers, self.labels)]
        labels = [value if value.ndim else value.item() for value in found]
        return form.for_arrays(BatchParts(image, labels))

    def _part(self, choice: Choice) -> ShardSet:
        """Return the set of the records of a choice."""
        mix = None if self.mix is None else self.mix.part(choice)
        everything = choice == whole(self.stored_records)
        return replace(self, choice=None if everything else choice, mix=mix)

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
        complete.check_dtype(self.kind.image_dtype)
        if complete.weights is None:
            return complete
        return replace(complete, weights=self._draws(complete.weights))

    def class_weights(self, label: str) -> NDArray[np.float32]:
        """Return weights for a loss by which all classes of a label count the same, (classes,).

        They are scikit-learn's "balanced": n / (k * n_c) for the n_c of n records that have class
        c, where k classes are seen. Classes that are not seen get 0. Raises OptionError for a
        label that has no classes, or where their number is not known, and DatasetError for a
        record whose label is none of them.
        """
        if self.mix is not None:
            raise OptionError("class_weights are those of the members of a mix: ask each of them")
        return loss_weights(label, self.labels, self.labels_of, self._place_of)

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
            version=self.version,
            place=self._place_of,
        )

    def _place_of(self, number: int) -> str:
        """Name the shard of a record of this set, and its number there."""
        return self.place(int(self.chosen.ids(np.array([number]))[0]))

    def where(self, condition: Condition | None = None, /, **heads: Any) -> ShardSet:
        """Return the set of the records that have some labels, in constant memory.

        `where(y0=17)`, `where(y0=[1, 2], split="val")`: a label is one of those named, by number or
        text, and a split too. `where(lambda labels: labels["score"] > 0.5)`: the function is called
        with the labels of some records at a time, arrays by head as `labels_array` has them, and
        `row`; it returns a bool for each. With several conditions all of them hold.

        The labels come from records.parquet (extra [table]) or one pass over the shards, and are
        kept in the cache folder. Raises OptionError for what no record can have.
        """
        return self._part(self._selection.where(condition, heads))

    def drop(self, *, rows: Sequence[Any] | str | os.PathLike[str]) -> ShardSet:
        """Return the set without the records of some rows of the input table.

        Of a join and a mix a row is a pair: the number of the member, and the row in its table.
        `rows` may also name a file that lists them, as `shardio-read browse` makes it; paths in it
        are compared with those of the set. Raises OptionError for rows that the set does not have,
        or has of another path, and FormatError for a file that is no list.
        """
        return self._part(self._selection.drop(rows))

    def labels_array(self) -> dict[str, NDArray[Any]]:
        """Return the labels of all records by head, and `row`, read-only.

        A label of one integer is int32 (records,), a float float32, a vector (records, length), and
        the rows int64. Arrays above 1 MB are files in the cache folder that are mapped.
        """
        names = [*(label.name for label in self.labels), ROW]
        return {name: self.labels_of(name) for name in names}

    def table(self) -> Any:
        """Return a pyarrow.Table with a row for each record: where it is, and its labels.

        Its columns are those of records.parquet: split, shard, number, row, path and each label; of
        a set without that file paths are null. Raises MissingExtraError without pyarrow.
        """
        return self._selection.table()

    def labels_of(self, label: str) -> NDArray[Any]:
        """Return the values of one head, or the rows (`row`), as `labels_array` does."""
        return self._selection.values(label)

    @property
    def _selection(self) -> Selection:
        return Selection(self._all_records, self.chosen)

    @property
    def _all_records(self) -> Records:
        """The records of the shards, chosen or not."""

        everything = [replace(member, choice=None) for member in self.members]
        name = replace(self, choice=None, mix=None, members=tuple(everything)).fingerprint
        name += self.version
        members = [m._all_records for m in self.members if isinstance(m, ShardSet)]
        return Records(
            name, self.shards, self.labels, self.manifest, members, lambda ids: self._read(ids)[1]
        )

    def _read(self, ids: Ids) -> tuple[NDArray[Any], Ids]:
        """Return pixels and numbers of stored records; DatasetError for a wrong label."""
        pixels = np.empty((len(ids), self.layout.image_bytes), dtype=self.kind.image_dtype)
        numbers = self._records_source.fetch(ids, pixels)
        wrong = wrong_label(numbers, self.labels)
        if wrong is not None:
            at, what = wrong
            raise DatasetError(f"{self.place(int(ids[at]))}: {what}")
        return pixels, numbers

    @shows_options
    def batches(self, batch_size: int = 128, **options: Unpack[BatchKeywords]) -> Batches:
        """Iterate over batches in NumPy.

        A batch is `(x, [y0, y1, ...])`, with one head `(x, y)` and without any `(x,)`: `x` is
        (batch, height, width, channels), float32 in [0, 1] or uint8; each label is int32 (batch,)
        or, with `one_hot`, float32 (batch, classes); a label of floats is float32, and a vector
        (batch, length). With `rows` the last element holds the rows of the input table, int64
        (batch,), or (batch, 2) of a mix: member and row. With `as_dict` a batch is `{"image": x,
        "y0": y0, ...}`, with `weight` and `row` where asked for. A batch is the caller's to keep
        and to change. The keyword arguments are those of `BatchOptions`.
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
