"""Records are found as NumPy finds them in the labels of all records, page by page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader import ShardSet, open_shards
from reader.browse.columns import Columns
from reader.browse.finder import Finder
from reader.browse.list_page import PAGE
from reader.browse.query import SORTS, Query
from reader.browse.site import Site
from reader.look.origins import Origins
from shardio.errors import OptionError
from tests.reader.browse.sites import FOLDER, TEXTS, hostile_set
from tests.reader.datasets import OTHER_KINDS, write_dataset


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return open_shards(hostile_set(tmp_path_factory.mktemp("browse")), "*")


@pytest.fixture(scope="module")
def finder(shards: ShardSet) -> Finder:
    return Finder(shards, Columns(shards), Origins(shards))


def known(shards: ShardSet) -> dict[str, Any]:
    """All that can be asked for, of each record, by another way."""
    table = shards.table()
    words = {label.name: label.vocabulary for label in shards.labels}
    found: dict[str, Any] = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    for name in ("y0", "y1", "y2"):
        found[f"{name} text"] = np.array([words[name][n] for n in found[name]])  # type: ignore[index]
    pixels = np.concatenate([x for x, *_ in shards.batches(1, shuffle="none", dtype="uint8")])
    found["brightness"] = pixels @ np.array([0.299, 0.587, 0.114])
    found["brightness"] = found["brightness"].mean(axis=(1, 2))
    return found


def test_conditions_are_those_of_numpy(shards: ShardSet, finder: Finder) -> None:
    all_of = known(shards)
    rows, split, path = all_of["row"], all_of["split"], all_of["path"]
    y0, y1, y2 = (all_of[f"y{n} text"] for n in range(3))
    shard = all_of["shard"][70]
    cat = (y0 == "猫") | (y1 == "猫") | (y2 == "猫")
    script = np.array(["script" in "".join(words) for words in zip(y0, y1, y2, strict=True)])
    for query, mask in (
        (Query(), rows >= 0),
        (Query(split="val"), split == "val"),
        (Query(shard=shard), all_of["shard"] == shard),
        (Query(shard=shard, split="val"), (all_of["shard"] == shard) & (split == "val")),
        (Query(rows=(7, 7)), rows == 7),
        (Query(rows=(10, 20)), (rows >= 10) & (rows <= 20)),
        (Query(labels=(("y0", TEXTS[3]),)), y0 == TEXTS[3]),
        (Query(labels=(("y0", TEXTS[0]), ("y1", TEXTS[1]))), (y0 == TEXTS[0]) & (y1 == TEXTS[1])),
        (Query(labels=(("y2", "3"),)), y2 == "3"),  # a text first of all
        (Query(labels=(("y2", "8"),)), all_of["y2"] == 8),
        (Query(character="猫"), cat),
        (Query(text="0042"), np.char.find(path, "0042") >= 0),
        (Query(text=path[5].upper()), path == path[5]),
        # The folder of all paths has it, too.
        (Query(text="SCRIPT"), script | (rows >= 0)),
        (Query(text="IMG SRC"), (y0 == TEXTS[1]) | (y1 == TEXTS[1])),
        (Query(text="nothing has this"), rows < 0),
    ):
        found = finder.find(query)
        assert found.ids(0, len(found)).tolist() == np.flatnonzero(mask).tolist(), query
    assert FOLDER in path[0]


def test_orders_are_those_of_numpy(shards: ShardSet, finder: Finder) -> None:
    all_of = known(shards)
    for split in ("", "val"):
        chosen = np.flatnonzero((all_of["split"] == split) | (split == ""))
        rarity = np.min(
            [[(all_of[f"y{n}"] == x).sum() for x in all_of[f"y{n}"]] for n in range(3)], axis=0
        )
        for sort, key in (
            ("rarest", rarity),
            ("dark", all_of["brightness"]),
            ("bright", -all_of["brightness"]),
        ):
            found = finder.find(Query(split=split, sort=sort))
            ids = found.ids(0, len(found))
            assert sorted(ids.tolist()) == chosen.tolist()
            in_order = key[ids]
            assert (np.diff(in_order) >= -1e-3).all(), sort


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(split="test"), "no split 'test'"),
        (Query(shard="x"), "no shard 'x'"),
        (Query(labels=(("y9", "1"),)), "no label 'y9'"),
        (Query(labels=(("y0", "dog"),)), "label y0 has no class 'dog'"),
        (Query(labels=(("y0", "99"),)), "and no 99"),
        (Query(labels=(("score", "1"),)), "labels of one integer"),
        (Query(character="犬"), "no label has the character"),
    ],
)
def test_what_no_record_can_have_is_said(finder: Finder, query: Query, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        finder.find(query)


def numbers(html: str) -> list[int]:
    return [int(number) for number in re.findall(r'href="/record/(\d+)[^"]*"><img', html)]


@pytest.mark.parametrize("query", [Query(), Query(sort="rarest"), Query(split="val", sort="dark")])
def test_pages_have_each_record_once(shards: ShardSet, finder: Finder, query: Query) -> None:
    site, found = Site(shards), finder.find(query)
    shown: list[int] = []
    for page in range(1, -(-len(found) // PAGE) + 1):
        status, html = site.records(Query(split=query.split, sort=query.sort, page=page))
        assert status == 200
        shown += numbers(html)
    assert shown == found.ids(0, len(found)).tolist()
    status, html = site.records(Query(split=query.split, page=page + 1))
    assert status == 400
    assert "no page so far on" in html


def test_a_condition_that_there_is_not_is_refused() -> None:
    with pytest.raises(OptionError, match="not 'y0'"):
        Query.of({"y0": ["1"]})


plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=9).map(str.strip)


@settings(deadline=None, max_examples=60)
@given(
    st.builds(
        Query,
        split=plain,
        shard=plain,
        rows=st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99)),
        labels=st.lists(st.tuples(plain, plain.filter(bool)), max_size=3).map(tuple),
        character=plain,
        text=plain,
        sort=st.sampled_from(list(SORTS)),
        page=st.integers(1, 10**9),
    )
)
def test_an_address_says_the_whole_query(query: Query) -> None:
    arguments = parse_qs(urlsplit(query.address()).query, keep_blank_values=True)
    assert Query.of(arguments) == query


@pytest.mark.parametrize(
    "arguments",
    [
        {"page": ["0"]},
        {"page": ["x"]},
        {"row": ["1-"]},
        {"row": ["x"]},
        {"label": ["y0"]},
        {"sort": ["best"]},
        {"text": ["x" * 1001]},
    ],
)
def test_an_address_that_nobody_means_is_refused(arguments: dict[str, list[str]]) -> None:
    with pytest.raises(OptionError):
        Query.of(arguments)


def test_sequences_are_searched(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, more=OTHER_KINDS)
    path = made.folder / "dataset.json"
    text = path.read_text()
    at = text.index('"vocabulary": null', text.index('"ids"'))
    words = '"vocabulary": ["", "a", "b", "c", "d", "e", "f", "g", "h"]'
    path.write_text(text[:at] + words + text[at + len('"vocabulary": null') :])
    shards = open_shards(made.folder)
    finder = Finder(shards, Columns(shards), Origins(shards))
    ids = shards.labels_of("ids")
    spelled = np.array(["".join(" abcdefgh"[n] for n in row) for row in ids])
    for wanted in (spelled[3].strip()[:2], "a", "gh", spelled[5].strip()):
        if wanted and " " not in wanted:
            found = finder.find(Query(text=wanted))
            expected = np.flatnonzero(np.char.find(spelled, wanted) >= 0)
            assert found.ids(0, len(found)).tolist() == expected.tolist(), wanted
    found = finder.find(Query(character="e"))
    assert found.ids(0, 99).tolist() == np.flatnonzero((ids == 5).any(axis=1)).tolist()


def test_a_damaged_record_does_not_hide_the_others(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "set")
    data = bytearray(made.shard(4).read_bytes())
    data[20 * made.layout.stride + 40] ^= 1
    made.shard(4).write_bytes(data)
    damaged = 14 + 20
    site = Site(open_shards(made.folder))
    status, html = site.records(Query())
    assert status == 200
    assert len(numbers(html)) == 36
    assert html.count("Damaged: ") == 1
    assert "record 20 at byte" in html
    status, html = site.record(damaged, Query())
    assert status == 200
    assert "record 20 at byte" in html
    status, html = site.records(Query(sort="bright"))
    assert status == 200
    assert html.index("Damaged: ") > html.index(f'href="/record/{numbers(html)[-1]}')


def test_records_of_a_join_say_of_which_set_they_are(tmp_path: Path) -> None:
    for number in (0, 1):
        write_dataset(tmp_path / str(number), (4,), seed=number)
    site = Site(open_shards([tmp_path / "0", tmp_path / "1"]))
    _, html = site.records(Query())
    marks = re.findall(r"&quot;member&quot;: (\w+)", html)
    assert marks == ["0"] * 4 + ["1"] * 4
