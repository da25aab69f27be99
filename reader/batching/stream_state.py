"""What a stream of batches says of where it is, for another one to go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reader.batching.options import BatchOptions
from reader.batching.steps import Place
from reader.order.mixed import ROUND, MixStart
from shardio.errors import DatasetError, OptionError

STATE_VERSION = 1
# What only some streams have.
_OPTIONAL = {"weights": "weights", "places": "a mix"}
# How the steps are dealt to the processes of a DataLoader, in the state of one of them.
_PART = "part"


def stream_state(
    options: BatchOptions,
    place: Place,
    fingerprint: str,
    start: MixStart | None,
    positions: int,
    every: tuple[int, int] = (0, 1),
) -> dict[str, int | str]:
    """Return numbers and strings that any serializer takes.

    Those of a mix say where its weights began, which is `start`, and how many positions ago that
    was, with epochs of `positions`. A stream that makes a part of the steps, which `every` names,
    says how they are dealt.
    """
    state: dict[str, int | str] = {
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
    if every[1] > 1:
        state[_PART] = part_of(options, place, positions, every)
    if options.draws is not None:
        state["weights"] = options.draws.digest
    if start is not None:
        state["places"] = _text(start.places)
        state["given"] = _text(start.given)
        state["round"] = start.round
        state["position"] = start.position_of(place.epoch, place.samples, positions)
    return state


def part_of(options: BatchOptions, place: Place, positions: int, every: tuple[int, int]) -> str:
    """Say all that decides which steps are made by one of several streams that share them."""
    number, count = every
    return (
        f"{number} of {count}, steps of {options.step_size}, {options.steps(positions)} an epoch, "
        f"from epoch {place.first}"
    )


def mix_start(state: Mapping[str, Any]) -> MixStart:
    """Return where the weights of a mix began, of a state that was checked."""
    return MixStart(
        _numbers(state["places"]), _numbers(state["given"]),
        state["round"], state["position"], state["epoch"], state["samples"],
    )  # fmt: skip


def _text(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def check_state(
    state: Mapping[str, Any],
    known: Mapping[str, Any],
    options: BatchOptions,
    positions: int,
    every: tuple[int, int],
) -> None:
    """Refuse what a stream with these options, whose own state is `known`, cannot go on from.

    Raises DatasetError for a state of another set of shards, OptionError for all else.
    """
    if not isinstance(state, Mapping):
        raise OptionError(f"a state is what state_dict() returned, not {state!r}")
    for name, what in _OPTIONAL.items():
        if name in known and name not in state and "version" in state:
            raise OptionError(f"the state is of a stream without {what}, and this one has {what}")
        if name in state and name not in known:
            raise OptionError(f"the state is of a stream with {what}, and this one has none")
    wrong = [
        name
        for name, value in known.items()
        if name != _PART and not isinstance(state.get(name), type(value))
    ]
    if wrong or state["version"] != STATE_VERSION:
        raise OptionError(
            f"this is no state of a stream of version {STATE_VERSION}: "
            f"{', '.join(wrong) or 'version'} is not as it should be"
        )
    if state["dataset"] != known["dataset"]:
        raise DatasetError("the state is of another set of shards: its samples are not here")
    if state.get("weights") != known.get("weights"):
        raise OptionError(
            "the state is of a stream with other weights: give this one those, or begin another "
            "one with start_epoch="
        )
    if "places" in known and not _is_mix(state, len(_numbers(known["places"]))):
        raise OptionError("this is no state of a mix: places or given are not as they should be")
    epoch, samples, start = state["epoch"], state["samples"], options.start_epoch
    # The epochs of a mix may have been longer.
    if samples < 0 or epoch < 0 or (samples > positions and "places" not in known):
        raise OptionError(
            f"the state is at sample {samples} of epoch {epoch}, and epochs here have {positions}"
        )
    part = "all steps"
    if _PART in known:
        part = part_of(options, Place.of(options, epoch, samples), positions, every)
    if state.get(_PART, part) != part:
        raise OptionError(
            "the state is of one of several processes of a DataLoader, with another batch size, or "
            f"another number of workers or epochs, than here: it made {state[_PART]}, and this one "
            f"makes {part}. Give what it had; a state of num_workers=0 goes on with any"
        )
    if epoch < start:
        raise OptionError(
            f"the state is in epoch {epoch}, and this stream starts with epoch {start}: give it "
            f"start_epoch={epoch}, or an earlier one"
        )


def _is_mix(state: Mapping[str, Any], members: int) -> bool:
    """Whether the state holds numbers of a mix of so many members."""
    try:
        places, given = _numbers(state["places"]), _numbers(state["given"])
    except ValueError:
        return False
    whole = sum(places) == ROUND and min(places) >= 1 and min(given, default=-1) >= 0
    counts = state["round"] >= 0 and state["position"] >= 0
    return whole and counts and len(places) == len(given) == members
