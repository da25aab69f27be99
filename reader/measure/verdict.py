"""Which stage limits a training, and the option that changes it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reader.measure.adaptors import CALLED, NUMPY, TF_DATA
from reader.measure.findings import Demand, Findings
from shardio.measure.others import AGAIN, busy

STORAGE, DECODING, ADAPTOR, MODEL, LOCK, CORES = (
    "storage", "decoding", "adaptor", "model", "lock", "cores",
)  # fmt: skip
# Two rates that differ less are taken for the same.
_SAME = 0.85
# With a step that holds the interpreter's lock, so little is enough.
_LOCKED = 0.92
# From here on another order, or dtype, is worth to be named.
_WORTH = 1.3
# A step that holds the interpreter's lock for such a share of its time.
_HELD = 0.5
# Storage that gives no more than so many times what batches come at is what they wait for.
_NEAR = 2.0
# Batches that come so much slower than records that are held in memory wait for storage each time.
_UNCACHED = 0.25


@dataclass(frozen=True)
class Verdict:
    """The stage that limits, and a sentence that says so and names what changes it."""

    stage: str
    sentence: str


def verdict(found: Findings) -> Verdict:
    """Judge what was measured, and say so where other work may have made it what it is."""
    judged = _judged(found)
    doubt = _doubt(found)
    return replace(judged, sentence=f"{judged.sentence}. {doubt}") if doubt else judged


def _doubt(found: Findings) -> str:
    why = busy(found.others)
    if not why and found.unsteady:
        why = f"{' and '.join(found.unsteady)} had another rate at each try, as on a busy machine"
    return f"But {why}, {AGAIN}" if why else ""


def _judged(found: Findings) -> Verdict:
    if found.model is not None and found.demand is not None:
        return _of_model(found, found.demand)
    if found.demand is not None:
        return _of_demand(found, found.demand)
    stage = _slower(found, float("inf"))
    what = _decoding(found) if stage == DECODING else _storage(found, None)
    return Verdict(
        stage,
        f"nothing says how fast batches are wanted (--step-ms, --model); of the stages here {what}",
    )


def _of_model(found: Findings, demand: Demand) -> Verdict:
    model = found.model
    assert model is not None
    alone, fed, read = (each.rate for each in (model.alone, model.fed, model.read))
    if model.held >= _HELD and fed < _LOCKED * min(alone, read):
        return Verdict(
            LOCK,
            f"the model's step holds the interpreter's lock for {model.held:.0%} of its time, "
            f"so that batches wait for it: fed it takes {fed:,.0f} images/s, and {alone:,.0f} "
            "alone; read in processes of their own: DataLoader(shards.to_torch(batch_size), "
            "batch_size=None, num_workers=2), which Keras's fit takes, too",
        )
    if fed < _SAME * min(alone, read) and read >= alone:
        return Verdict(
            CORES,
            f"the model's step and the reading share {found.cores} cores: fed it takes "
            f"{fed:,.0f} images/s, and {alone:,.0f} alone; give the reading less to do "
            f"({_less(found)}), or the machine more cores",
        )
    if read < alone and read < _SAME * _warm(found) and _warm(found) >= alone:
        return Verdict(ADAPTOR, _adaptor(found, model.face, read, demand))
    return _of_demand(found, demand)


def _of_demand(found: Findings, demand: Demand) -> Verdict:
    stage = _slower(found, demand.rate)
    if stage == STORAGE:
        return Verdict(STORAGE, _storage(found, demand))
    if stage == DECODING:
        return Verdict(DECODING, f"{_decoding(found)}; {demand.of} takes {demand.rate:,.0f}")
    faces = {name: rate for name, rate in found.adaptors.items() if name != NUMPY}
    slow = {name: rate.rate for name, rate in faces.items() if rate.rate < demand.rate}
    if found.model is None and slow and len(slow) == len(faces):
        best = max(slow, key=lambda name: slow[name])
        return Verdict(ADAPTOR, _adaptor(found, best, slow[best], demand))
    times = _warm(found) / demand.rate if demand.rate else float("inf")
    but = "".join(f"; {CALLED[name]} gives {rate:,.0f} only" for name, rate in slow.items())
    if found.model is not None:
        but = ""
    return Verdict(
        MODEL,
        f"the model itself is the limit: {demand.of} takes {demand.rate:,.0f} images/s, and they "
        f"come up to {times:,.1f} times as fast, so that no option of the reading changes it; a "
        f"faster step does (a larger batch_size, mixed precision){but}",
    )


def _slower(found: Findings, wanted: float) -> str:
    """Return which of storage and decoding is slower than wanted, the slower one; or nothing."""
    warm = _warm(found)
    cold = found.cold[found.order].rate if found.order in found.cold else warm
    if min(cold, warm) >= wanted:
        return ""
    pattern = "at random" if found.order == "exact" else "in sequence"
    bytes_come = found.storage.get(f"{pattern}, cold" if found.cold else pattern)
    if bytes_come is not None and cold < wanted and bytes_come.rate < _NEAR * warm:
        fast = warm if found.bare is None else found.bare.rate
        held = found.decoding is None or fast < _UNCACHED * found.decoding.rate
        if cold < _SAME * warm or held:
            return STORAGE
    return DECODING if warm < wanted else STORAGE


def _warm(found: Findings) -> float:
    return found.warm[found.order].rate


def _storage(found: Findings, demand: Demand | None) -> str:
    measured = found.cold if found.is_local else found.warm
    rate = measured[found.order].rate
    than = "" if demand is None else f", and {demand.of} takes {demand.rate:,.0f}"
    where = "" if not found.is_local else ", cold,"
    first = f"storage{where} is the slowest: it gives {rate:,.0f} images/s{than}"
    if demand is not None:
        first = f"storage{where} is the limit: it gives {rate:,.0f} images/s{than}"
    faster = {name: each.rate for name, each in measured.items() if each.rate >= _WORTH * rate}
    ways = []
    if found.order == "exact" and "window" in faster:
        ways.append(f'shuffle="window" gives {faster["window"]:,.0f}')
    ways.append(
        'open_shards(..., cache="/ssd/cache") or `shardio-read stage` keeps the shards on a fast '
        "disk"
    )
    if found.is_local and found.fits and _warm(found) >= _WORTH * rate:
        ways.append(
            "without them that holds for the first epoch only, since the set fits in memory: "
            f"{_warm(found):,.0f} from there"
        )
    return "; ".join([first, *ways])


def _decoding(found: Findings) -> str:
    what = "decoding" if found.encoded else "making batches"
    return (
        f"{what} is the limit: {_warm(found):,.0f} images/s, at "
        f"{found.warm[found.order].cpu_per_million:,.0f} CPU seconds a million; {_less(found)}"
    )


def _less(found: Findings) -> str:
    """Name what makes reading cheaper."""
    ways = []
    if found.encoded and found.ours:
        ways.append("convert again without --encode, as raw pixels need no decoding")
    elif found.encoded:
        ways.append("let shardio-convert make shards of raw pixels, which need no decoding")
    if found.bare is not None and found.bare.rate >= _WORTH * _warm(found):
        ways.append(f'dtype="uint8", scaled on the device, gives {found.bare.rate:,.0f} images/s')
    if not ways:
        ways.append("smaller images, or more cores")
    return ", or ".join(ways)


def _adaptor(found: Findings, face: str, rate: float, demand: Demand) -> str:
    larger = "a larger batch_size" if face == TF_DATA else "to_tf_dataset, or a larger batch_size"
    if face not in (TF_DATA, "keras"):
        larger = "a larger batch_size, or DataLoader(..., num_workers=2)"
    return (
        f"{CALLED[face]} is the limit: it gives {rate:,.0f} images/s where NumPy gives "
        f"{_warm(found):,.0f}, and {demand.of} takes {demand.rate:,.0f}; {larger} costs less an "
        "image"
    )
