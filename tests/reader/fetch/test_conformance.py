"""Every source of records is held to the same behaviour; each is enrolled in KINDS."""

from __future__ import annotations

import os
import pickle
import random
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from reader import ShardSet, open_shards
from reader.batching.batch_maker import BatchMaker
from reader.batching.batches import PIPELINE
from reader.blocks.block_fetch import BlockFetcher
from reader.blocks.block_grid import BlockGrid
from reader.core.compiled import has_core
from reader.dataset import Sources
from reader.fetch.core_fetch import CoreFetcher
from reader.fetch.fixed_records import FixedFetcher
from reader.fetch.skipped import SKIPPED, Skipped, SkippedRecordWarning
from reader.files.shard_files import ShardFiles
from reader.foreign.indexed_fetch import IndexedFetcher
from shardio.errors import CorruptRecordError, DatasetError
from shardio.format.naming import MANIFEST
from tests.reader.cached import copies, fill, nobody_fills, small, stream, url
from tests.reader.datasets import OTHER_KINDS, Made, write_dataset

# fsspec's local files complain when the garbage collector gets to them before it does to ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::reader.cache.folder.CacheWarning"),
]

RECORDS = 37
# The last shard, and where it begins.
DAMAGED, START = 4, 14


@dataclass
class Kind:
    """A source of a set, made again and again; `shards` is made once."""

    name: str
    made: Made
    shards: ShardSet

    def sources(self, skipped: Skipped | None = None) -> Sources:
        """Open the set."""
        layout = self.made.layout
        if "numpy" in self.name:
            files = self.shards.files(skips=skipped is not None)
            source = FixedFetcher(files, layout, verify=True, skipped=skipped, compiled=False)
            return Sources(files, source, lambda: None, is_local=False)
        return self.shards.sources(verify=True, skipped=skipped)

    def source(self, sources: Sources) -> Any:
        """Return the source of a new epoch."""
        source = sources.new_epoch()
        if self.in_blocks:
            # Fewer than the set has, so that each pass reads all again.
            return BlockFetcher(source, BlockGrid(RECORDS, 5), 4)
        return source

    @property
    def in_blocks(self) -> bool:
        return self.name.startswith("blocks")

    def images(self, records: int, dtype: str = "uint8") -> NDArray[Any]:
        """Return memory for images."""
        return np.zeros((records, self.shards.layout.image_bytes), dtype=dtype)

    def integers(self, ids: list[int]) -> NDArray[np.int64]:
        """Return what the records `ids` must have; those of foreign shards count as rows."""
        if "indexed" in self.name:
            return np.concatenate([self.made.labels[ids, :2], np.array(ids)[:, None]], axis=1)
        return np.concatenate([self.made.labels[ids], self.made.rows[ids][:, None]], axis=1)


OF_KIND: dict[str, type] = {
    "core": CoreFetcher,
    "numpy": FixedFetcher,
    "fixed": FixedFetcher,
    "blocks": BlockFetcher,
    "blocks, numpy": BlockFetcher,
    "empty cache": FixedFetcher,
    "half a cache": FixedFetcher,
    "full cache": CoreFetcher,
    "indexed": IndexedFetcher,
    "indexed, remote": IndexedFetcher,
    "blocks, indexed": BlockFetcher,
}


@pytest.fixture(params=OF_KIND)
def enrol(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[bool], Kind]]:
    """Return what opens a set of this kind, with or without a damaged record in it."""
    name = request.param
    if not ("numpy" in name or "indexed" in name or has_core()):
        pytest.skip("the compiled core is not built")
    with ExitStack() as stack:

        def opened(damaged: bool = False) -> Kind:
            made = write_dataset(tmp_path / "shards", more=OTHER_KINDS)
            # Otherwise the cache would not take a damaged shard.
            (made.folder / MANIFEST).unlink()
            if damaged:
                damage(made)
            return Kind(name, made, of_name(name, made, tmp_path / "cache", stack))

        yield opened


def damage(made: Made) -> None:
    """Flip a bit in the pixels of record 7 of the last shard."""
    data = bytearray(made.shard(DAMAGED).read_bytes())
    data[7 * made.layout.stride + 40] ^= 4
    made.shard(DAMAGED).write_bytes(data)


def of_name(name: str, made: Made, cache: Path, stack: ExitStack) -> ShardSet:
    said: dict[str, Any] = {"shape": made.manifest.shape, "classes": [7, 30, 9]}
    if "indexed" in name:
        said["classes"] = [7, 30]
        source = url(made) if "remote" in name else made.glob
        return open_shards(source, image="image", labels=["y0", "y1"], **said)
    if name == "core" or "numpy" in name:
        return open_shards(made.glob, **said)
    if "cache" not in name:
        return open_shards(url(made), **said)
    fill(open_shards(url(made), cache=cache, **said))
    there = copies(cache)
    for copy in {"empty": there, "half": there[::2], "full": []}[name.split()[0]]:
        copy.unlink()
    stack.enter_context(nobody_fills(cache))
    return open_shards(url(made), cache=cache, **said)


