"""What only a local disk can do wrong: fill up, forbid, block, and lose its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardio.errors import MissingFileError, OutputError, StorageError, UnusableFileError
from shardio.storage import storage_for
from shardio.storage.local import LocalStorage

STORAGE = LocalStorage()


def publish(path: Path, data: bytes, *, overwrite: bool = True) -> None:
    with STORAGE.publish(str(path), attempt="1", overwrite=overwrite) as file:
        file.write(data)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


class TestFullDisk:
    @pytest.mark.parametrize("piece", [1_000, 4_000_000])
    def test_a_file_that_does_not_fit_leaves_nothing(self, small_disk: Path, piece: int) -> None:
        publish(small_disk / "there", b"stays")

        def fill() -> None:
            with STORAGE.publish(str(small_disk / "new" / "big"), attempt="1") as file:
                for _ in range(4_000_000 // piece):
                    file.write(bytes(piece))

        with pytest.raises(StorageError, match=r"new/big: No space left.*free some space"):
            fill()
        assert sorted(path.name for path in small_disk.rglob("*")) == ["new", "there"]
        assert (small_disk / "there").read_bytes() == b"stays"

    def test_an_old_file_is_kept_when_the_new_one_does_not_fit(self, small_disk: Path) -> None:
        publish(small_disk / "a", b"old")
        with pytest.raises(StorageError, match="/a: No space left"):
            publish(small_disk / "a", bytes(2_000_000))
        assert (small_disk / "a").read_bytes() == b"old"
        assert os.listdir(small_disk) == ["a"]

    def test_a_disk_without_room_for_a_name_is_full_too(self, small_disk: Path) -> None:
        def fill() -> None:
            for number in range(30):
                publish(small_disk / f"file{number}", b"")

        with pytest.raises(StorageError, match="No space left"):
            fill()


class TestWhatIsNoRegularFile:
    def refused(self, path: str) -> None:
        for action in (STORAGE.open_stream, STORAGE.open_ranges):
            with pytest.raises(UnusableFileError, match=path):
                action(path)

    def test_a_fifo_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        self.refused(str(tmp_path / "fifo"))

    def test_a_folder(self, tmp_path: Path) -> None:
        self.refused(str(tmp_path))

    def test_a_device(self) -> None:
        self.refused("/dev/zero")

    def test_a_link_to_itself(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        self.refused(str(tmp_path / "loop"))

    def test_a_null_byte(self, tmp_path: Path) -> None:
        path = f"{tmp_path}/a\0b"
        for action in (
            STORAGE.open_stream,
            STORAGE.open_ranges,
            STORAGE.stat,
            STORAGE.list,
            STORAGE.delete,
            lambda path: publish(path, b""),
        ):
            with pytest.raises(UnusableFileError, match="null"):
                action(path)

    def test_a_name_that_no_encoding_takes(self, tmp_path: Path) -> None:
        for action in (STORAGE.open_stream, STORAGE.stat, STORAGE.delete):
            with pytest.raises(UnusableFileError):
                action(f"{tmp_path}/\ud800")

    def test_refusing_leaves_no_descriptor_open(self, tmp_path: Path) -> None:
        before = os.listdir("/proc/self/fd")
        for _ in range(10):
            self.refused(str(tmp_path))
        assert len(os.listdir("/proc/self/fd")) == len(before)


class TestLinks:
    def test_links_are_followed_and_broken_ones_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"abc")
        (tmp_path / "link").symlink_to("file")
        (tmp_path / "nowhere").symlink_to("missing")
        (tmp_path / "loop").symlink_to("loop")
        found = STORAGE.list(str(tmp_path))
        assert [(Path(info.path).name, info.size) for info in found] == [("file", 3), ("link", 3)]
        with STORAGE.open_stream(str(tmp_path / "link")) as stream:
            assert stream.read() == b"abc"
        with pytest.raises(MissingFileError):
            STORAGE.stat(str(tmp_path / "nowhere"))

    def test_a_link_to_a_folder_is_removed_and_the_folder_stays(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_bytes(b"1")
        (tmp_path / "link").symlink_to("folder")
        STORAGE.delete(str(tmp_path / "link"))
        STORAGE.delete(str(tmp_path / "link"))
        assert (tmp_path / "folder" / "file").exists()
        assert os.listdir(tmp_path) == ["folder"]


class TestNames:
    def test_a_newline_and_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        for name in ("a\nb", os.fsdecode(b"\xff\xfe")):
            publish(tmp_path / name, b"abc")
            (info,) = STORAGE.list(str(tmp_path))
            assert info == STORAGE.stat(str(tmp_path / name))
            with STORAGE.open_stream(info.path) as stream:
                assert stream.read() == b"abc"
            STORAGE.delete(info.path)

    @pytest.mark.parametrize("length", [250, 255, 256, 5000])
    def test_a_name_too_long_for_a_temporary_file_is_refused(
        self, tmp_path: Path, length: int
    ) -> None:
        with pytest.raises(UnusableFileError, match="too long"):
            publish(tmp_path / ("x" * length), b"abc")
        assert os.listdir(tmp_path) == []

    def test_a_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        publish(Path("a"), b"abc")
        publish(Path("folder/b"), b"abc")
        assert [info.path for info in STORAGE.list("folder")] == ["folder/b"]
        assert STORAGE.stat("a").size == 3


class TestPublish:
    def test_a_replaced_file_has_another_identity_though_its_time_is_the_same(
        self, tmp_path: Path
    ) -> None:
        seen = set()
        for _ in range(2):
            publish(tmp_path / "a", b"abc")
            os.utime(tmp_path / "a", ns=(0, 0))
            seen.add(STORAGE.stat(str(tmp_path / "a")).identity)
        assert len(seen) == 2

    def test_the_same_attempt_twice_is_refused_and_the_first_goes_on(self, tmp_path: Path) -> None:
        with STORAGE.publish(str(tmp_path / "a"), attempt="1") as file:
            file.write(b"first")
            with pytest.raises(OutputError):
                publish(tmp_path / "a", b"second")
        assert (tmp_path / "a").read_bytes() == b"first"

    def test_it_opens_no_descriptor_for_good(self, tmp_path: Path) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            publish(tmp_path / "a", b"1")
            with pytest.raises(OutputError):
                publish(tmp_path / "a", b"1", overwrite=False)
            STORAGE.open_ranges(str(tmp_path / "a")).close()
            STORAGE.open_stream(str(tmp_path / "a")).close()
        assert len(os.listdir("/proc/self/fd")) == before

    def test_of_many_who_want_to_be_first_one_is(self, tmp_path: Path) -> None:
        code = (
            "import sys\n"
            "from shardio.errors import OutputError\n"
            "from shardio.storage import storage_for\n"
            "path, attempt = sys.argv[1:]\n"
            "sys.stdin.read()\n"
            "try:\n"
            "    with storage_for(path).publish(path, attempt=attempt, overwrite=False) as file:\n"
            "        file.write(attempt.encode())\n"
            "except OutputError:\n"
            "    sys.exit(3)\n"
        )
        tries = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path / "a"), str(number)],
                stdin=subprocess.PIPE,
            )
            for number in range(4)
        ]
        for process in tries:
            assert process.stdin is not None
            process.stdin.close()
        codes = [process.wait(300) for process in tries]
        assert sorted(codes) == [0, 3, 3, 3]
        assert (tmp_path / "a").read_text() == str(codes.index(0))
        assert os.listdir(tmp_path) == ["a"]

    @pytest.mark.parametrize("there", [False, True])
    def test_a_killed_process_leaves_no_final_file(self, tmp_path: Path, there: bool) -> None:
        if there:
            (tmp_path / "a").write_bytes(b"old")
        code = (
            "import sys, time\n"
            "from shardio.storage import storage_for\n"
            "path = sys.argv[1]\n"
            "with storage_for(path).publish(path, attempt='killed') as file:\n"
            "    file.write(bytes(5_000_000))\n"
            "    print('half', flush=True)\n"
            "    time.sleep(600)\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "a")], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        with process.stdout as output:
            assert output.readline() == b"half\n"
            process.send_signal(signal.SIGKILL)
            assert process.wait(60) == -signal.SIGKILL
        if there:
            assert (tmp_path / "a").read_bytes() == b"old"
        else:
            assert not (tmp_path / "a").exists()
        publish(tmp_path / "a", b"the next try")
        assert (tmp_path / "a").read_bytes() == b"the next try"


FORBIDDEN = """
import os, sys
from shardio.errors import UnusableFileError
from shardio.storage import storage_for
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
storage = storage_for(".")
def publish(path):
    with storage.publish(path, attempt="1"):
        pass
