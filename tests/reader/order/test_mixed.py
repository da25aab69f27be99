from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader.order.exact import Order, plain_order
from reader.order.mixed import ROUND, MixedOrder, MixStart, places_of
from reader.order.window import WindowOrder
from shardio.permutation import Permutation

LAWS = settings(deadline=None, max_examples=6)
SEED = 5


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=ROUND))
def test_a_round_is_dealt_to_all_by_their_shares(weights: list[float]) -> None:
    places = places_of(weights)
    assert sum(places) == ROUND
    assert min(places) >= 1
    # Larger weights never get less; of what the large ones share, nobody is off by a place.
    by_weight = [place for _, place in sorted(zip(weights, places, strict=True))]
    assert by_weight == sorted(by_weight)
    large = [(w, p) for w, p in zip(weights, places, strict=True) if p > 1]
    left, total = sum(p for _, p in large), sum(w for w, _ in large)
    assert all(abs(p - w / total * left) < 1 + 1e-6 for w, p in large if w / total * left >= 2)


@pytest.mark.parametrize(
    ("weights", "places"),
    [
        ([0.7, 0.3], (717, 307)),
        ([1], (1024,)),
        ([1, 1, 1], (342, 341, 341)),
        ([1e-9, 1], (1, 1023)),
        ([1e-9, 1e-9, 2, 1], (1, 1, 681, 341)),
    ],
)
def test_shares_are_pinned(weights: list[float], places: tuple[int, ...]) -> None:
    assert places_of(weights) == places


@dataclass(frozen=True)
class Case:
    """A mix of orders of `sizes` records; of the order `window` where there are lanes."""

    sizes: tuple[int, ...]
    weights: tuple[float, ...]
    lanes: int | None
    world: int
    length: int
    shuffle: str

    @property
    def turn(self) -> int:
        return self.lanes or 1

    @property
    def places(self) -> tuple[int, ...]:
        return places_of(self.weights)

    def member(self, number: int) -> Order | WindowOrder:
        if self.lanes:
            return WindowOrder(self.sizes[number], SEED, 4, 2, self.lanes)
        return plain_order(self.sizes[number], self.shuffle, SEED)

    def order(self, start: MixStart | None = None, length: int | None = None) -> MixedOrder:
        begins = np.cumsum((0, *self.sizes)).tolist()
        members = [(self.member(n), size, begins[n]) for n, size in enumerate(self.sizes)]
        start = start or MixStart.first(self.places)
        return MixedOrder(members, start, length or self.length, SEED, self.lanes)

    def judge(self, count: int) -> list[int]:
        """Give the first `count` records, a position after the other."""
        begins = np.cumsum((0, *self.sizes)).tolist()
        of_place = [m for m, count in enumerate(self.places) for _ in range(count)]
        whole: list[list[int]] = [[] for _ in self.sizes]
        epochs = [0] * len(self.sizes)
        found: list[int] = []
        number = 0
        while len(found) < count:
            places = Permutation(ROUND, SEED, f"mix {number}")(np.arange(ROUND)).tolist()
            for place in places:
                member = of_place[place]
                for _ in range(self.turn):
                    if not whole[member]:
                        order, size = self.member(member), self.sizes[member]
                        whole[member] = order.share(epochs[member], 0, size, 0, 1).tolist()[::-1]
                        epochs[member] += 1
                    found.append(begins[member] + whole[member].pop())
            number += 1
        return found[:count]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    members = draw(st.integers(1, 4))
    lanes = draw(st.sampled_from([None, 1, 2, 4]))
    return Case(
        tuple(draw(st.lists(st.integers(40, 900), min_size=members, max_size=members))),
        tuple(draw(st.lists(st.floats(1e-3, 1), min_size=members, max_size=members))),
        lanes,
        draw(st.sampled_from([1, 2, 4])) if lanes in (None, 4) else 1,
        4 * draw(st.integers(1, 250)),
        draw(st.sampled_from(["exact", "none"])),
    )


@LAWS
@given(cases())
def test_a_mix_is_that_of_plain_counting(case: Case) -> None:
    """Shares exact in each round, each member in its own order, epochs one after the other."""
    order = case.order()
    epochs = [order.share(epoch, 0, case.length, 0, 1).tolist() for epoch in range(3)]
    assert list(chain(*epochs)) == case.judge(3 * case.length)


