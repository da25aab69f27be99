"""A mounted folder holds what the folder holds, read-only, and ends in order."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reader import open_shards
from reader.commands.cli import main
from reader.mount.mount_point import file_system
from tests.reader.datasets import write_dataset
from tests.reader.mounts import ROOT, Mount, need_fuse, run, take_away, wait_until
from tests.reader.processes import run as run_script

NAMES = ["a b", "ü 图.tfrecord", "x,y=z", "q'\"`$(id)", "back\\slash", "new\nline", "-z"]
BIG = 20_000_001


@pytest.fixture(scope="module", autouse=True)
def fuse_is_there() -> None:
    need_fuse()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that nobody writes to."""
    folder = tmp_path_factory.mktemp("with space, comma") / "source"
    (folder / "one/two/three").mkdir(parents=True)
    (folder / "one/two/three/deep").write_bytes(b"deep")
    (folder / "empty").mkdir()
    (folder / "nothing").write_bytes(b"")
    for name in NAMES:
        (folder / name).write_bytes(name.encode())
    (folder / "big").write_bytes(np.random.default_rng(1).bytes(BIG))
    os.utime(folder / "big", ns=(0, 1_700_000_000_123_456_789))
    return folder


@pytest.fixture(scope="module")
def mounted(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mount]:
    mount = Mount(source, tmp_path_factory.mktemp("the point, here"))
    yield mount
    mount.take_away()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Mount]]:
    """Make mounts of `tmp_path / "source"`, or of another folder."""
    made: list[Mount] = []

    def make(*options: str, url: object = None, point: Path | None = None) -> Mount:
        (tmp_path / "source").mkdir(exist_ok=True)
        point = point or tmp_path / "point"
        made.append(Mount(url or tmp_path / "source", point, *options))
        return made[-1]

    yield make
    for mount in made:
        mount.take_away()


def tree(folder: Path) -> dict[str, tuple[bool, int]]:
    return {
        str(path.relative_to(folder)): (path.is_dir(), 0 if path.is_dir() else path.stat().st_size)
        for path in folder.rglob("*")
    }


class TestWhatIsSeen:
    def test_names_kinds_and_sizes_are_those_of_the_source(
        self, mounted: Mount, source: Path
    ) -> None:
        assert tree(mounted.point) == tree(source)
        assert len(tree(source)) == len(NAMES) + 7
        for name in ["nothing", "one/two/three/deep", *NAMES]:
            assert (mounted.point / name).read_bytes() == (source / name).read_bytes()

    def test_times_are_those_of_the_source_and_inodes_are_stable(
        self, mounted: Mount, source: Path
    ) -> None:
        seen = (mounted.point / "big").stat()
        assert abs(seen.st_mtime - (source / "big").stat().st_mtime) < 1e-5
        entries = {entry.name: entry.inode() for entry in os.scandir(mounted.point)}
        assert entries["big"] == seen.st_ino
        assert len(set(entries.values())) == len(entries)

    def test_what_is_missing_is_missing(self, mounted: Mount) -> None:
        for name in ("nowhere", "one/nowhere", "nowhere/at/all", "empty/x"):
            with pytest.raises(FileNotFoundError):
                (mounted.point / name).stat()
        with pytest.raises(NotADirectoryError):
            (mounted.point / "big" / "x").stat()

    def test_nothing_can_be_changed(self, mounted: Mount, source: Path) -> None:
        before = tree(source)
        point = mounted.point
        changes: list[Callable[[], object]] = [
            lambda: (point / "new").write_bytes(b"x"),
            lambda: (point / "big").open("r+b"),
            lambda: (point / "big").open("ab"),
            lambda: (point / "big").unlink(),
            lambda: (point / "big").rename(point / "b"),
            lambda: (point / "sub").mkdir(),
            lambda: (point / "empty").rmdir(),
            lambda: (point / "big").chmod(0o777),
            lambda: os.truncate(point / "big", 0),
            lambda: os.utime(point / "big"),
            lambda: os.symlink("a", point / "link"),
        ]
        for change in changes:
            with pytest.raises(OSError, match="Read-only file system") as caught:
                change()
            assert caught.value.errno == errno.EROFS
        assert tree(source) == before

    def test_a_folder_of_many_files_is_listed(self, make: Callable[..., Mount]) -> None:
        mount = make()
        names = {f"train-{number:05}-of-04000.tfrecord" for number in range(4_000)}
        folder = Path(mount.url, "many")
        folder.mkdir()
        for name in names:
            (folder / name).touch()
        assert set(os.listdir(mount.point / "many")) == names
        assert sum(path.stat().st_size for path in (mount.point / "many").iterdir()) == 0


