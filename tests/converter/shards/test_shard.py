"""The bytes of a shard, its done-record and its rejects."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converter.shards.shard import ShardJob, convert_shard
from converter.sources import patience
from converter.sources.image_files import MAX_FILE_BYTES
from shardio.errors import MissingExtraError, StorageError
from shardio.format.done import DoneRecord
from shardio.format.naming import ShardName
from shardio.format.transform import Transform
from tests.converter.inputs import BOXED, contents, encoded, picture

NAME = ShardName("train", 0, 1)


def write_plain(folder: Path, count: int = 3) -> list[str]:
    """Write BMP files: their pixels are the same with any decoder."""
    paths = []
    for number in range(count):
        pixels = np.arange(number, number + 24, dtype=np.uint8).reshape(2, 4, 3)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
        paths.append(str(folder / f"{number}.bmp"))
    return paths


def job(folder: Path, locations: list[str], transform: Transform | None = None) -> ShardJob:
    count = len(locations)
    return ShardJob(
        folder=str(folder),
        name=NAME,
        transform=transform or Transform(None, (4, 2)),
        heads=("y0", "colour"),
        rows=np.arange(count, dtype=np.int64) * 1000 + 7,
        labels=np.array([[row, 2**31 - 1 - row] for row in range(count)]).reshape(count, 2),
        paths=[os.path.basename(location) for location in locations],
        locations=locations,
    )


def make(job: ShardJob) -> DoneRecord:
    return convert_shard(job, lambda size, rejected, written: None).done


def test_the_bytes_of_a_shard_are_pinned(tmp_path: Path) -> None:
    """Other bytes for the same input are another format version."""
    done = make(job(tmp_path / "out", write_plain(tmp_path)))
    data = (tmp_path / "out" / str(NAME)).read_bytes()
    assert len(data) == done.bytes == 3 * PINNED_STRIDE
    assert done.sha256 == hashlib.sha256(data).hexdigest() == PINNED_SHA256
    assert data[:PINNED_STRIDE].hex() == PINNED_RECORD


PINNED_STRIDE = 113
PINNED_SHA256 = "5bd3a0fd07c886569567aeeb6c40d5e02f050b57e99493ee089102bdc036699c"
PINNED_RECORD = (
    "6100000000000000008f90640a5f0a250a05696d616765121c0a1a0a18000102030405060708090a"
    "0b0c0d0e0f10111213141516170a0f0a02793012091a070a0580808080000a130a06636f6c6f7572"
    "12091a070a05ffffffff070a100a03726f7712091a070a0587808080009ea4f737"
)


def test_the_done_record_says_what_the_shard_is(tmp_path: Path) -> None:
    done = make(job(tmp_path / "out", write_plain(tmp_path)))
    data = (tmp_path / "out" / str(NAME)).read_bytes()
    there = (tmp_path / "out" / NAME.done_path).read_bytes()
    assert DoneRecord.from_json(there, "done") == done
    stride = len(data) // 3
    assert done.first_crc == int.from_bytes(data[stride - 4 : stride], "little")
    assert done.last_crc == int.from_bytes(data[-4:], "little")
    assert (done.file, done.records, done.rejects) == (str(NAME), 3, ())
    # All of the work but for publishing the shard.
    assert done.seconds is not None
    assert min(done.seconds.reading, done.seconds.decoding, done.seconds.writing) > 0
    assert done.seconds.encoding == 0


def test_nothing_else_is_left(tmp_path: Path) -> None:
    make(job(tmp_path / "out", write_plain(tmp_path)))
    assert set(contents(tmp_path / "out")) == {str(NAME), NAME.done_path}


def write_broken(folder: Path) -> dict[str, str]:
    """Write one file of each kind that is rejected; returns the reason for each."""
    good = encoded(picture("RGB", 300, 40), "PNG")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image at all")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "small.png").write_bytes(encoded(picture("RGB", 200, 40), "PNG"))
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    with (folder / "large.png").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    (folder / "nowhere.png").symlink_to("no-such-file")
    (folder / "circle.png").symlink_to("circle.png")
    return {
        "missing.png": "no such file",
        "empty.png": "the file is empty",
        "text.png": "not an image",
        "cut.png": "broken image: ",
        "small.png": "the crop box 186,0,300,30 reaches outside the image of 200x40",
        "folder.png": "not a regular file",
        "pipe.png": "not a regular file",
        "large.png": f"the file is larger than {MAX_FILE_BYTES:,} bytes",
        "nowhere.png": "no such file",
        "circle.png": "Too many levels of symbolic links",
        "text.png/below.png": "no such file",
        "n" * 300 + ".png": "File name too long",
    }


def test_every_image_that_cannot_be_used_is_a_reject_with_its_reason(tmp_path: Path) -> None:
    reasons = write_broken(tmp_path)
    (tmp_path / "good.png").write_bytes(encoded(picture("RGB", 300, 40), "PNG"))
    locations = [str(tmp_path / name) for name in (*reasons, "good.png")]
    told: list[tuple[int, bool, int]] = []
    result = convert_shard(
        job(tmp_path / "out", locations, BOXED),
        lambda size, rejected, written: told.append((size, rejected, written)),
    )
    found = result.done.rejects
    assert [reject.row for reject in found] == [1000 * n + 7 for n in range(len(reasons))]
    for reject, (name, reason) in zip(found, reasons.items(), strict=True):
        assert reject.path == os.path.basename(name)
        assert reject.reason.startswith(reason)
    assert result.done.records == 1
    assert [rejected for _, rejected, _ in told] == [True] * len(reasons) + [False]
    assert [written for _, _, written in told] == [0] * len(reasons) + [result.done.bytes]


def test_a_shard_of_rejects_alone_is_empty(tmp_path: Path) -> None:
    done = make(job(tmp_path / "out", [str(tmp_path / "none.png")] * 3))
    assert (done.records, done.bytes, len(done.rejects)) == (0, 0, 3)
    assert done.first_crc is done.last_crc is None
    assert (tmp_path / "out" / str(NAME)).read_bytes() == b""


def test_stopping_leaves_nothing(tmp_path: Path) -> None:
    def stop(size: int, rejected: bool, written: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_shard(job(tmp_path / "out", write_plain(tmp_path)), stop)
    assert contents(tmp_path / "out") == {}


def test_an_image_on_a_storage_that_cannot_be_reached_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_INPUT_SECONDS", 0.1)
    with pytest.raises((MissingExtraError, StorageError)):
        make(job(tmp_path / "out", ["nosuchscheme://a/b.png"]))
    assert contents(tmp_path / "out") == {}


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs /proc/self/mem")
def test_an_io_error_is_tried_again_and_is_no_reject(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A real file whose reading really fails.
    with (
        open("/proc/self/mem", "rb", buffering=0) as file,
        pytest.raises(OSError, match="Input/output error"),
    ):
        file.read(1)
    monkeypatch.setattr(patience, "_INPUT_SECONDS", 0.3)
    with pytest.raises(StorageError, match="/proc/self/mem: Input/output error"):
        make(job(tmp_path / "out", ["/proc/self/mem"]))
    assert contents(tmp_path / "out") == {}
