"""The options of a stream of batches."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from reader.batching.rank import current_worker, scoped_worker
from reader.dataset import Dataset
from reader.sets.draws import RecordWeights
from reader.sets.kept_array import KeptArray
from shardio.errors import OptionError
from shardio.sizes import parse_bytes

_WHOLE_NUMBERS = (
    "batch_size", "seed", "epochs", "start_epoch", "transform_threads", "block", "window", "lanes",
)  # fmt: skip
_FLAGS = ("one_hot", "drop_remainder", "pad", "rows", "as_dict", "verify")
# `f(x, ys, rng) -> (x, ys)`
TransformFunction = Callable[[NDArray[Any], Any, np.random.Generator], tuple[NDArray[Any], Any]]
Shuffle = Literal["exact", "window", "none"]
Dtype = Literal["float32", "uint8"]
OnError = Literal["raise", "skip"]

SHUFFLES: tuple[Shuffle, ...] = get_args(Shuffle)
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
ON_ERROR: tuple[OnError, ...] = get_args(OnError)
_CHOICES = {"shuffle": SHUFFLES, "on_error": ON_ERROR}
_LEAST = dict.fromkeys(("batch_size", "transform_threads", "block", "window", "lanes"), 1)
_LEAST["start_epoch"] = 0


@dataclass(frozen=True, kw_only=True)
class BatchOptions:
    """What batches look like and in which order they come.

    Raises OptionError for values that cannot be right.
    """

    batch_size: int = 128
    """Records of a batch."""
    shuffle: Shuffle = "exact"
    """`exact` is a new permutation of all records in every epoch; `window` reads whole blocks in
    random order and shuffles within a window of them, the default of a set that is opened from a
    URL; `none` is as stored."""
    seed: int = 1
    """Names the permutations, 0 to 2^63 - 1."""
    epochs: int | None = 1
    """The number of epochs of a pass; None goes on for ever."""
    start_epoch: int = 0
    """The number of the first epoch."""
    dtype: Dtype = "float32"
    """Of the images: `float32` in [0, 1], or `uint8`. Images that are stored as floats are float32
    with their own values."""
    labels: Sequence[str] | None = None
    """The names of the heads to read, in the order in which they are wanted; None takes all, and
    [] none."""
    transform: TransformFunction | None = None
    """Called as `f(x, ys, rng)` on every batch in NumPy, before `one_hot` and `channels_first`,
    returns `(x, ys)`; it may change x in place. `rng` depends on seed, epoch and position."""
    transform_threads: int = 1
    """How many threads call `transform` at once; the batches keep their order."""
    one_hot: bool = False
    """Give labels of one integer as float32 (batch, classes)."""
    drop_remainder: bool = True
    """Leave out a last batch that is not full."""
    pad: bool = False
    """Fill up a last batch that is not full, and add weights as a third element: 0 for what was
    filled up, and positions/records of an epoch for a record, so that the mean of weighted losses
    over all positions is that of the records."""
    rows: bool = False
    """Add the row ids of the input table as the last element."""
    as_dict: bool = False
    """Name the parts of a batch."""
    verify: bool = True
    """Compare the CRC of every record."""
    on_error: OnError = "raise"
    """With `skip` a damaged record is counted, reported and replaced by another one."""
    max_skipped: float = 0.01
    """How many records `skip` may leave out in a process and an epoch: a whole number, or a share,
    0.0 to 1.0, of what the process reads."""
    worker: tuple[int, int] | None = None
    """(rank, world): each of `world` workers gets `batch_size` records of every step. None asks
    torch.distributed, TF_CONFIG or JAX, where one of them is initialised, as late as it can."""
    memory: int | str | None = None
    """Bounds what the reader owns, in bytes or like "512MB"."""
    block: int | None = None
    """Records of a block of `window`; None takes some 4 MB."""
    window: int | None = None
    """Blocks that `window` shuffles together in each lane; None takes what `memory` allows, or
    16."""
    lanes: int | None = None
    """Lanes to which `window` deals blocks, a multiple of the workers; None takes one for each."""
    weights: RecordWeights | None = None
    """How often records come: `{"y0": "balanced"}`, `{"y0": {17: 5.0}}` or an array with a weight
    for each record. An epoch is then as many draws as the set has records, with replacement."""

    def __post_init__(self) -> None:
        for name in _WHOLE_NUMBERS:
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        if self.transform is not None and not callable(self.transform):
            raise OptionError(f"transform must be a function, not {self.transform!r}")
        if self.labels is not None:
            object.__setattr__(self, "labels", _names(self.labels))
        if self.memory is not None:
            object.__setattr__(self, "memory", parse_bytes(self.memory, "memory"))
        # What cannot be right for the worker of now is seen when options are made, but the worker
        # that nobody gave may be another one when the first batch is made. A scope may have ended.
        worker = current_worker() if self.worker is None else self.worker
        if self.worker is None and scoped_worker() is not None:
            object.__setattr__(self, "worker", worker)
        try:
            rank, world = worker
        except (TypeError, ValueError) as error:
            raise OptionError(f"worker must be (rank, world), not {self.worker!r}") from error
        rank, world = _whole("rank", rank), _whole("world", world)
        if self.worker is not None:
            object.__setattr__(self, "worker", (rank, world))
        if not 0 <= self.seed < 2**63:
            raise OptionError(f"seed must be 0 to 2^63 - 1, not {self.seed}")
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(f"{name} must be at least {least}, not {value}")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                all_of_them = ", ".join(map(repr, choices))
                raise OptionError(f"{name} must be one of {all_of_them}, not {value!r}")
        if self.epochs is not None and self.epochs < 1:
            raise OptionError(f"epochs must be at least 1, or None, not {self.epochs}")
        object.__setattr__(self, "dtype", _dtype(self.dtype))
        for name in _FLAGS:
            if not isinstance(getattr(self, name), bool | np.bool_ | int):
                raise OptionError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.on_error == "skip" and not self.verify:
            raise OptionError('on_error="skip" needs verify=True: the CRCs tell what is damaged')
        if not self._limits_skips():
            raise OptionError(
                "max_skipped must be a number of records, such as 5, or a share of them from 0.0 "
                f"to 1.0, not {self.max_skipped!r}"
            )
        if not 0 <= rank < world:
            raise OptionError(f"worker must be (rank, world) with rank below world: {worker}")
        if world > 1 and not self.drop_remainder and not self.pad:
            raise OptionError(
                "several workers need drop_remainder=True or pad=True: the last records may not "
                "suffice for a batch each"
            )
        if self.weights is not None and self.shuffle == "window":
            raise OptionError(
                "weights are not for the order window: each record that is drawn would be a "
                "request of its own. Give open_shards cache=, or copy the set with shardio-read "
                'stage, and take shuffle="exact"'
            )
        if self.weights is not None and self.shuffle == "none":
            raise OptionError('weights draw records at random, so they need shuffle="exact"')
        lanes = self.lanes or world
        if self.shuffle == "window" and (lanes % world or self.batch_size * world % lanes):
            raise OptionError(
                f"lanes must be a multiple of the {world} workers, and a divisor of the "
                f"{self.batch_size * world} records of a step: {lanes}. A state brings its own "
                "lanes; give a stream that more workers may go on with as many from its start"
            )

    def check_dtype(self, stored: Dtype) -> None:
        """Raise OptionError where images that are stored so cannot be given as wanted."""
        if stored == "float32" != self.dtype:
            raise OptionError(
                "the images of this set are floats, whose values batches have as they are: leave "
                'out dtype="uint8"'
            )

    def located(self) -> BatchOptions:
        """Return these options with the worker that this process is now, if none was given."""
        return self if self.worker is not None else replace(self, worker=self.share)

    @property
    def step_size(self) -> int:
        """Records that all workers together take in one step."""
        return self.batch_size * self.share[1]

    @property
    def share(self) -> tuple[int, int]:
        """Rank and number of workers: those given, or those of this process now."""
        return self.worker or current_worker()

    @property
    def full(self) -> bool:
        """Whether every batch has `batch_size` records."""
        return self.drop_remainder or self.pad

    def most_skipped(self, records: int) -> int:
        """Return how many of the `records` that a process reads in an epoch may be skipped."""
        most = self.max_skipped
        # Rounded: 0.29 * 100 is a little less than 29.
        return most if isinstance(most, int) else math.floor(round(most * records, 6))

    def _limits_skips(self) -> bool:
        most = self.max_skipped
        if isinstance(most, float):
            return 0 <= most <= 1
        return isinstance(most, int) and not isinstance(most, bool) and most >= 0

    @property
    def draws(self) -> KeptArray | None:
        """The alias table of the weights, once a set has made it: `ShardSet.options` does."""
        if self.weights is None or isinstance(self.weights, KeptArray):
            return self.weights
        raise OptionError("weights are those of a set: let ShardSet.options make the options")

    def positions(self, shards: Dataset) -> int:
        """Return how many positions an epoch has: one for each record, but of a mix."""
        if shards.mix is None:
            return len(shards)
        lanes = (self.lanes or self.share[1]) if self.shuffle == "window" else 1
        return shards.mix.length(self.step_size, lanes)

    def steps(self, positions: int) -> int:
        """Return the number of batches of one epoch of so many positions."""
        full, rest = divmod(positions, self.step_size)
        return full + (rest > 0 and (self.pad or not self.drop_remainder))


def refuse_unknown(names: set[str]) -> None:
    """Raise TypeError, with the option that was probably meant, where one of `names` is none."""
    known = [field.name for field in fields(BatchOptions)]
    for name in sorted(names - set(known)):
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
        raise TypeError(f"a stream of batches has no option {name!r}; {hint}")


def _names(labels: Any) -> tuple[str, ...]:
    """Return the names of labels as a tuple."""
    if isinstance(labels, str):
        raise OptionError(f"labels must be a list of names, such as [{labels!r}], not {labels!r}")
    names = tuple(labels) if isinstance(labels, Iterable) else (None,)
    if not all(isinstance(name, str) for name in names):
        raise OptionError(f'labels must be a list of names, such as ["y0"], not {labels!r}')
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise OptionError(f"labels names {twice[0]!r} twice")
    return names


def _dtype(value: Any) -> Dtype:
    """Return a dtype by its name, which NumPy's own may be."""
    for known in DTYPES:
        try:
            if np.dtype(known) == value:
                return known
        except TypeError:  # of what is no dtype at all
            continue
    raise OptionError(f"dtype must be one of {', '.join(map(repr, DTYPES))}, not {value!r}")


def _whole(name: str, value: Any) -> Any:
    """Return a whole number as Python's own, so that a state can be stored; None stays None."""
    may_be_none = name in ("epochs", "block", "window", "lanes")
    if value is None and may_be_none:
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise OptionError(f"{name} must be a whole number, not {value!r}") from None