def check(kind: Kind, source: Any, ids: list[int]) -> None:
    """Hold what a source gives for `ids` against what was written."""
    wanted = kind.made.images[ids].reshape(len(ids), -1)
    images = kind.images(len(ids))
    for begins in (False, True):
        images[:] = 0
        given = np.array(ids), images
        integers = source.begin(*given).result() if begins else source.fetch(*given)
        assert (integers == kind.integers(ids)).all()
        assert (images == wanted).all()


def test_the_source_is_the_one_that_is_meant(enrol: Any) -> None:
    kind = enrol()
    assert type(kind.source(kind.sources())) is OF_KIND[kind.name]


def test_the_same_records_give_the_same_pixels_and_integers(enrol: Any) -> None:
    kind = enrol()
    source = kind.source(kind.sources())
    rng = random.Random(5)
    everything = list(range(RECORDS))
    check(kind, source, everything)
    check(kind, source, everything[::-1])
    for size in (1, 2, 9, 60):
        for _ in range(5):
            check(kind, source, rng.choices(everything, k=size))
            first = rng.randrange(RECORDS - min(size, 30))
            check(kind, source, everything[first : first + size])


def test_floats_are_pixels_divided_by_255(enrol: Any) -> None:
    kind = enrol()
    source = kind.source(kind.sources())
    images = kind.images(RECORDS, "float32")
    source.fetch(np.arange(RECORDS), images)
    wanted = kind.made.images.reshape(RECORDS, -1) / np.float32(255)
    assert images.tobytes() == wanted.tobytes()


def test_the_same_damage_is_named(enrol: Any) -> None:
    kind = enrol(True)
    source = kind.source(kind.sources())
    scheme = kind.shards.shards[-1].path.removesuffix(str(kind.made.shard(DAMAGED)))
    named = f"^{scheme}{kind.made.shard(DAMAGED)}: record 7 at byte ([0-9]+): the CRC of its data "
    begin = 7 * kind.made.layout.stride
    for ids in ([START + 7], [3, START + 7, START + 2], list(range(RECORDS))):
        with pytest.raises(CorruptRecordError, match=named) as caught:
            source.fetch(np.array(ids), kind.images(len(ids)))
        # Where the record begins, or its data.
        assert re.match(named, str(caught.value))[1] in (str(begin), str(begin + 12))  # type: ignore[index]
    # Decoded blocks are whole or refused.
    check(kind, source, [START + 5, START + 11, 0])


def test_the_same_damage_is_skipped_and_counted(enrol: Any) -> None:
    kind = enrol(True)
    skipped = Skipped()
    source = kind.source(kind.sources(skipped))
    ids = [3, START + 7, START + 8]
    images = kind.images(3)
    with pytest.warns(SkippedRecordWarning, match="record 7 at byte"):
        integers = source.fetch(np.array(ids), images)
    assert integers[1, -1] == SKIPPED
    assert skipped.count >= 1
    assert (integers[::2] == kind.integers(ids)[::2]).all()
    assert (images[::2] == kind.made.images[ids[::2]].reshape(2, -1)).all()


def test_each_epoch_is_announced_once_and_compares_each_shard_once(
    enrol: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = enrol()
    called = count_calls(monkeypatch, "new_epoch")
    compared: Counter[int] = Counter()
    sources = kind.sources()
    files = sources._files
    compare = files._compare
    monkeypatch.setattr(
        files, "_compare", lambda number, is_: (compared.update([number]), compare(number, is_))
    )
    with_records = {number for number, shard in enumerate(kind.shards.shards) if shard.records}
    for epoch in range(1, 4):
        source = kind.source(sources)
        for _ in range(2):
            check(kind, source, list(range(RECORDS)))
        assert called["new_epoch"] == epoch
        if not kind.in_blocks:  # where two threads may compare the same one
            assert compared == dict.fromkeys(with_records, epoch)


def replace_shard(made: Made) -> None:
    """Put another file with the same bytes in the place of a shard."""
    path = made.shard(DAMAGED)
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, (1, 1))
    other.replace(path)


def read_and_replaced(enrol: Any) -> tuple[Any, Any, Any]:
    """Return a kind, its sources and the one that has read all, of which a shard is another now."""
    kind = enrol()
    sources = kind.sources()
    source = kind.source(sources)
    check(kind, source, list(range(RECORDS)))
    replace_shard(kind.made)
    return kind, sources, source


