"""What a stream of batches says of where it is, for another one to go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reader.batching.options import BatchOptions
from reader.batching.place import Place
from shardio.errors import DatasetError, OptionError

STATE_VERSION = 1


def stream_state(options: BatchOptions, place: Place, fingerprint: str) -> dict[str, int | str]:
    """Return numbers and strings that any serializer takes."""
    return {
        "version": STATE_VERSION,
        "dataset": fingerprint,
        "shuffle": options.shuffle,
        "seed": options.seed,
        "epoch": place.epoch,
        "samples": place.samples,
        "block": options.block or 0,
        "window": options.window or 0,
        "lanes": options.lanes or 0,
    }


def check_state(
    state: Mapping[str, Any], known: Mapping[str, Any], options: BatchOptions, records: int
) -> None:
    """Refuse what a stream with these options, whose own state is `known`, cannot go on from.

    Raises DatasetError for a state of another set of shards, OptionError for all else.
    """
    if not isinstance(state, Mapping):
        raise OptionError(f"a state is what state_dict() returned, not {state!r}")
    wrong = [name for name, value in known.items() if not isinstance(state.get(name), type(value))]
    if wrong or state["version"] != STATE_VERSION:
        raise OptionError(
            f"this is no state of a stream of version {STATE_VERSION}: "
            f"{', '.join(wrong) or 'version'} is not as it should be"
        )
    if state["dataset"] != known["dataset"]:
        raise DatasetError("the state is of another set of shards: its samples are not here")
    epoch, samples, start = state["epoch"], state["samples"], options.start_epoch
    if not 0 <= samples <= records or epoch < 0:
        raise OptionError(f"sample {samples} of epoch {epoch} is none of ours")
    if epoch < start:
        raise OptionError(
            f"the state is in epoch {epoch}, and this stream starts with epoch {start}: give it "
            f"start_epoch={epoch}, or an earlier one"
        )
