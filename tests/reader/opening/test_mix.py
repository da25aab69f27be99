from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reader import ShardSet, mix, open_shards
from reader.blocks.block_fetch import BlockFetcher
from reader.order.mixed import ROUND
from shardio.errors import DatasetError, OptionError
from shardio.format.label import FLOAT, Label, LabelKind
from tests.reader.datasets import Made, write_dataset
from tests.reader.mounts import wait_until


@pytest.fixture
def both(tmp_path: Path) -> tuple[Made, Made]:
    return (
        write_dataset(tmp_path / "real", (300, 0, 350), seed=1),
        write_dataset(tmp_path / "made", (900, 1100), seed=2),
    )


def opened(both: tuple[Made, Made], **options: Any) -> ShardSet:
    real, made = (open_shards(one.glob) for one in both)
    return mix([real, made], weights=[0.7, 0.3], **options)


def pairs(batches: Any) -> list[tuple[int, int]]:
    """Return member and row of every record."""
    return [(int(member), int(row)) for batch in batches for member, row in batch[-1]]


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_each_member_is_read_as_it_is_alone(both: tuple[Made, Made], shuffle: Any) -> None:
    """Its records in its own order, with shares that are exact in each round."""
    mixed = opened(both)
    found = pairs(mixed.batches(128, shuffle=shuffle, rows=True, block=100, window=2))
    assert len(found) == ROUND
    assert [sum(m == member for m, _ in found) for member in (0, 1)] == [717, 307]
    for member, one in enumerate(both):
        alone = open_shards(one.glob).batches(
            50, shuffle=shuffle, rows=True, block=100, window=2, epochs=3
        )
        own = [int(row) for batch in alone for row in batch[2]]
        mine = [row for m, row in found if m == member]
        assert mine == own[: len(mine)]


def test_records_have_their_own_pixels_and_labels(both: tuple[Made, Made]) -> None:
    by_row = [{int(row): at for at, row in enumerate(one.rows)} for one in both]
    for x, ys, rows in opened(both).batches(64, dtype="uint8", rows=True):
        for at, (member, row) in enumerate(rows.tolist()):
            record = by_row[member][row]
            assert np.array_equal(x[at], both[member].images[record])
            assert [y[at] for y in ys] == both[member].labels[record].tolist()


def test_it_says_its_true_shares(both: tuple[Made, Made]) -> None:
    mixed = opened(both)
    assert repr(mixed) == (
        "<ShardSet mixed of 70.02% (717 in 1,024) of 650 records and 29.98% (307 in 1,024) of "
        "2,000 records, 2x3x3, classes y0: 7, y1: 30>"
    )
    assert len(mixed) == 2650
    x, ys = mixed[650]
    assert np.array_equal(x, both[1].images[0])
    assert ys == both[1].labels[0].tolist()
    again = pickle.loads(pickle.dumps(mixed))
    assert pairs(again.batches(rows=True)) == pairs(mixed.batches(rows=True))
    # Without weights all come equally often.
    assert mix([open_shards(one.glob) for one in both]).mix.places == (512, 512)  # type: ignore[union-attr]


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
@pytest.mark.parametrize("part", [slice(None), slice(3, None, 2), slice(None, None, -1)])
def test_a_part_of_a_mix_is_the_mix_of_parts(
    both: tuple[Made, Made], shuffle: Any, part: slice
) -> None:
    """With the shares of the mix, whatever each member is left with."""
    members = [open_shards(one.glob)[part] for one in both]
    gone = [members[0].labels_of("row")[5:80].tolist(), members[1].labels_of("row")[:1].tolist()]
    mixed = mix(members, [0.7, 0.3], until="all")

    def rows(shards: ShardSet) -> list[tuple[int, int]]:
        return pairs(shards.batches(64, rows=True, shuffle=shuffle, block=10, window=2))

    for dropped in ((0,), (0, 1)):
        left = [one.drop(rows=gone[m]) if m in dropped else one for m, one in enumerate(members)]
        found = mixed.drop(rows=[(m, row) for m in dropped for row in gone[m]])
        again = pickle.loads(pickle.dumps(found))
        assert rows(found) == rows(again) == rows(mix(left, [0.7, 0.3], until="all"))
    wanted = mix([one.where(y0=[1, 2]) for one in members], [0.7, 0.3], until="all")
    found = mixed.where(y0=[1, 2])
    assert rows(found) == rows(wanted)
    assert repr(found) == repr(wanted)
    state = mixed.batches(64).state_dict()
    with pytest.raises(DatasetError, match="another set of shards"):
        found.batches(64).load_state_dict(state)
    with pytest.raises(OptionError, match="member 0 of the mix has no records"):
        mixed.drop(rows=[(0, row) for row in members[0].labels_of("row").tolist()])


def test_an_epoch_ends_as_it_is_told(both: tuple[Made, Made]) -> None:
    assert len(opened(both, steps=5).batches(100)) == 5
    whole = pairs(opened(both, until="all").batches(64, rows=True))
    assert len(set(whole)) == 2650
    assert len(whole) == 7 * ROUND
    first = pairs(opened(both, until="first").batches(64, rows=True))
    assert {(0, int(row)) for row in both[0].rows} <= set(first)


