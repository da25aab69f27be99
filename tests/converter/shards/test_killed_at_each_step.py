"""A run that was killed before any change to a file goes on to the bytes of a fresh run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from converter import ConvertOptions, convert
from shardio.format.transform import Transform
from tests.converter.ended_runs import sweep
from tests.converter.inputs import contents, write_csv, write_images

pytestmark = pytest.mark.kills

OPTIONS = ConvertOptions(transform=Transform(None, (4, 2)), shards=2)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of six images, of which one is missing."""
    names = write_images(tmp_path / "images", 5, (8, 4))
    rows = [[f"images/{name}", n] for n, name in enumerate([*names, "none.png"])]
    return write_csv(tmp_path / "t.csv", ["path", "y0"], rows)


def fresh(table: Path, out: Path, **said: str) -> dict[str, bytes]:
    metadata = said or None
    convert(str(table), str(out), OPTIONS, engine="inline", max_rejects="9", metadata=metadata)
    return contents(out)


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_first_run(table: Path, tmp_path: Path, scheme: str) -> None:
    wanted = fresh(table, tmp_path / "fresh")
    ends = sweep(table, tmp_path / "out", scheme=scheme)
    assert len(ends) > 20
    for between, code, files in ends:
        assert (code, files) == (0, wanted), between
    # The last steps are those of a set that is finished, and the very last leaves `.shardio` empty.
    finished = [between for between, _, _ in ends if "dataset.json" in between]
    assert len(finished) >= 4
    assert finished[-1] == sorted([*wanted, ".shardio"])


def test_a_run_that_overwrites_another_set(table: Path, tmp_path: Path) -> None:
    """Without --overwrite what is left may be refused, but is never taken for something whole."""
    other = ConvertOptions(transform=Transform(None, (4, 2), "box"), shards=2)
    begun = tmp_path / "begun"
    convert(str(table), str(begun), other, engine="inline", max_rejects="9")
    wanted = fresh(table, tmp_path / "fresh")
    how = {"begun": begun, "first": {"overwrite": True}}
    for between, code, files in sweep(table, tmp_path / "out", **how):  # type: ignore[arg-type]
        assert code == 1 or files == wanted, between
    how["again"] = {"overwrite": True}
    for between, code, files in sweep(table, tmp_path / "out", **how):  # type: ignore[arg-type]
        assert (code, files) == (0, wanted), between


@pytest.mark.parametrize("left", [False, True])
def test_a_repair(table: Path, tmp_path: Path, left: bool) -> None:
    """Also where a run that was killed at its end has left its done-records.

    What was said about the set stays.
    """
    begun = tmp_path / "begun"
    fresh(table, begun, name="kept")
    if left:
        steps = sweep(table, tmp_path / "out", start="dataset.json", again={"dry_run": True})
        done = ".shardio/done/train-00001-of-00002.tfrecord.json"
        _, _, files = next(end for end in steps if {done, "dataset.json"} <= set(end[0]))
        for name in (done, ".shardio/plan.json", ".shardio/inputs.json"):
            (begun / name).parent.mkdir(parents=True, exist_ok=True)
            (begun / name).write_bytes(files[name])
    shard = begun / "train-00001-of-00002.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    if not left:  # else its shard would be made again for that
        shutil.copy(table.parent / "images" / "0001.png", table.parent / "images" / "none.png")
    wanted = fresh(table, tmp_path / "fresh", name="kept")
    for between, code, files in sweep(
        table,
        tmp_path / "out",
        begun=begun,
        first={"repair": True},
        again={"repair": True},
    ):
        assert (code, files) == (0, wanted), between
    for between, code, files in sweep(table, tmp_path / "out", begun=begun, first={"repair": True}):
        # Without its manifest it is a run like any other; until then the set is as it was.
        assert code == 0, between
        assert files == wanted or "dataset.json" in between, between