def test_a_shard_that_was_replaced_is_found_when_it_is_opened_again(enrol: Any) -> None:
    kind, sources, source = read_and_replaced(enrol)
    sources._files.close()
    # Where files of this machine are opened, and those of the core stay mapped.
    if kind.name in ("numpy", "blocks, numpy"):
        with pytest.raises(DatasetError, match="was replaced or written to since"):
            source.fetch(np.arange(RECORDS), kind.images(RECORDS))


def test_a_shard_that_was_replaced_is_found_in_the_next_epoch(enrol: Any) -> None:
    kind, sources, _ = read_and_replaced(enrol)
    source = kind.source(sources)
    with pytest.raises(DatasetError, match="was replaced or written to since the set was opened"):
        source.fetch(np.arange(RECORDS), kind.images(RECORDS))


def test_files_are_closed_once_and_opened_again(
    enrol: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = enrol()
    called = count_calls(monkeypatch, "close")
    source = kind.source(kind.sources())
    for times in (1, 2):
        check(kind, source, list(range(RECORDS)))
        source.close()
        assert called["close"] == times
        if kind.in_blocks:
            break  # its threads have ended


def test_a_pickled_set_is_read_the_same(enrol: Any) -> None:
    kind = enrol()
    check(kind, kind.source(kind.sources()), [1, 20])
    kind.shards = pickle.loads(pickle.dumps(kind.shards))
    source = kind.source(kind.sources())
    assert type(source) is OF_KIND[kind.name]
    check(kind, source, list(range(RECORDS)))


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_reads_the_same(enrol: Any) -> None:
    kind = enrol()
    source = kind.source(kind.sources())
    check(kind, source, list(range(RECORDS)))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(120)  # a child that hangs is killed
            if not kind.in_blocks:  # whose threads are made anew with the stream
                check(kind, source, list(range(RECORDS)))
            check(kind, kind.source(kind.sources()), list(range(RECORDS)))
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    check(kind, source, [36, 0, 20])


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> Counter[str]:
    """Count the calls of a method of ShardFiles, which every source reads through."""
    called: Counter[str] = Counter()
    method = getattr(ShardFiles, name)

    def counted(files: ShardFiles[Any]) -> None:
        called[name] += 1
        method(files)

    monkeypatch.setattr(ShardFiles, name, counted)
    return called


# What streams do with their sources.


@pytest.mark.parametrize("shuffle", ["exact", "window", "none"])
def test_a_stream_announces_each_epoch_once_and_closes_once(
    enrol: Any, shuffle: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = enrol()
    epochs, closed = count_calls(monkeypatch, "new_epoch"), count_calls(monkeypatch, "close")
    assert len(stream(kind.shards, shuffle=shuffle, epochs=10)) == 40
    assert epochs["new_epoch"] == 10
    batches = kind.shards.batches(**small({"shuffle": shuffle, "epochs": 1}))
    next(batches)
    before = closed["close"]
    batches.close()
    assert closed["close"] == before + 1


def test_a_full_cache_is_advised_by_compiled_code_as_local_shards_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_core():
        pytest.skip("the compiled core is not built")
    made = write_dataset(tmp_path / "shards", (60, 40, 100))
    advised: list[tuple[str, list[int], bool]] = []
    for source in (CoreFetcher, FixedFetcher):
        record_advice(monkeypatch, source, advised)
    options: dict[str, Any] = {"shuffle": "window", "epochs": 4}
    local = stream(open_shards(made.glob), **options)
    of_local = advised.copy()
    assert of_local
    shards = open_shards(url(made), cache=tmp_path / "cache")
    fill(shards)
    advised.clear()
    assert stream(shards, **options) == local
    assert {name for name, _, _ in advised} == {"CoreFetcher"}
    assert advised == of_local


def record_advice(
    monkeypatch: pytest.MonkeyPatch, source: type, advised: list[tuple[str, list[int], bool]]
) -> None:
    method = source.advise  # type: ignore[attr-defined]

    def advise(self: Any, ids: NDArray[np.int64]) -> bool:
        answer: bool = method(self, ids)
        advised.append((source.__name__, ids.tolist(), answer))
        return answer

    monkeypatch.setattr(source, "advise", advise)


def test_a_stream_takes_the_compiled_source_once_all_copies_are_there(tmp_path: Path) -> None:
    if not has_core():
        pytest.skip("the compiled core is not built")
    made = write_dataset(tmp_path / "shards")
    shards = open_shards(url(made), cache=tmp_path / "cache")
    options = shards.options(**small({"shuffle": "window", "worker": (0, 1)}))
    maker = BatchMaker(shards, options, PIPELINE)
    maker.make(0, 0)
    assert not maker.begins
    fill(shards)
    maker.make(0, 8)
    assert not maker.begins
    maker.make(1, 0)
    assert maker.begins
    for copy in copies(tmp_path / "cache"):
        copy.unlink()
    maker.make(2, 0)
    assert not maker.begins
    maker.close()