def test_a_damaged_record_is_replaced_and_named_by_the_member(both: tuple[Made, Made]) -> None:
    shard = both[1].shard(0)
    damaged = bytearray(shard.read_bytes())
    damaged[5 * both[1].layout.stride + 40] ^= 1
    shard.write_bytes(damaged)
    batches = opened(both, until="all").batches(64, dtype="uint8", rows=True, on_error="skip")
    by_row = [{int(row): at for at, row in enumerate(one.rows)} for one in both]
    with pytest.warns(UserWarning, match=f"{shard}: record 5"):
        found = list(batches)
    for x, _, rows in found:
        for at, (member, row) in enumerate(rows.tolist()):
            assert np.array_equal(x[at], both[member].images[by_row[member][row]])
    assert batches.skipped >= 1


def test_padding_has_no_member(both: tuple[Made, Made]) -> None:
    found = pairs(opened(both).batches(1000, pad=True, rows=True))
    assert len(found) == 2000
    assert found[ROUND:] == [(-1, -1)] * (2000 - ROUND)
    assert min(found[:ROUND]) >= (0, 0)


def test_sets_of_others_are_mixed(tmp_path: Path) -> None:
    """Whose rows are their numbers in their own set."""
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    from tests.reader.foreign_files import encode, example, photos, write_records

    for name, count in (("a", 30), ("b", 50)):
        images = [encode(photo, "png") for photo in photos(count)]
        records = [example(image=image, label=at) for at, image in enumerate(images)]
        write_records(tmp_path / name / "x.tfrecord", records)
    sets = [open_shards(f"{tmp_path}/{name}/*.tfrecord") for name in ("a", "b")]
    found = set(pairs(mix(sets).batches(8, rows=True)))
    assert found == {(0, row) for row in range(30)} | {(1, row) for row in range(50)}


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"heads": 1}, "member 1 has labels y0, not y0, y1"),
        ({"names": ("y0", "z")}, "member 1 has labels y0, z, not y0, y1"),
        (
            {"more": (Label("score", 0, None, LabelKind(FLOAT)),)},
            "member 1 has labels y0, y1, score, not y0, y1",
        ),
    ],
)
def test_members_that_differ_are_named(
    both: tuple[Made, Made], tmp_path: Path, other: dict[str, Any], words: str
) -> None:
    made = write_dataset(tmp_path / "other", **other)
    with pytest.raises(DatasetError, match=words):
        mix([open_shards(both[0].glob), open_shards(made.glob)])


def texts(made: Made, vocabulary: str | None) -> ShardSet:
    """Open a set with other classes."""
    labels = tuple(
        replace(label, vocabulary=tuple(vocabulary) if vocabulary else None)
        for label in made.manifest.labels
    )
    return replace(open_shards(made.glob), labels=labels)


def test_vocabularies_may_continue_each_other(tmp_path: Path) -> None:
    one, other = (write_dataset(tmp_path / name, heads=1) for name in ("one", "other"))
    longer = replace(texts(other, "abcdefghi"), labels=(Label("y0", 9, tuple("abcdefghi")),))
    for members in ([texts(one, "abcdefg"), longer], [longer, texts(one, "abcdefg")]):
        assert mix(members).labels == longer.labels
    with pytest.raises(DatasetError, match="member 1 has for y0 the class 2 = 'x', not 'c': conv"):
        mix([texts(one, "abcdefg"), texts(other, "abxdefg")])
    with pytest.raises(DatasetError, match="member 1 has numbers as classes of y0, not texts"):
        mix([texts(one, "abcdefg"), texts(other, None)])


