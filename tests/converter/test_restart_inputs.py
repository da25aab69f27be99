"""A run goes on with the images that it began with, and looks at its rejects again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from PIL import Image

from converter import ConvertOptions, Summary, convert
from converter.engines.protocol import NoProgress
from converter.shards.output import OutputFolder
from reader import open_shards
from shardio.errors import ManifestError, OutputError, RejectsError
from shardio.format.encoding import Encoding
from shardio.format.manifest import Manifest
from shardio.format.transform import Transform
from shardio.storage import search
from tests.converter.inotify import opened_files
from tests.converter.inputs import contents, run, write_csv

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=4)
ROWS = 40


class Stop(Exception):
    pass


class StopAt(NoProgress):
    """Stops when there are so many shards."""

    def __init__(self, out: str, shards: int) -> None:
        self.out = out
        self.shards = shards

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        if len(search(f"{self.out}/*.tfrecord")) == self.shards:
            raise Stop


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of paths that are below the folders a and b: images that are black, and grey."""
    for name, colour in (("a", 0), ("b", 200)):
        (tmp_path / name).mkdir()
        for row in range(ROWS):
            Image.new("RGB", (8, 4), (colour,) * 3).save(tmp_path / name / f"{row}.png")
    rows = [[f"{row}.png", row % 3] for row in range(ROWS)]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


