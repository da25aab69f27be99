"""What limits, judged from rates that are given."""

from __future__ import annotations

from typing import Any

import pytest

from reader.measure.findings import Demand, Findings, ModelPass
from reader.measure.verdict import verdict
from shardio.measure.measured import Measured


def rate(images: float) -> Measured:
    return Measured(round(images), 1.0, 0.5)


def findings(**changed: Any) -> Findings:
    """A local set of raw pixels on a fast disk, which a step takes 10,000 images/s of."""
    found = Findings(
        order="exact",
        dtype="float32",
        batch_size=128,
        encoded=False,
        ours=True,
        is_local=True,
        fits=True,
        storage={
            "in sequence, cold": rate(100_000),
            "at random, cold": rate(50_000),
            "in sequence, warm": rate(800_000),
        },
        decoding=rate(3_000_000),
        warm={order: rate(500_000) for order in ("exact", "window", "none")},
        cold={"exact": rate(45_000), "window": rate(90_000), "none": rate(90_000)},
        bare=rate(1_500_000),
        adaptors={"NumPy": rate(500_000), "tf.data": rate(90_000), "keras": rate(110_000)},
        demand=Demand(10_000, "a step of 12.8 ms"),
    )
    for name, value in changed.items():
        setattr(found, name, value)
    return found


def fed(alone: float, with_data: float, read: float, held: float = 0.0) -> dict[str, Any]:
    taken = ModelPass(rate(alone), rate(with_data), rate(read), held, "tf.data")
    return {"model": taken, "demand": Demand(alone, "the model")}


CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "all is fast enough": ({}, "model", "the model itself is the limit"),
    "a disk that is too slow": (
        {"demand": Demand(60_000, "a step")},
        "storage",
        'shuffle="window" gives 90,000',
    ),
    "a set larger than memory is slow in every epoch": (
        {"demand": Demand(60_000, "a step"), "fits": False},
        "storage",
        "shardio-read stage",
    ),
    "float32 is too slow, and uint8 is not": (
        {"demand": Demand(1_000_000, "a step"), "cold": {}, "storage": {}},
        "decoding",
        'dtype="uint8"',
    ),
    "images that are decoded": (
        {
            "encoded": True,
            "bare": None,
            "decoding": rate(450),
            "warm": {order: rate(400) for order in ("exact", "window", "none")},
            "cold": {order: rate(380) for order in ("exact", "window", "none")},
        },
        "decoding",
        "without --encode",
    ),
    "images of other tools that are decoded, from a slow disk, too": (
        {
            "encoded": True,
            "ours": False,
            "bare": None,
            "decoding": rate(450),
            "warm": {order: rate(400) for order in ("exact", "window", "none")},
            "cold": {order: rate(300) for order in ("exact", "window", "none")},
        },
        "decoding",
        "shardio-convert make shards",
    ),
    "a mount that keeps nothing in memory": (
        {
            "storage": {name: rate(900) for name in ("in sequence, cold", "at random, cold")},
            "warm": {order: rate(800) for order in ("exact", "window", "none")},
            "cold": {order: rate(800) for order in ("exact", "window", "none")},
            "bare": rate(800),
        },
        "storage",
        "cache=",
    ),
    "a server that is slow": (
        {
            "is_local": False,
            "order": "window",
            "storage": {"in sequence": rate(3_000), "at random": rate(200)},
            "decoding": None,
            "warm": {"exact": rate(200), "window": rate(2_800), "none": rate(2_900)},
            "cold": {},
            "bare": rate(2_900),
        },
        "storage",
        "cache=",
    ),
    "a server that is fast, and images that are decoded": (
        {
            "is_local": False,
            "order": "window",
            "encoded": True,
            "storage": {"in sequence": rate(9_000), "at random": rate(900)},
            "decoding": None,
            "warm": {"exact": rate(350), "window": rate(400), "none": rate(400)},
            "cold": {},
            "bare": None,
        },
        "decoding",
        "raw pixels",
    ),
    "adaptors that are all too slow": (
        {"demand": Demand(200_000, "a step"), "cold": {}, "storage": {}},
        "adaptor",
        "to_keras is the limit",
    ),
    "nobody says what is wanted": ({"demand": None}, "storage", "--step-ms"),
    "nobody says what is wanted, of files in memory": (
        {"demand": None, "cold": {}, "storage": {}},
        "decoding",
        "--step-ms",
    ),
    "a model that is slow": (fed(900, 890, 90_000), "model", "the model takes 900"),
    "a slow model that holds the lock without harm": (
        fed(900, 890, 90_000, held=0.95),
        "model",
        "the model itself",
    ),
    "a model that holds the lock": (fed(900, 500, 1_000, held=0.95), "lock", "num_workers"),
    "a model that needs the cores": (fed(20_000, 9_000, 60_000), "cores", "2 cores"),
    "a model that is faster than its adaptor": (
        fed(80_000, 40_000, 42_000, held=0.2) | {"cold": {}, "storage": {}},
        "adaptor",
        "larger batch_size",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_limit_is_named_with_what_changes_it(case: str) -> None:
    changed, stage, words = CASES[case]
    judged = verdict(findings(cores=2, **changed))
    assert judged.stage == stage, judged.sentence
    assert words in judged.sentence
    assert "\n" not in judged.sentence
    if stage == "storage":
        once = changed.get("is_local", True) and changed.get("fits", True) and "mount" not in case
        assert ("the first epoch only" in judged.sentence) == once


def test_a_busy_machine_is_said_with_the_verdict() -> None:
    case = "a model that is slow"
    changed, stage, words = CASES[case]
    for doubts, said in (
        ({"others": 0.77}, "other programs took 77% of this machine's CPU time"),
        ({"unsteady": ["exact", "keras"]}, "exact and keras had another rate at each try"),
    ):
        judged = verdict(findings(cores=2, **changed, **doubts))
        assert judged.stage == stage
        assert words in judged.sentence
        assert said in judged.sentence
        assert "\n" not in judged.sentence
    assert "measure again" not in verdict(findings(cores=2, **changed, others=0.05)).sentence