@settings(max_examples=200, deadline=None)
@given(
    reads=st.lists(
        st.tuples(st.integers(0, BIG + 10), st.integers(0, 300_000)), min_size=1, max_size=8
    )
)
def test_bytes_at_any_place_are_those_of_the_source(
    mounted: Mount, source: Path, reads: list[tuple[int, int]]
) -> None:
    with open(mounted.point / "big", "rb") as seen, open(source / "big", "rb") as wanted:
        for offset, size in reads:
            found = os.pread(seen.fileno(), size, offset)
            assert found == os.pread(wanted.fileno(), size, offset)


def uncached(path: Path) -> int:
    """Open a file of which the kernel keeps nothing."""
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    return file


@pytest.mark.parametrize("threads", [1, 3, 12])
def test_many_read_one_file_in_sequence_at_random_and_backwards(
    mounted: Mount, source: Path, threads: int
) -> None:
    data = (source / "big").read_bytes()
    # One file for all: the places of several readers get mixed up.
    file = uncached(mounted.point / "big")

    def work(seed: int) -> None:
        chosen = random.Random(seed)
        kind = seed % 3
        size = chosen.choice([4096, 100_000, 1 << 20])
        starts = list(range(0, BIG, size))
        if kind == 1:
            starts.reverse()
        elif kind == 2:
            chosen.shuffle(starts)
        for start in starts[:2000]:
            assert os.pread(file, size, start) == data[start : start + size]

    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    finally:
        os.close(file)


def test_the_memory_of_a_mount_is_bounded(make: Callable[..., Mount]) -> None:
    mount = make()
    block = np.random.default_rng(2).bytes(1 << 20)
    wanted = hashlib.sha256(block * 12).hexdigest()
    for number in range(40):
        Path(mount.url, f"{number}").write_bytes(block * 12)
    os.listdir(mount.point)
    before = mount.memory

    def work(number: int) -> str:
        found = hashlib.sha256()
        with open(mount.point / f"{number}", "rb", buffering=0) as file:
            while data := file.read(300_000):
                found.update(data)
        return found.hexdigest()

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(work, range(40))) == {wanted}
    # 32 MiB are read ahead, and each request that is under way takes some more.
    assert mount.memory - before < 160 << 20