@pytest.fixture(params=["local", "memory"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "out") if request.param == "local" else f"memory://{uuid4().hex}/out"


def go(table: Path, out: str, root: str | None = "a", **how: object) -> Summary:
    how = {"engine": "inline", "options": OPTIONS, **how}
    below = None if root is None else str(table.parent / root)
    return convert(str(table), out, root=below, **how)  # type: ignore[arg-type]


def stopped(table: Path, out: str, root: str = "a", shards: int = 2) -> None:
    with pytest.raises(Stop):
        go(table, out, root, progress=StopAt(out, shards))


def pixels(out: str) -> set[int]:
    return {int(value) for x, _ in open_shards(out).batches(1, dtype="uint8") for value in x.flat}


def read(path: str) -> bytes:
    with fsspec.open(path, "rb") as file:
        data: bytes = file.read()
    return data


# The root.


def test_images_of_two_roots_are_never_mixed(table: Path, out: str) -> None:
    stopped(table, out)
    inputs = json.loads(read(f"{out}/.shardio/inputs.json"))
    assert inputs == {"root": str(table.parent / "a")}
    with pytest.raises(OutputError, match=r"images below .*/a, and now .*/b\. .*--moved"):
        go(table, out, "b")
    assert go(table, out).shards_kept == 2
    assert pixels(out) == {0}


class AnotherAt(NoProgress):
    """Begins a conversion of other images into the same folder, at the start and at each shard."""

    def __init__(self, table: Path, out: str) -> None:
        self.table = table
        self.out = out
        self.refusals = 0

    def announce(self, line: str) -> None:
        with pytest.raises(OutputError, match=r"images below .*/a, and now|another conversion is"):
            go(self.table, self.out, "b")
        self.refusals += 1

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        self.announce("")


def test_two_roots_at_once_are_never_mixed(table: Path, out: str) -> None:
    """Also where no lock keeps the second run out, and no shard is finished yet."""
    another = AnotherAt(table, out)
    go(table, out, "a", progress=another)
    assert another.refusals > 1
    assert pixels(out) == {0}


def test_a_root_that_was_moved_goes_on(table: Path, out: str) -> None:
    stopped(table, out)
    (table.parent / "a").rename(table.parent / "c")
    assert go(table, out, "c", moved=True).shards_kept == 2
    assert pixels(out) == {0}


def test_a_moved_root_is_the_root_from_then_on(table: Path, out: str) -> None:
    stopped(table, out, shards=1)
    (table.parent / "a").rename(table.parent / "c")
    with pytest.raises(Stop):
        go(table, out, "c", moved=True, progress=StopAt(out, 2))
    with pytest.raises(OutputError, match="images below"):
        go(table, out, "b")
    assert go(table, out, "c").shards_kept == 2


def test_the_same_root_in_other_words(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also that of the table itself, from any current folder."""
    out = str(tmp_path / "out")
    shutil.move(table, tmp_path / "a" / "t.csv")
    table = tmp_path / "a" / "t.csv"
    with pytest.raises(Stop):
        go(table, out, None, progress=StopAt(out, 1))
    monkeypatch.chdir(tmp_path / "b")
    for shards, root in enumerate(("../a", "../b/../a/"), 2):
        with pytest.raises(Stop):
            convert(
                "../a/t.csv",
                out,
                OPTIONS,
                root=root,
                engine="inline",
                progress=StopAt(out, shards),
            )
    assert convert("../a/t.csv", out, OPTIONS, engine="inline").shards_kept == 3


def test_where_nothing_was_made_of_it_another_root_may_be_given(table: Path, out: str) -> None:
    (table.parent / "empty").mkdir()
    with pytest.raises(RejectsError):
        go(table, out, "empty")
    summary = go(table, out)
    assert summary.records == ROWS
    assert pixels(out) == {0}


def test_a_lost_or_damaged_record_of_the_root_is_refused(table: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    stopped(table, out)
    inputs = tmp_path / "out" / ".shardio" / "inputs.json"
    inputs.write_bytes(b'{"root": 1}')
    with pytest.raises(ManifestError, match=r"(?s)inputs\.json.*root must be a string or null"):
        go(table, out)
    inputs.unlink()
    with pytest.raises(OutputError, match="below an unknown folder"):
        go(table, out)
    assert go(table, out, moved=True).shards_kept == 2


def test_a_finished_set_does_not_depend_on_the_root(table: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    go(table, str(tmp_path / "of-a"))
    go(table, str(tmp_path / "of-c"), "c")
    assert contents(tmp_path / "of-a") == contents(tmp_path / "of-c")
    # Nor does the next run, which compares images rather than names.
    summary = go(table, str(tmp_path / "of-a"), "c")
    assert summary.complete_before
    (line,) = summary.lines()
    assert "The images of 8 records were compared and are the same, the others were not" in line


@pytest.mark.parametrize("how", [{}, {"moved": True}, {"repair": True}])
def test_a_finished_set_of_other_images_is_not_called_complete(
    table: Path, out: str, how: dict[str, bool]
) -> None:
    go(table, out)
    with pytest.raises(OutputError, match=r"of other images: row \d+ of train-0000.*/b/\d+\.png"):
        go(table, out, "b", **how)
    assert pixels(out) == {0}


def test_of_images_that_are_gone_it_is_said_that_nothing_is_known(table: Path, out: str) -> None:
    go(table, out)
    (table.parent / "empty").mkdir()
    summary = go(table, out, "empty")
    assert summary.complete_before
    (line,) = summary.lines()
    assert "is not known: 8 were looked at and none can be used (row " in line
    assert summary.to_json()["images_compared"] == {"same": 0, "unusable": 8}


def test_the_command_line_knows_it(table: Path, tmp_path: Path) -> None:
    stopped(table, str(tmp_path / "out"))
    command = (table, tmp_path / "out", "--crop", "none", "--size", "4x2", "--shards", 4)
    done = run(*command, "--root", tmp_path / "b")
    assert done.returncode == 1
    assert "--moved if these are the same images" in done.stderr
    done = run(*command, "--root", tmp_path / "b", "--moved")
    assert done.returncode == 1
    assert "other images, which have changed since" in done.stderr
    shutil.move(tmp_path / "a", tmp_path / "c")
    done = run(*command, "--root", tmp_path / "c", "--moved")
    assert done.returncode == 0, done.stderr


# Rejects.


def finish_but_for_the_manifest(table: Path, out: str, root: str | None = "a") -> None:
    """Convert, and stop when all shards are finished."""

    def stop(folder: OutputFolder, manifest: Manifest) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OutputFolder, "finish", stop)
        with pytest.raises(Stop):
            go(table, out, root, max_rejects="1000")


def mend(table: Path, row: int) -> None:
    shutil.copy(table.parent / "a" / "1.png", table.parent / "a" / f"{row}.png")


@pytest.mark.parametrize("mended", [(), (7,), (7, 8, 9)])
def test_a_shard_is_made_again_only_where_a_reject_can_be_used(
    table: Path, tmp_path: Path, mended: tuple[int, ...]
) -> None:
    out = tmp_path / "out"
    rejects = (7, 8, 9)
    for row in rejects:
        (table.parent / "a" / f"{row}.png").write_bytes(b"no image")
    finish_but_for_the_manifest(table, str(out))
    before = {path.name: path.stat().st_ino for path in out.glob("*.tfrecord")}
    lacking = {
        file.name.removesuffix(".json")
        for file in (out / ".shardio" / "done").iterdir()
        if any(reject["row"] in mended for reject in json.loads(file.read_bytes())["rejects"])
    }
    for row in mended:
        mend(table, row)
    summary = go(table, str(out), max_rejects="3")
    after = {path.name: path.stat().st_ino for path in out.glob("*.tfrecord")}
    assert {name for name in after if after[name] != before[name]} == lacking
    assert (summary.shards_made, summary.rejected) == (len(lacking), 3 - len(mended))
    assert f"looked at again: {summary.looked_at} of earlier runs" in "\n".join(summary.lines())
    go(table, str(tmp_path / "fresh"), max_rejects="3")
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_higher_limit_does_not_go_on_with_holes(table: Path, out: str) -> None:
    for row in range(0, ROWS, 2):
        (table.parent / "a" / f"{row}.png").unlink()
    with pytest.raises(RejectsError, match=r"opens rejected images again[.]"):
        go(table, out, max_rejects="4")
    with pytest.raises(RejectsError, match=r"opens rejected images again \([1-9]\d* were now\)"):
        go(table, out, max_rejects="4")
    for row in range(0, ROWS, 2):
        mend(table, row)
    assert go(table, out, max_rejects="100%").rejected == 0


def test_a_finished_set_says_how_its_rejects_are_looked_at(table: Path, out: str) -> None:
    (table.parent / "a" / "7.png").unlink()
    go(table, out, max_rejects="1")
    mend(table, 7)
    (line,) = go(table, out, max_rejects="1").lines()
    assert "1 image was rejected: --repair looks at it again" in line
    assert go(table, out, max_rejects="1", repair=True).rejected == 0


@pytest.mark.slow
def test_a_thousand_rejects_open_a_thousand_files(tmp_path: Path) -> None:
    """Among 100,000 rows, all of which are finished."""
    folder = tmp_path / "a"
    folder.mkdir()
    for number in range(20):
        Image.new("L", (4, 2), number).save(folder / f"good-{number}.png")
    bad = [f"bad-{number}.png" for number in range(1000)]
    for name in bad:
        (folder / name).write_bytes(b"no image")
    rows = [[f"good-{row % 20}.png", row % 3] for row in range(100_000)]
    for number, name in enumerate(bad):
        rows[number * 100 + number % 100][0] = name
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
    out = str(tmp_path / "out")
    finish_but_for_the_manifest(table, out)
    with opened_files(folder) as opened:
        summary = go(table, out, max_rejects="1000")
    # And a few of the others, whose records are compared.
    assert {name: count for name, count in opened.items() if name in bad} == dict.fromkeys(bad, 1)
    assert sum(opened.values()) <= 1000 + 32
    assert (summary.looked_at, summary.shards_made, summary.rejected) == (1000, 0, 1000)


# Images that change at their place.


def change(table: Path, rows: range, colour: int = 90) -> None:
    for row in rows:
        Image.new("RGB", (8, 4), (colour,) * 3).save(table.parent / "a" / f"{row}.png")


def test_images_that_have_changed_are_never_mixed(table: Path, out: str) -> None:
    stopped(table, out)
    change(table, range(ROWS))
    for moved in (False, True):
        with pytest.raises(
            OutputError, match=r"other images, which have changed since: row \d+ of"
        ):
            go(table, out, moved=moved)
    go(table, out, overwrite=True)
    assert pixels(out) == {90}


def test_the_first_and_last_image_of_finished_shards_are_compared(table: Path, out: str) -> None:
    stopped(table, out, shards=4)
    rows = go(table, f"{out}-whole").records
    assert rows == ROWS
    ends = {
        int(number)
        for shard in open_shards(f"{out}-whole").shards
        for batch in [list(open_shards([shard.path]).batches(1, shuffle="none", rows=True))]
        for number in (batch[0][2][0], batch[-1][2][0])
    }
    assert len(ends) == 8
    for row in sorted(ends):
        change(table, range(row, row + 1))
        with pytest.raises(OutputError, match=rf"row {row} of train-\d+-of-00004\.tfrecord is not"):
            go(table, out)
        change(table, range(row, row + 1), 0)
    summary = go(table, out)
    assert (summary.shards_kept, summary.to_json()["images_compared"]["same"]) == (4, 8)
    assert "the images of 8 records were compared and are the same" in "\n".join(summary.lines())


def test_images_that_are_gone_since_stop_nothing(table: Path, out: str) -> None:
    """Whoever has little room removes what is converted."""
    stopped(table, out, shards=4)
    for row in range(ROWS):
        (table.parent / "a" / f"{row}.png").unlink()
    summary = go(table, out)
    assert summary.records == ROWS
    assert summary.to_json()["images_compared"] == {"same": 0, "unusable": 8}
    assert pixels(out) == {0}


# What is finished, at the end.


@pytest.mark.parametrize("how", ["remove", "cut", "index"])
def test_a_finished_shard_that_vanishes_is_in_no_manifest(
    table: Path, tmp_path: Path, how: str
) -> None:
    out = tmp_path / "out"
    options = ConvertOptions(transform=Transform(None, (4, 2)), shards=4, encoding=Encoding("png"))

    class Vanish(NoProgress):
        def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
            for shard in out.glob("train-00000*.tfrecord"):
                if how == "cut":
                    os.truncate(shard, 10)
                else:
                    (shard.with_name(f"{shard.name}.idx") if how == "index" else shard).unlink(
                        missing_ok=True
                    )

    with pytest.raises(OutputError, match=r"1 finished file of .* is gone.*same command"):
        go(table, str(out), options=options, progress=Vanish())
    assert not (out / "dataset.json").exists()
    assert go(table, str(out), options=options).shards_made == 1
    go(table, str(tmp_path / "fresh"), options=options)
    assert contents(out) == contents(tmp_path / "fresh")


def test_an_empty_work_folder_of_a_finished_set_is_removed(table: Path, tmp_path: Path) -> None:
    for scheme in ("", "file://"):
        out = tmp_path / f"out{len(scheme)}"
        go(table, f"{scheme}{out}")
        (out / ".shardio").mkdir()
        assert go(table, f"{scheme}{out}").complete_before
        assert not (out / ".shardio").exists()
