"""A cache on a disk changes where records are read from, and nothing else."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from converter import ConvertOptions, convert
from reader import ShardSet, open_shards
from reader.cache.folder import CacheWarning
from shardio.errors import CorruptRecordError, DatasetError, MissingFileError, OptionError
from shardio.format.encoding import Encoding
from shardio.format.naming import MANIFEST
from shardio.format.transform import Transform
from tests.collected import collect
from tests.converter.inputs import write_csv, write_images
from tests.reader.cached import (
    COUNTS,
    STRIDE,
    copies,
    fill,
    nobody_fills,
    opened,
    pieces,
    size,
    sizes,
    small,
    stream,
    unfinished,
    until,
    until_idle,
    url,
    write_many,
)
from tests.reader.datasets import Made

# fsspec's local files complain when the garbage collector gets to them before it does to ours.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

ORDERS = ["window", "exact", "none"]
SIZES = [count * STRIDE for count in COUNTS if count]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return write_many(tmp_path / "source")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "disk" / "cache"


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    yield
    collect()
    until(lambda: not any(t.name == "shardio-cache" for t in threading.enumerate()))


def of_pixels(made: Made) -> tuple[str, dict[str, Any]]:
    return url(made), {}


def in_memory(made: Made) -> tuple[str, dict[str, Any]]:
    name = f"cache-{os.getpid()}-{time.monotonic_ns()}"
    fsspec.filesystem("memory").put(str(made.folder), f"/{name}", recursive=True)
    return f"memory://{name}", {}


def of_a_mount(made: Made) -> tuple[str, dict[str, Any]]:
    return str(made.folder), {}


def without_a_manifest(made: Made) -> tuple[str, dict[str, Any]]:
    (made.folder / MANIFEST).unlink()
    return url(made), {"shape": made.manifest.shape, "classes": [7, 30]}


def of_images(made: Made) -> tuple[str, dict[str, Any]]:
    folder = made.folder.parent / "encoded"
    names = write_images(folder / "images", 6, (60, 40))
    lines = [[f"images/{names[row % 6]}", row % 5] for row in range(60)]
    table = write_csv(folder / "labels.csv", ["path", "y0"], lines)
    options = ConvertOptions(transform=Transform(None, (12, 9)), shards=4, encoding=Encoding("png"))
    convert(str(table), str(folder / "shards"), options, engine="inline")
    return f"file://{folder}/shards", {}


KINDS = [of_pixels, in_memory, of_a_mount, without_a_manifest, of_images]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shuffle", [*ORDERS, None])
def test_the_samples_are_the_same_at_any_state_of_the_cache(
    made: Made, cache: Path, kind: Callable[[Made], tuple[str, dict[str, Any]]], shuffle: str | None
) -> None:
    source, described = kind(made)
    options: dict[str, Any] = {"epochs": 2, "drop_remainder": False, "batch_size": 7}
    if shuffle is not None:
        options["shuffle"] = shuffle
    wanted = stream(open_shards(source, **described), **options)
    shards = open_shards(source, **described, cache=cache)
    assert shards.cached == 0
    assert stream(shards, **options) == wanted  # while it is filled
    fill(shards)
    everything = len(copies(cache))
    assert shards.cached == everything == sum(shard.size > 0 for shard in shards.shards)
    assert stream(shards, **options) == wanted
    with nobody_fills(cache):
        for place in copies(cache)[::2]:
            place.unlink()
        assert shards.cached == everything // 2
        assert stream(shards, **options) == wanted
        again = open_shards(source, **described, cache=cache)
        assert again.cached == everything // 2
        assert stream(again, **options) == wanted
        for place in copies(cache):
            place.unlink()
        assert stream(again, **options) == wanted
        assert copies(cache) == []


def test_the_order_of_a_url_stays_window_and_that_of_a_mount_exact(made: Made, cache: Path) -> None:
    for source, order in ((url(made), "window"), (str(made.folder), "exact")):
        shards = open_shards(source, cache=cache)
        for _ in range(2):
            assert shards.options().shuffle == order
            fill(shards)


@pytest.mark.parametrize("shuffle", ORDERS)
@pytest.mark.parametrize("from_the_cache", [True, False])
def test_a_stream_goes_on_from_its_state_elsewhere(
    made: Made, cache: Path, shuffle: str, from_the_cache: bool
) -> None:
    direct, cached = open_shards(url(made)), opened(made, cache)
    fill(cached)
    options = small({"shuffle": shuffle, "epochs": 2})
    wanted = stream(direct, **options)
    one, other = (cached, direct) if from_the_cache else (direct, cached)
    for steps in (3, len(wanted) // 2 + 2):
        first = one.batches(**options)
        for _ in range(steps):
            next(first)
        second = other.batches(**options)
        second.load_state_dict(pickle.loads(pickle.dumps(first.state_dict())))
        assert [pieces(batch) for batch in second] == wanted[steps:]


def test_when_all_is_there_it_is_read_as_from_a_local_disk(made: Made, cache: Path) -> None:
    def maps() -> int:
        with open("/proc/self/maps") as file:
            return sum(str(cache) in line for line in file)

    shards = opened(made, cache)
    stream(shards)
    assert maps() == 0
    fill(shards)
    stream(shards, shuffle="window")
    assert maps() == len(copies(cache)) == 5


def test_one_record_comes_from_a_copy(made: Made, cache: Path) -> None:
    shards = opened(made, cache)
    fill(shards)
    for index in range(len(shards)):
        image, labels = shards[index]
        assert np.array_equal(image, made.images[index])
        assert labels == made.labels[index].tolist()
    # That it was from there: a copy that is changed is found to be damaged.
    damage(copies(cache)[0])
    with pytest.warns(CacheWarning, match="is removed"):
        images = [shards[index][0] for index in range(len(shards))]
    assert np.array_equal(images, made.images)


def test_the_memory_of_the_thread_is_planned_and_the_window_stays(made: Made, cache: Path) -> None:
    direct, cached = open_shards(url(made)), opened(made, cache)
    options: dict[str, Any] = {"memory": "12MB", "block": 2}
    one, two = direct.batches(**options).memory, cached.batches(**options).memory
    assert 1 < one.window == two.window
    assert two.parts.pop("cache") > 4_000_000
    assert two.total <= 12_000_000
    with pytest.raises(OptionError, match=r"this stream needs .* cache [45]\.\d MB"):
        cached.batches(memory="6MB")
    direct.batches(memory="6MB")


class TestLimit:
    def test_what_fits_in_is_kept_and_nothing_ever_exceeds_it(
        self, made: Made, cache: Path
    ) -> None:
        limit = sum(SIZES) - 1
        wanted = stream(open_shards(url(made)), epochs=3)
        with Sampled(cache) as sampled:
            shards = opened(made, cache, cache_limit=limit)
            assert stream(shards, epochs=3) == wanted
            until(lambda: shards.cached == 4)
            until_idle(cache)
            inodes = [path.stat().st_ino for path in copies(cache)]
            assert stream(shards, epochs=3) == wanted
            until_idle(cache)
            assert [path.stat().st_ino for path in copies(cache)] == inodes
            until(lambda: sampled.times > 10)
        assert min(SIZES) < sampled.most <= limit

    def test_the_least_recently_used_of_other_sets_goes_first(
        self, made: Made, cache: Path, tmp_path: Path
    ) -> None:
        limit = sum(SIZES) + SIZES[0] + STRIDE
        first = opened(made, cache, cache_limit=limit)
        fill(first)
        before = {path.name[25:]: path for path in copies(cache)}
        # The order of use, not of making, nor of name.
        now = time.time()
        for age, name in enumerate(sorted(before, reverse=True)):
            os.utime(before[name], (now - 1000 + age, now - 1000 + age))
        other = write_many(tmp_path / "other", seed=1)
        second = opened(other, cache, cache_limit=limit)
        with Sampled(cache) as sampled:
            # As long as the first set is open, its copies stay.
            wanted = stream(open_shards(url(other)), epochs=2)
            assert stream(second, epochs=2) == wanted
            until_idle(cache)
            assert all(path.exists() for path in before.values())
            assert second.cached == 2  # the first one, and that of one record, no more
            del first
            collect()
            fill(second)
        assert sampled.most <= limit
        left = [name for name, path in before.items() if path.exists()]
        assert left == ["train-00000-of-00006.tfrecord"]

    def test_a_lower_limit_holds_from_the_start(self, made: Made, cache: Path) -> None:
        shards = opened(made, cache)
        fill(shards)
        del shards
        collect()
        again = opened(made, cache, cache_limit=sum(SIZES) // 2)
        assert again.cached < 5
        assert 0 < size(cache) <= sum(SIZES) // 2

    def test_files_of_others_are_left_alone(self, made: Made, cache: Path) -> None:
        mine = [cache / "notes.txt", cache / ("a" * 24) / f"{'b' * 24}-mine.tfrecord"]
        for path in mine:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(sum(SIZES)))
        fill(opened(made, cache, cache_limit=sum(SIZES)))
        assert all(path.stat().st_size == sum(SIZES) for path in mine)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"cache_limit": "1GB"}, "cache_limit goes with cache"),
            ({"cache": "hdfs://host/cache"}, "folder of this machine, not 'hdfs://host/cache'"),
            ({"cache": ""}, "folder of this machine"),
            ({"cache": "c", "cache_limit": "much"}, "cache_limit must be a number of bytes"),
            ({"cache": "c", "cache_limit": 102}, "the smallest shard has 103: nothing could"),
        ],
    )
    def test_options_that_cannot_be_are_refused(
        self, made: Made, options: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(OptionError, match=words):
            open_shards(made.folder, **options)


class Sampled:
    """The most bytes that were in a folder at any time."""

    def __init__(self, folder: Path) -> None:
        self.most = self.times = 0
        self._ends = False
        self._folder = folder
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        before: dict[int, int] = {}
        while not self._ends:
            # What is listed while files come and go was never there together; twice the same was.
            now = sizes(self._folder)
            if now == before:
                self.most = max(self.most, sum(now.values()))
                self.times += 1
            before = now

    def __enter__(self) -> Sampled:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ends = True
        self._thread.join()


def damage(path: Path) -> None:
    """Flip a bit in the middle, and keep inode and times."""
    status = path.stat()
    with open(path, "r+b") as file:
        file.seek(status.st_size // STRIDE // 2 * STRIDE + 40)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 4]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def damage_the_first(path: Path) -> None:
    """Flip a bit in the first record, which is looked at when the file is opened."""
    with open(path, "r+b") as file:
        file.seek(40)
        byte = file.read(1)
        file.seek(40)
        file.write(bytes([byte[0] ^ 4]))


class TestDamagedCopies:
    @pytest.mark.parametrize("shuffle", ORDERS)
    @pytest.mark.parametrize("spoil", [damage, damage_the_first])
    @pytest.mark.parametrize("kind", [of_pixels, of_a_mount, of_images])
    def test_a_flipped_bit_is_told_and_mended(
        self,
        made: Made,
        cache: Path,
        kind: Callable[[Made], tuple[str, dict[str, Any]]],
        shuffle: str,
        spoil: Callable[[Path], None],
    ) -> None:
        source, _ = kind(made)
        wanted = stream(open_shards(source), shuffle=shuffle, epochs=2)
        shards = open_shards(source, cache=cache)
        fill(shards)
        assert stream(shards, shuffle=shuffle, epochs=2) == wanted
        whole = {path: path.read_bytes() for path in copies(cache)}
        spoilt = copies(cache)[:3:2]
        for path in spoilt:
            spoil(path)
        with pytest.warns(CacheWarning) as told:
            assert stream(shards, shuffle=shuffle, epochs=2) == wanted
        for path in spoilt:
            assert sum(str(path) in str(w.message) for w in told) == 1
        assert len(told) == 2
        fill(shards)
        assert {path: path.read_bytes() for path in copies(cache)} == whole
        assert stream(shards, shuffle=shuffle, epochs=2) == wanted

    @pytest.mark.parametrize("core", [True, False])
    @pytest.mark.parametrize("shuffle", ORDERS)
    def test_a_copy_that_is_cut_while_it_is_read_is_mended(
        self,
        made: Made,
        cache: Path,
        shuffle: str,
        core: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if not core:
            monkeypatch.setattr("reader.fetch.fixed_records.has_core", lambda: False)
        wanted = stream(open_shards(url(made)), shuffle=shuffle, epochs=3)
        shards = opened(made, cache)
        fill(shards)
        options = small({"shuffle": shuffle, "epochs": 3})
        found = []
        batches = shards.batches(**options)
        for _ in range(len(wanted) // 3 + 2):
            found.append(pieces(next(batches)))

        def cut_and_read() -> list[tuple[bytes, ...]]:
            for path in copies(cache):
                os.truncate(path, path.stat().st_size // 2)
            return [pieces(batch) for batch in batches]

        # Batches are made ahead, so that a cut may be told at once.
        with pytest.warns(CacheWarning, match=r"was cut at byte .* is removed, and file:///"):
            found += cut_and_read()
        assert found == wanted

    def test_a_copy_of_another_size_is_none(self, made: Made, cache: Path) -> None:
        shards = opened(made, cache)
        fill(shards)
        whole = {path: path.read_bytes() for path in copies(cache)}
        os.truncate(copies(cache)[0], 10)
        assert shards.cached == 4
        fill(shards)
        assert {path: path.read_bytes() for path in copies(cache)} == whole

    def test_copies_that_are_taken_away_are_read_on_and_made_again(
        self, made: Made, cache: Path
    ) -> None:
        shards = opened(made, cache)
        fill(shards)
        wanted = stream(shards, epochs=3)
        found = []
        for number, batch in enumerate(shards.batches(**small({"epochs": 3}))):
            found.append(pieces(batch))
            if number == 3:
                for path in copies(cache):
                    path.unlink()
        assert found == wanted
        fill(shards)
        assert stream(shards, epochs=3) == wanted
        assert len(copies(cache)) == 5


class TestSource:
    @pytest.mark.parametrize("shuffle", ORDERS)
    @pytest.mark.parametrize("kind", [of_pixels, of_a_mount])
    def test_a_shard_that_is_replaced_between_epochs_is_an_error(
        self,
        made: Made,
        cache: Path,
        kind: Callable[[Made], tuple[str, dict[str, Any]]],
        shuffle: str,
    ) -> None:
        source, _ = kind(made)
        shards = open_shards(source, cache=cache)
        fill(shards)
        batches = shards.batches(**small({"shuffle": shuffle, "epochs": None}))
        for _ in range(len(batches)):
            next(batches)
        data = made.shard(2).read_bytes()
        (made.folder / "new").write_bytes(data)
        os.rename(made.folder / "new", made.shard(2))
        with pytest.raises(DatasetError, match=r"train-00002-of-00006.tfrecord was replaced or"):
            # What was made ahead may have been of the next epoch already.
            list(itertools.islice(batches, 3 * len(batches)))

    @pytest.mark.parametrize("with_manifest", [True, False])
    def test_a_set_that_takes_the_place_of_another_is_another(
        self, made: Made, cache: Path, with_manifest: bool
    ) -> None:
        described: dict[str, Any] = {}
        if not with_manifest:
            _, described = without_a_manifest(made)
        old = opened(made, cache, **described)
        fill(old)
        before = copies(cache)
        again = write_many(made.folder, seed=1)
        if not with_manifest:
            without_a_manifest(again)
        shards = opened(again, cache, **described)
        assert shards.cached == 0
        wanted = stream(open_shards(url(again), **described))
        assert stream(shards) == wanted
        fill(shards)
        assert stream(shards) == wanted
        # Nothing else would be told apart from those of today when they are to go.
        assert len(copies(cache)) == (10 if with_manifest else 5)
        assert set(copies(cache)) != set(before)

    def test_a_shard_that_the_manifest_does_not_describe_is_told(
        self, made: Made, cache: Path
    ) -> None:
        # Every record is valid: only the SHA-256 of the whole tells.
        data = made.shard(2).read_bytes()
        records = [data[at : at + STRIDE] for at in range(0, len(data), STRIDE)]
        records[5], records[6] = records[6], records[5]
        made.shard(2).write_bytes(b"".join(records))
        shards = opened(made, cache)
        with pytest.raises(CorruptRecordError, match=rf"^{url(made)}/.*2-of.* its SHA-256 is"):
            list(itertools.chain.from_iterable(map(stream, [shards] * 1000)))
        until_idle(cache)
        assert len(copies(cache)) == 4
        stream(open_shards(url(made)))

    def test_a_damaged_record_is_skipped_as_without_a_cache(self, made: Made, cache: Path) -> None:
        damage(made.shard(4))
        options: dict[str, Any] = {"on_error": "skip", "max_skipped": 1}
        options |= {"shuffle": "window", "drop_remainder": False}
        with pytest.warns(UserWarning, match="CRC of its data"):
            wanted = stream(open_shards(url(made)), **options)
        shards = opened(made, cache)
        next(shards.batches(8, on_error="skip", max_skipped=1))
        until(lambda: shards.cached == 4)
        until_idle(cache)
        with pytest.warns(UserWarning, match="CRC of its data"):
            assert stream(shards, **options) == wanted
        assert len(copies(cache)) == 4
        assert unfinished(cache) == []


def a_file_in_the_way(cache: Path) -> Path:
    cache.parent.mkdir()
    cache.write_bytes(b"mine")
    return cache


def below_a_file(cache: Path) -> Path:
    return a_file_in_the_way(cache) / "below"


def where_nothing_can_be_made(cache: Path) -> Path:
    return Path("/proc/shardio-cache")


def not_ours(cache: Path) -> Path:
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    if os.access(cache, os.W_OK):
        pytest.skip("root may write everywhere")
    return cache


@pytest.mark.parametrize(
    "place", [a_file_in_the_way, below_a_file, where_nothing_can_be_made, not_ours]
)
def test_a_folder_that_cannot_be_written_is_told_once(
    made: Made, cache: Path, place: Callable[[Path], Path]
) -> None:
    wanted = stream(open_shards(url(made)), epochs=2)
    shards = opened(made, place(cache))
    with pytest.warns(CacheWarning, match="read from their source and not cached") as told:
        assert [stream(shards, epochs=2) for _ in range(2)] == [wanted] * 2
    assert len(told) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount")
    yield folder
    collect()
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_once_and_what_fits_in_is_cached(
    tmp_path: Path, small_disk: Path
) -> None:
    made = write_many(tmp_path / "source")
    (small_disk / "others").write_bytes(bytes(48 << 10))
    wanted = stream(open_shards(url(made)), epochs=2)
    shards = opened(made, small_disk)

    def found(shards: ShardSet) -> list[tuple[bytes, ...]]:
        until_idle(small_disk)
        return stream(shards, epochs=2)

    with pytest.warns(CacheWarning, match="bytes are free, and some of them are kept") as told:
        assert [found(shards) for _ in range(3)] == [wanted] * 3
    assert len(told) == 1
    assert 0 < shards.cached < 5
    assert unfinished(small_disk) == []
    # Room that comes is used.
    os.unlink(small_disk / "others")
    fill(shards)
    assert stream(shards, epochs=2) == wanted
    del shards


def test_a_source_that_cannot_be_read_for_a_while_is_read_later(made: Made, cache: Path) -> None:
    shards = opened(made, cache)
    wanted = stream(open_shards(url(made)))
    hidden = made.folder.parent / "hidden"
    os.rename(made.folder, hidden)
    with pytest.raises(MissingFileError, match=r"No such file"):
        stream(shards)
    os.rename(hidden, made.folder)
    fill(shards)
    assert stream(shards) == wanted
    assert shards.cached == 5


def check_adaptor(shards: ShardSet, direct: ShardSet, rows: Callable[[ShardSet], Any]) -> None:
    wanted = rows(direct)
    assert rows(shards) == wanted
    fill(shards)
    assert rows(shards) == wanted


def test_tensorflow_reads_the_same(made: Made, cache: Path) -> None:
    pytest.importorskip("tensorflow")

    def rows(shards: ShardSet) -> list[bytes]:
        dataset = shards.to_tf_dataset(8, rows=True, block=7, epochs=2)
        return [r.numpy().tobytes() for _ in range(2) for *_, r in dataset]

    check_adaptor(opened(made, cache), open_shards(url(made)), rows)


def test_keras_reads_the_same(made: Made, cache: Path) -> None:
    pytest.importorskip("keras")

    def labels(shards: ShardSet) -> list[bytes]:
        batches = shards.to_keras(8, block=7)
        return [batches[i][0].tobytes() for _ in range(2) for i in range(len(batches))]

    check_adaptor(opened(made, cache), open_shards(url(made)), labels)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.jobs)])
def test_the_processes_of_a_data_loader_share_a_cache(made: Made, cache: Path, start: str) -> None:
    data = pytest.importorskip("torch.utils.data")

    def rows(shards: ShardSet) -> list[bytes]:
        batches = shards.to_torch(8, rows=True, block=7)
        loader = data.DataLoader(
            batches, batch_size=None, num_workers=2, multiprocessing_context=start
        )
        return [r.numpy().tobytes() for *_, r in loader]

    shards = opened(made, cache)
    wanted = [batch[-1] for batch in stream(open_shards(url(made)), window=None)]
    assert rows(shards) == wanted
    until_idle(cache)
    assert unfinished(cache) == []
    fill(shards)
    assert rows(shards) == wanted
    assert len(copies(cache)) == 5


@pytest.mark.filterwarnings("ignore::reader.cache.folder.CacheWarning")
@pytest.mark.parametrize("place", ["set", "lock", "open", "filling", "copy"])
def test_a_link_in_the_cache_leads_nobody_out(
    made: Made, cache: Path, tmp_path: Path, place: str
) -> None:
    """Whatever is a link: records are read, and what it leads to stays as it is."""
    first = opened(made, cache)
    fill(first)
    (copy, *_) = copies(cache)
    folder = copy.parent
    del first
    collect()
    home = tmp_path / "home"
    home.mkdir()
    name = f"{'0' * 24}-letter"  # as a copy is called
    for file in (name, f".{name}.1-a.tmp", ".open"):
        (home / file).write_text("dear")
    (home / copy.name).write_bytes(copy.read_bytes())
    os.utime(home / copy.name, (1, 1))
    link, target = {
        "set": (folder, home),
        "lock": (cache / ".shardio.lock", home / "new"),
        "open": (folder / ".open", home / "new"),
        "filling": (folder / ".filling", home / "new"),
        "copy": (copy, home / copy.name),
    }[place]
    link.rename(tmp_path / "away")
    link.symlink_to(target)
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in home.iterdir()}
    wanted = stream(open_shards(url(made)))
    # The first one makes room: what is idle goes.
    for limit in (STRIDE, None, None):
        assert stream(opened(made, cache, cache_limit=limit)) == wanted
        collect()
    until(lambda: not any(t.name == "shardio-cache" for t in threading.enumerate()))
    after = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in home.iterdir()}
    assert after == before