class TestChanges:
    def test_a_new_file_is_there_at_once_by_its_name(self, make: Callable[..., Mount]) -> None:
        mount = make()
        assert os.listdir(mount.point) == []
        Path(mount.url, "new").write_bytes(b"new")
        assert (mount.point / "new").read_bytes() == b"new"
        wait_until(lambda: os.listdir(mount.point) == ["new"])

    @pytest.mark.parametrize("size", [100_000, 99_999, 300_000])
    def test_who_opens_a_replaced_file_gets_the_new_one_and_who_has_it_open_an_error(
        self, make: Callable[..., Mount], size: int
    ) -> None:
        mount = make()
        path = Path(mount.url, "file")
        path.write_bytes(b"a" * 100_000)
        seen = mount.point / "file"
        assert seen.read_bytes() == b"a" * 100_000
        inode = seen.stat().st_ino
        with open(seen, "rb", buffering=0) as old:
            path.with_name("next").write_bytes(b"b" * size)
            shutil.copystat(path, path.with_name("next"))
            os.replace(path.with_name("next"), path)
            assert seen.read_bytes() == b"b" * size
            assert seen.stat().st_ino != inode
            assert seen.stat().st_size == size
            os.posix_fadvise(old.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            with pytest.raises(OSError, match="Input/output error"):
                os.pread(old.fileno(), 10, 0)
        assert seen.read_bytes() == b"b" * size
        assert f"{path}: was replaced while it was read" in mount.end()[1]

    def test_what_is_not_replaced_stays_in_the_cache_of_the_kernel(
        self, make: Callable[..., Mount]
    ) -> None:
        mount = make()
        path = Path(mount.url, "file")
        path.write_bytes(bytes(1 << 20))
        assert len((mount.point / "file").read_bytes()) == 1 << 20
        before = path.stat()
        # Written to, but with its old time: only who reads again would see it.
        with path.open("r+b") as file:
            file.write(b"x")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (mount.point / "file").read_bytes()[:1] == b"\0"

    def test_a_file_that_is_gone_is_missing_after_some_seconds(
        self, make: Callable[..., Mount], tmp_path: Path
    ) -> None:
        path = tmp_path / "source" / "file"
        path.parent.mkdir()
        path.write_bytes(b"x")
        mount = make()
        assert os.listdir(mount.point) == ["file"]
        path.unlink()
        with pytest.raises(FileNotFoundError):
            (mount.point / "file").read_bytes()
        wait_until(lambda: os.listdir(mount.point) == [])

    def test_an_error_of_the_storage_is_one_of_the_reader_and_the_mount_goes_on(
        self, make: Callable[..., Mount], tmp_path: Path
    ) -> None:
        folder = tmp_path / "source"
        folder.mkdir()
        (folder / "good").write_bytes(b"good")
        os.mkfifo(folder / "pipe")
        mount = make()
        with pytest.raises(PermissionError):
            (mount.point / "pipe").read_bytes()
        assert (mount.point / "good").read_bytes() == b"good"
        assert f"{folder}/pipe: not a regular file" in mount.end()[1]


def ours(mount: Mount, name: str = "train-*.tfrecord") -> list[int]:
    batches = open_shards(f"{mount.point}/{name}").batches(8, shuffle="none", rows=True)
    return [int(row) for _, _, rows in batches for row in rows]


def test_our_reader_and_a_stock_dataset_read_the_mounted_glob(
    make: Callable[..., Mount], tmp_path: Path
) -> None:
    tf = pytest.importorskip("tensorflow")
    made = write_dataset(tmp_path / "source", (600, 400))
    mount = make()
    assert ours(mount) == made.rows.tolist()
    exact = open_shards(f"{mount.point}/train-*.tfrecord").batches(10, seed=3, rows=True)
    local = open_shards(made.glob).batches(10, seed=3, rows=True)
    for (x, _, rows), (wanted, _, wanted_rows) in zip(exact, local, strict=True):
        assert (x == wanted).all()
        assert (rows == wanted_rows).all()
    stock = tf.data.TFRecordDataset(tf.io.gfile.glob(f"{mount.point}/train-*.tfrecord"))
    parsed = [tf.train.Example.FromString(record.numpy()) for record in stock]
    found = [example.features.feature["row"].int64_list.value[0] for example in parsed]
    assert found == made.rows.tolist()


class TestTheEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_signal_unmounts(self, make: Callable[..., Mount], number: signal.Signals) -> None:
        mount = make()
        code, said = mount.end(number)
        assert (code, said) == (0, "")
        assert not mount.is_up
        assert os.listdir(mount.point) == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_unmounts_also_while_files_are_read(
        self, make: Callable[..., Mount], number: signal.Signals
    ) -> None:
        mount = make()
        Path(mount.url, "file").write_bytes(bytes(50_000_000))
        stopped = threading.Event()

        def work() -> None:
            with open(mount.point / "file", "rb", buffering=0) as file:
                while not stopped.is_set():
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    try:
                        os.pread(file.fileno(), 100_000, random.randrange(50_000_000))
                    except OSError:
                        return

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(work)
            time.sleep(0.3)
            code, _ = mount.end(number)
            stopped.set()
        assert code == 0
        assert not mount.is_up

    def test_the_command_unmounts(
        self, make: Callable[..., Mount], capsys: pytest.CaptureFixture[str]
    ) -> None:
        mount = make()
        with folder_in_use(mount.point):
            assert main(["unmount", str(mount.point)]) == 1
        assert "close what reads from it first" in capsys.readouterr().err
        assert main(["unmount", str(mount.point)]) == 0
        assert not mount.is_up
        assert mount.process.wait(120) == 0
        assert main(["unmount", str(mount.point)]) == 1
        assert "nothing is mounted there" in capsys.readouterr().err
        assert main(["unmount", "/proc"]) == 1
        assert "a file system of type proc is mounted there" in capsys.readouterr().err

    def test_after_a_kill_the_next_mount_takes_the_dead_one_away(
        self, make: Callable[..., Mount], capsys: pytest.CaptureFixture[str]
    ) -> None:
        mount = make()
        Path(mount.url, "file").write_bytes(b"x")
        mount.process.kill()
        mount.process.wait()
        with pytest.raises(OSError, match="Transport endpoint is not connected"):
            os.listdir(mount.point)
        again = make()
        assert (again.point / "file").read_bytes() == b"x"
        again.process.kill()
        again.process.wait()
        assert main(["unmount", str(mount.point)]) == 0
        assert not mount.is_up
        capsys.readouterr()


@contextmanager
def folder_in_use(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDONLY)
    yield
    os.close(file)


def test_a_daemon_returns_once_it_is_mounted_and_says_how_to_end_it(tmp_path: Path) -> None:
    source, point = tmp_path / "source", tmp_path / "a point"
    source.mkdir()
    (source / "file").write_bytes(b"x")
    try:
        done = run("mount", source, point, "--daemon")
        assert done.returncode == 0, done.stderr
        assert (point / "file").read_bytes() == b"x"
        assert f"`shardio-read unmount '{point}'`" in done.stdout
        assert log_of(done.stdout).read_text() == ""
        assert run("mount", source, point, "--daemon").returncode == 1
        assert (point / "file").read_bytes() == b"x"
        assert run("unmount", point).returncode == 0
        assert file_system(str(point)) is None
        assert not (point / "file").exists()
        wait_until(lambda: not log_of(done.stdout).exists())
    finally:
        take_away(point)


def log_of(said: str) -> Path:
    return Path(re.findall(r"listed in ([^,\s]+)", said)[0])


def test_the_log_of_a_daemon_stays_if_there_is_something_in_it(tmp_path: Path) -> None:
    source, point = tmp_path / "source", tmp_path / "point"
    source.mkdir()
    os.mkfifo(source / "pipe")
    try:
        done = run("mount", source, point, "--daemon")
        with pytest.raises(PermissionError):
            (point / "pipe").read_bytes()
        log = log_of(done.stdout)
        assert run("unmount", point).returncode == 0
        wait_until(lambda: not pids_with(str(log)))
        assert f"{source}/pipe: not a regular file" in log.read_text()
        log.unlink()
    finally:
        take_away(point)


def pids_with(word: str) -> list[str]:
    """Return the processes whose command line has a word in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if word.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found


# Several command lines in one process, which starts once; what each returns and says.
_EACH = """
import io, json, sys
from contextlib import redirect_stderr
from reader.commands.cli import main
said = []
for words in json.loads(sys.argv[1]):
    with redirect_stderr(io.StringIO()) as stderr:
        code = main(words)
    said.append((code, stderr.getvalue()))
print(json.dumps(said))
"""


class TestRefusals:
    def test_a_mount_point_is_made_where_it_is_missing(
        self, make: Callable[..., Mount], tmp_path: Path
    ) -> None:
        mount = make(point=tmp_path / "not/yet")
        assert mount.is_up

    def test_what_cannot_be_mounted_is_told(self, tmp_path: Path) -> None:
        source, file, full = (str(tmp_path / name) for name in ("source", "file", "full"))
        (tmp_path / "source").mkdir()
        (tmp_path / "file").write_bytes(b"")
        (tmp_path / "full").mkdir()
        (tmp_path / "full/x").write_bytes(b"")
        point = str(tmp_path / "point")
        refused = [
            (source, file, "Not a directory|File exists"),
            (source, full, "is not empty; what is in it would be hidden"),
            (f"{tmp_path}/nowhere", point, "nowhere: No such file or directory"),
            (file, point, "is a file; mount the folder that it is in"),
            ("nosuch://x/y", point, "nosuch://x"),
        ]
        for daemon in ([], ["--daemon"]):
            given = [["mount", url, where, *daemon] for url, where, _ in refused]
            for (_, where, words), (code, said) in zip(
                refused, run_script(_EACH, json.dumps(given)), strict=True
            ):
                assert code == 1
                assert re.search(words, said), said
                assert said.startswith("shardio-read: ")
                assert said.count("\n") == 1
                assert file_system(where) is None

    def test_what_is_mounted_already_is_told(self, make: Callable[..., Mount]) -> None:
        mount = make()
        done = run("mount", mount.url, mount.point)
        assert done.returncode == 1
        assert "something is mounted there already (fuse.shardio)" in done.stderr
        assert f"shardio-read unmount {mount.point}" in done.stderr
        assert mount.is_up

    @pytest.mark.parametrize(
        ("break_it", "words"),
        [
            ("import os; os.environ['PATH'] = '/nowhere'", "fusermount3 is missing"),
            ("import reader.mount.mount_point as m; m._DEVICE = '/nowhere/fuse'", "--device"),
            ("import sys; sys.modules['mfusepy'] = None", r"extra \[mount\]"),
            ("import os; os.environ['FUSE_LIBRARY_PATH'] = '/nowhere.so'", "libfuse3 is missing"),
        ],
    )
    def test_without_fuse_two_other_ways_are_named(
        self, tmp_path: Path, break_it: str, words: str
    ) -> None:
        (tmp_path / "source").mkdir()
        code = (
            f"{break_it}\nimport sys\nfrom reader.commands.cli import main\n"
            f"sys.exit(main(['mount', '{tmp_path}/source', '{tmp_path}/point']))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 1
        assert re.search(words, done.stderr), done.stderr
        assert "open_shards(" in done.stderr
        assert "`shardio-read stage " in done.stderr
        assert done.stderr.count("\n") == 1