# Whose arguments are wrong.
untyped: Any = mix


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a, b: untyped([]), "a mix has 1 to 1,024 members, not 0"),
        (lambda a, b: untyped([a, b], [1]), "weights has 1 value, and the mix 2 members"),
        (lambda a, b: untyped([a, b], [1, 0]), "the weights of a mix are numbers above 0, not 0"),
        (lambda a, b: untyped([a, b], [1, float("nan")]), "numbers above 0, not nan"),
        (lambda a, b: untyped([a, b], [1, "x"]), "a weight is a number, not 'x'"),
        (lambda a, b: untyped([a, b], steps=0), "steps must be at least 1"),
        (lambda a, b: untyped([a, b], steps=1.5), "steps must be a whole number"),
        (lambda a, b: untyped([a, b], steps=1, until="all"), "not both"),
        (lambda a, b: untyped([a, b], until="last"), "until must be 'first' or 'all', not 'last'"),
        (lambda a, b: untyped([a, "b"]), "member 1 of the mix is no set, but of type str"),
        (lambda a, b: untyped([a, untyped([a, b])]), "member 1 is a mix itself"),
        (lambda a, b: untyped([a, b])[:5], "a mix has no parts by number: mix those of its mem"),
        (lambda a, b: open_shards(untyped([a, b])), "is a mix, whose shares would be lost"),
        (lambda a, b: open_shards([a, untyped([a, b])]), "is a mix, whose shares would be lost"),
        (lambda a, b: untyped([a, b]).batches(5, weights={"y0": "balanced"}), "not for a mix"),
        (lambda a, b: untyped([a, b]).class_weights("y0"), "of the members of a mix: ask each"),
    ],
)
def test_what_is_no_mix_is_refused(
    both: tuple[Made, Made], make: Callable[[Any, Any], Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        make(*(open_shards(one.glob) for one in both))


def test_a_member_without_records_is_refused(both: tuple[Made, Made]) -> None:
    empty = f"{both[0].folder}/train-00001-*"
    with pytest.raises(OptionError, match="member 1 of the mix has no records: leave it out"):
        mix([open_shards(both[1].glob), open_shards(empty)])


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_of_a_loader_share_a_mix(both: tuple[Made, Made], workers: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    data = opened(both).to_torch(100, rows=True)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers)
    plain = opened(both).batches(100, rows=True, epochs=2)
    assert pairs(loader) + pairs(loader) == pairs(plain)


def test_a_torch_set_goes_on_with_other_weights_in_all_later_passes(
    both: tuple[Made, Made],
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    real, made = (open_shards(one.glob) for one in both)
    before = opened(both).batches(100, rows=True)
    for _ in range(3):
        next(before)
    state = json.loads(json.dumps(before.state_dict()))
    other = mix([real, made], weights=[0.2, 0.8])
    expected = other.batches(100, rows=True)
    expected.load_state_dict(state)
    data = other.to_torch(100, rows=True)
    data.load_state_dict(state)
    assert [pairs(data) for _ in range(3)] == [pairs(expected) for _ in range(3)]


def test_tensorflow_and_keras_read_a_mix(both: tuple[Made, Made]) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    mixed = opened(both)
    wanted = [ys[1].tolist() for _, ys in mixed.batches(100, epochs=2)]
    dataset = mixed.to_tf_dataset(100)
    assert [ys[1].numpy().tolist() for _ in range(2) for _, ys in dataset] == wanted
    keras = mixed.to_keras(100)
    assert [keras[at][1][1].tolist() for at in range(len(keras))] == wanted[: len(keras)]
    rows = mixed.to_tf_dataset(100, rows=True)
    assert [tuple(pair) for batch in rows for pair in batch[3].numpy().tolist()] == pairs(
        mixed.batches(100, rows=True)
    )


def test_a_mix_is_read_from_a_cache(both: tuple[Made, Made], tmp_path: Path) -> None:
    sets = [open_shards(f"file://{one.glob}", cache=tmp_path / "cache") for one in both]
    cached = mix(sets, weights=[0.7, 0.3])
    wanted = pairs(opened(both).batches(64, rows=True, epochs=3))
    stream = cached.batches(64, rows=True, epochs=1, shuffle="exact")
    found = pairs(stream)
    wait_until(lambda: cached.cached == 4)
    assert found + pairs(stream) + pairs(stream) == wanted
    with pytest.raises(OptionError, match="open all sets with the same cache="):
        mix([sets[0], open_shards(both[1].glob)])


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_parts_of_sets_are_mixed(both: tuple[Made, Made], shuffle: Any) -> None:
    """Each in its own order; of blocks only those that hold chosen records are read, once."""
    real, made = (open_shards(one.glob) for one in both)
    chosen = np.random.default_rng(0).permutation(2000)[:400]
    parts = [real[10:600:3], made[chosen]]
    options: dict[str, Any] = {"shuffle": shuffle, "rows": True, "block": 20, "window": 2}
    mixed = mix(parts, weights=[0.3, 0.7])
    found = pairs(mixed.batches(64, **options))
    for member, part in enumerate(parts):
        alone = [int(row) for batch in part.batches(1, epochs=4, **options) for row in batch[2]]
        mine = [row for m, row in found if m == member]
        assert mine == alone[: len(mine)]
    x, ys = mixed[len(parts[0])]
    assert np.array_equal(x, both[1].images[chosen[0]])
    assert ys == both[1].labels[chosen[0]].tolist()


def test_blocks_of_parts_are_read_once_in_their_epochs(
    both: tuple[Made, Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = BlockFetcher._read

    def counted(self: BlockFetcher, number: int, place: int) -> None:
        read.append(number)
        plain(self, number, place)

    monkeypatch.setattr(BlockFetcher, "_read", counted)
    real, made = (open_shards(f"file://{one.glob}") for one in both)
    # 16 of 33 blocks, and 10 of 100.
    mixed = mix([real[:320], made[np.arange(2000) % 200 == 3]], weights=[0.5, 0.5])
    found = pairs(mixed.batches(64, shuffle="window", block=20, window=2, rows=True))
    assert len(found) == ROUND
    assert set(read) == {*range(16), *range(33, 133, 10)}
    # 512 records of each; blocks of the epoch after are read ahead.
    assert len(read) <= 3 * 16 + (512 // 10 + 2) * 10
