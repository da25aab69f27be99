from __future__ import annotations

from collections import OrderedDict
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from reader.order.recent import Recent


@given(st.integers(1, 5), st.lists(st.integers(0, 8), max_size=60))
def test_values_are_computed_anew_once_others_were_asked_for_later(
    most: int, keys: list[int]
) -> None:
    computed: list[int] = []
    recent: Recent[int] = Recent(most)

    def square(key: int) -> int:
        computed.append(key)
        return key * key

    model: OrderedDict[int, None] = OrderedDict()
    expected: list[int] = []
    for key in keys:
        assert recent.get(key, partial(square, key)) == key * key
        if key not in model:
            expected.append(key)
        model[key] = None
        model.move_to_end(key)
        if len(model) > most:
            model.popitem(last=False)
        assert computed == expected
