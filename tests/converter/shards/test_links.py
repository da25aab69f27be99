"""Nothing outside the output folder is written or deleted, whatever is linked to from within it."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from converter import ConvertOptions, convert
from converter.engines.protocol import NoProgress
from shardio.errors import OutputError, ShardioError
from shardio.format.encoding import Encoding
from shardio.format.transform import Transform
from tests.converter.inputs import write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=2, encoding=Encoding("png"))
SHARD = "train-00001-of-00002.tfrecord"
TEMPORARY = (
    f".{SHARD}.0a.tmp",
    ".dataset.json.0a.tmp",
    f".shardio/done/.{SHARD}.json.0a.tmp",
    ".shardio/.plan.json.0a.tmp",
)
PLACES = (
    *(".shardio", ".shardio/lock", ".shardio/plan.json", ".shardio/inputs.json"),
    *(".shardio/done", f".shardio/done/{SHARD}.json"),
    *(SHARD, f"{SHARD}.idx", "rejects.csv", "records.parquet", "times.json", "dataset.json"),
    *TEMPORARY,
)
# What a link leads to: something that is not there could be made.
TARGETS = ("folder", "file", "nowhere")
WAYS: dict[str, dict[str, bool]] = {
    "run": {},
    "overwrite": {"overwrite": True},
    "repair": {"repair": True},
}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of six images, of which one is missing."""
    names = write_images(tmp_path / "images", 5, (8, 4))
    rows = [[f"images/{name}", n] for n, name in enumerate([*names, "none.png"])]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


def go(table: Path, out: str, **how: Any) -> None:
    convert(str(table), out, OPTIONS, engine="inline", max_rejects="1", **how)


class StopEarly(NoProgress):
    """Stops before the set is finished."""

    def __init__(self) -> None:
        self.told = 0

    def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
        self.told += 1
        if self.told == 2:
            raise KeyboardInterrupt


def outside(folder: Path) -> Path:
    """Make a folder with what a conversion might delete."""
    (folder / "folder" / "done").mkdir(parents=True)
    for name in ("file", "folder/letter", "folder/plan.json", f"folder/done/{SHARD}.json"):
        (folder / name).write_text("dear")
    (folder / "folder" / f".{SHARD}.0a.tmp").write_text("half a letter")
    return folder


def listed(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what is below a folder, and when it was changed."""
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in (folder, *folder.rglob("*"))
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", ["empty", "unfinished", "complete"])
@pytest.mark.parametrize("scheme", ["", "file://"])
@pytest.mark.slow
def test_a_link_in_any_place_leads_nobody_out(
    table: Path, tmp_path: Path, scheme: str, state: str, way: str
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    if state == "complete":
        go(table, str(made))
    if state == "unfinished":
        with pytest.raises(KeyboardInterrupt):
            go(table, str(made), progress=StopEarly())
        assert (made / ".shardio" / "plan.json").exists()
    refused = 0
    for place in PLACES:
        for target in TARGETS:
            out, home = tmp_path / "out", outside(tmp_path / "home")
            shutil.copytree(made, out)
            link = out / place
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_dir():
                shutil.rmtree(link)
            link.unlink(missing_ok=True)
            link.symlink_to(home / target)
            before = listed(home)
            try:
                go(table, f"{scheme}{out}", **WAYS[way])
            except ShardioError:
                refused += 1
            assert listed(home) == before, (place, target)
            shutil.rmtree(out)
            shutil.rmtree(home)
    # A linked .shardio, or .shardio/done; fsspec sees no links to nowhere, and never follows them.
    assert refused >= 4


@pytest.mark.parametrize("name", [".shardio", ".shardio/done"])
@pytest.mark.parametrize("how", [{}, {"overwrite": True}, {"repair": True}])
def test_a_linked_work_folder_is_refused(
    table: Path, tmp_path: Path, name: str, how: dict[str, bool]
) -> None:
    home, out = outside(tmp_path / "home"), tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(home / "folder")
    before = listed(home)
    with pytest.raises(OutputError, match=rf"{name} is a symbolic link.*remove the link"):
        go(table, str(out), **how)
    assert listed(home) == before


def test_a_folder_of_links_is_removed_without_what_they_lead_to(
    table: Path, tmp_path: Path
) -> None:
    """The end of a run removes `.shardio`, and links in it to anywhere."""
    home, out = outside(tmp_path / "home"), tmp_path / "out"
    go(table, str(out))
    (out / ".shardio" / "done").mkdir(parents=True)
    for place in (".shardio/x", ".shardio/done/y"):
        (out / place).symlink_to(home / "folder")
    before = listed(home)
    go(table, str(out))
    assert listed(home) == before
    assert not (out / ".shardio").exists()


@pytest.mark.parametrize(
    "name", [SHARD, f"{SHARD}.idx", "rejects.csv", "records.parquet", "times.json", "dataset.json"]
)
@pytest.mark.parametrize("way", WAYS)
def test_a_folder_with_the_name_of_a_file_of_ours_stays(
    table: Path, tmp_path: Path, name: str, way: str
) -> None:
    out = tmp_path / "out"
    go(table, str(out))
    with suppress(FileNotFoundError):
        os.unlink(out / name)
    (out / name).mkdir()
    (out / name / "letter").write_text("dear")
    with suppress(ShardioError):
        go(table, str(out), **WAYS[way])
    assert (out / name / "letter").read_text() == "dear"


def test_an_output_folder_that_is_a_link_is_where_it_leads(table: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    go(table, str(tmp_path / "out"))
    assert (tmp_path / "disk" / "dataset.json").exists()