for action, path in (
    (storage.open_stream, "closed/file"),
    (storage.stat, "closed/file"),
    (storage.list, "closed"),
    (storage.open_stream, "secret"),
    (storage.open_ranges, "secret"),
    (publish, "fixed/new"),
    (publish, "fixed/new/folder/file"),
    (storage.delete, "fixed/file"),
    (storage.delete, "fixed"),
):
    try:
        action(path)
    except UnusableFileError as error:
        assert path.split("/")[0] in str(error) and "denied" in str(error), error
        assert isinstance(error, PermissionError)
    else:
        sys.exit(f"{path} was not refused")
print("all refused")
"""


def test_what_is_forbidden_is_refused_by_name(tmp_path: Path) -> None:
    for name, mode in (("closed", 0o000), ("fixed", 0o555)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"1")
        (tmp_path / name).chmod(mode)
    (tmp_path / "secret").write_bytes(b"1")
    (tmp_path / "secret").chmod(0)
    # The folders above belong to the user who runs the tests; another one must get in.
    folder = tmp_path
    while os.getuid() == 0 and folder != folder.parent and not folder.stat().st_mode & 0o001:
        folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent
    code = f"import sys; sys.path[:] = {sys.path!r}\n{FORBIDDEN}"
    try:
        found = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
    finally:
        (tmp_path / "closed").chmod(0o755)
        (tmp_path / "fixed").chmod(0o755)
    assert (found.stdout, found.returncode) == ("all refused\n", 0), found.stderr
    assert (tmp_path / "fixed" / "file").read_bytes() == b"1"


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs Linux's /proc/self/mem")
def test_an_error_while_reading_is_translated() -> None:
    # Byte 0 of a process is never mapped: reading it is a true EIO.
    path = "/proc/self/mem"
    for size in (10, -1):
        with STORAGE.open_stream(path) as stream, pytest.raises(StorageError, match=path):
            stream.read(size)
    with STORAGE.open_stream(path) as stream, pytest.raises(StorageError, match=path):
        stream.readinto(bytearray(10))  # type: ignore[attr-defined]
    reader = STORAGE.open_ranges(path)
    with pytest.raises(StorageError, match=f"{path}, byte 0"):
        reader.read_into(0, memoryview(bytearray(10)))
    reader.close()
    with pytest.raises(StorageError, match="byte 5"):
        reader.read_into(5, memoryview(bytearray(10)))


def test_a_plain_path_is_local() -> None:
    for path in ("a", "/a", "./a:b", "", "~/a", "C:/a"):
        assert isinstance(storage_for(path), LocalStorage)


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    names = ["pipe", "link"]
    for path in [*(tmp_path / name for name in names), Path("/proc/self/fd/1")]:
        with pytest.raises(OutputError, match=f"{path} is a device or a pipe; name a file"):
            publish(path, b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert sorted(os.listdir(tmp_path)) == sorted(names)
