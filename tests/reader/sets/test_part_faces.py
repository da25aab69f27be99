"""Parts of sets in all faces, and what is fetched for them from a storage of blocks."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.batching.batch_maker import BatchMaker
from reader.batching.batches import PIPELINE
from reader.fetch.source import BlockMemory
from tests.reader.datasets import Made, write_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return write_dataset(tmp_path_factory.mktemp("faces") / "set", (200, 0, 150, 50))


def part_of(shards: ShardSet, kind: str) -> ShardSet:
    if kind == "where":
        return shards.where(y0=[1, 5])
    random = np.random.default_rng(1)
    chosen = random.permutation(400)[:90]
    if kind == "uneven":  # all of some blocks, and a record of others
        chosen = np.concatenate(
            [np.arange(100, 190), random.permutation(100)[:9], 300 + chosen[:6] // 4]
        )
    part: ShardSet = shards[3::10] if kind == "every tenth" else shards[chosen]
    return part


@pytest.mark.parametrize("kind", ["every tenth", "list", "where", "uneven"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_no_block_is_fetched_twice_and_none_in_vain(
    made: Made, kind: str, lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a server, in the order `window`: each stored block that holds some of the part, once."""
    shards = open_shards(f"file://{made.folder}")
    part = part_of(shards, kind)
    block = 16
    fetched: list[int] = []
    source_of = type(part).sources

    def counted(self: ShardSet, **options: Any) -> Any:
        sources = source_of(self, **options)
        source = sources.first
        memory_of = source.block_memory

        def block_memory(rows: int) -> BlockMemory:
            memory = memory_of(rows)
            fill = memory.fill

            def told(row: int, first: int, count: int) -> None:
                fetched.append(first // block)
                fill(row, first, count)

            monkeypatch.setattr(memory, "fill", told)
            return memory

        monkeypatch.setattr(source, "block_memory", block_memory)
        return sources

    monkeypatch.setattr(type(part), "sources", counted)
    options = part.options(
        6, shuffle="window", block=block, window=3, lanes=lanes, drop_remainder=False, rows=True
    )
    maker = BatchMaker(part, options, PIPELINE)
    rows: list[int] = []
    for step in range(maker.steps):
        rows += maker.make(0, 6 * step).rows.tolist()
    wanted = part.labels_array()["row"]
    assert sorted(rows) == sorted(wanted.tolist())
    stored = part.chosen.ids(np.arange(len(part)))
    assert sorted(fetched) == np.unique(stored // block).tolist()


def by_row(part: ShardSet) -> dict[int, bytes]:
    arrays = part.batches(1, dtype="uint8", rows=True, shuffle="none")
    return {int(batch[2][0]): batch[0].tobytes() for batch in arrays}


def check(part: ShardSet, images: list[NDArray[Any]], rows: list[int]) -> None:
    known = by_row(part)
    assert sorted(rows) == sorted(known)
    for image, row in zip(images, rows, strict=True):
        assert np.asarray(image).tobytes() == known[row]


@pytest.mark.parametrize("kind", ["every tenth", "list"])
def test_tensorflow_and_keras(made: Made, kind: str) -> None:
    part = part_of(open_shards(made.folder), kind)
    images, rows = [], []
    for x, _, _, row in part.to_tf_dataset(5, dtype="uint8", rows=True):
        images += list(x.numpy())
        rows += row.numpy().tolist()
    check(part, images, rows)
    batches = part.to_keras(5, dtype="uint8")
    assert len(batches) == len(part) // 5
    assert sorted(x.tobytes() for n in range(len(batches)) for x in np.asarray(batches[n][0])) == (
        sorted(by_row(part).values())
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_torch(made: Made, workers: int) -> None:
    pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    part = part_of(open_shards(made.folder), "list")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loader = DataLoader(
            part.to_torch(5, dtype="uint8", rows=True), batch_size=None, num_workers=workers
        )
        images, rows = [], []
        for x, _, row in loader:
            images += list(x.numpy())
            rows += row.tolist()
    check(part, images, rows)


def test_only_shards_that_hold_some_are_cached(made: Made, tmp_path: Path) -> None:
    from tests.reader.cached import copies, until

    part = open_shards(f"file://{made.folder}", cache=tmp_path / "cache")[10:190]
    list(part.batches(5))
    until(lambda: part.cached == 1)
    assert [path.name[25:] for path in copies(tmp_path / "cache")] == [made.shard(0).name]