@LAWS
@given(cases(), st.integers(1, 5), st.integers(0, 3))
def test_workers_together_take_each_step_of_the_one_order(
    case: Case, size: int, epoch: int
) -> None:
    whole = case.order().share(epoch, 0, case.length, 0, 1).tolist()
    orders = [case.order() for _ in range(case.world)]
    step = 4 * size * case.world
    for start in islice(range(0, case.length - step + 1, step), 20):
        parts = [
            order.share(epoch, start, start + step, rank, case.world).tolist()
            for rank, order in enumerate(orders)
        ]
        assert {len(part) for part in parts} == {step // case.world}
        if case.lanes is None:
            assert list(chain(*parts)) == whole[start : start + step]
        else:
            # Turn by turn, the lanes of a worker one after the other.
            owned = case.lanes // case.world
            turns = [np.reshape(part, (-1, owned)) for part in parts]
            assert np.concatenate(turns, axis=1).ravel().tolist() == whole[start : start + step]


@LAWS
@given(cases(), st.data())
def test_it_goes_on_from_any_place(case: Case, data: st.DataObject) -> None:
    """From the start that a state keeps, also with epochs of another length from there on."""
    turn, length = case.turn, case.length
    epoch = data.draw(st.integers(0, 2))
    samples = data.draw(st.integers(0, length // turn)) * turn
    start = MixStart.first(case.places)
    position = start.position_of(epoch, samples, length)
    assert position == epoch * length + samples
    start = replace(start, position=position, epoch=epoch, samples=samples)
    whole = case.judge(4 * length)
    assert (
        case.order(start).share(epoch, samples, length, 0, 1).tolist()
        == (whole[position : (epoch + 1) * length])
    )
    other = data.draw(st.integers(1, 2 * length // turn)) * turn
    order = case.order(start, other)
    seen = order.share(epoch, min(samples, other), other, 0, 1).tolist() if samples < other else []
    seen += order.share(epoch + 1, 0, turn, 0, 1).tolist()
    whole = case.judge(position + len(seen))
    assert seen == whole[position:]


@LAWS
@given(cases(), st.data())
def test_other_weights_count_from_where_they_begin(case: Case, data: st.DataObject) -> None:
    """No record of a member comes twice or is left out, and the new shares are exact.

    The same weights go on in the midst of their round.
    """
    turn = case.turn
    samples = data.draw(st.integers(0, case.length // turn)) * turn
    before = case.order()
    head = before.share(0, 0, samples, 0, 1).tolist()
    weights = data.draw(
        st.lists(st.floats(1e-3, 1), min_size=len(case.sizes), max_size=len(case.sizes))
    )
    places = places_of(weights)
    start = replace(MixStart.first(case.places), position=samples, samples=samples)
    start = start.with_places(places, turn, SEED)
    count = ROUND * turn
    after = case.order(start, samples + count).share(0, samples, samples + count, 0, 1).tolist()
    begins = np.cumsum((0, *case.sizes)).tolist()
    for number, (begin, size) in enumerate(zip(begins, case.sizes, strict=False)):
        mine = [n - begin for n in head + after if begin <= n < begin + size]
        member = case.member(number)
        epochs = range(-(-len(mine) // size))
        own = chain(*(member.share(epoch, 0, size, 0, 1).tolist() for epoch in epochs))
        assert mine == list(islice(own, len(mine)))
        if places != case.places:
            assert sum(begin <= n < begin + size for n in after) == places[number] * turn


@LAWS
@given(cases())
def test_a_lane_is_read_by_one_worker(case: Case) -> None:
    """In each epoch of a member, before the tail, a block belongs to one of the workers."""
    if not case.lanes or case.world == 1:
        return
    sizes = tuple(size // 16 * 16 for size in case.sizes if size >= 400)
    if not sizes:
        return
    case = replace(case, sizes=sizes, weights=case.weights[: len(sizes)])
    order = case.order(length=4096)
    owners: dict[tuple[int, int], set[int]] = {}
    begins = np.cumsum((0, *sizes)).tolist()
    seen = [0] * len(sizes)
    for start in range(0, 4096, 4):
        for rank in range(case.world):
            for id_ in order.share(0, start, start + 4, rank, case.world).tolist():
                member = int(np.searchsorted(begins, id_, side="right")) - 1
                epoch, place = divmod(seen[member] + rank, sizes[member])
                if place < sizes[member] - 64:
                    block = (id_ - begins[member]) // 4
                    owners.setdefault((member, epoch * 10_000 + block), set()).add(rank)
        member = int(np.searchsorted(begins, id_, side="right")) - 1
        seen[member] += 4
    assert owners
    assert all(len(ranks) == 1 for ranks in owners.values())


def test_the_order_is_pinned() -> None:
    # A change here is a change of the format: a run that is resumed would see other samples.
    case = Case((5, 3), (0.7, 0.3), None, 1, 16, "exact")
    assert case.order().share(0, 0, 16, 0, 1).tolist() == [
        1,
        2,
        4,
        0,
        3,
        3,
        6,
        0,
        1,
        5,
        7,
        4,
        2,
        2,
        3,
        4,
    ]
