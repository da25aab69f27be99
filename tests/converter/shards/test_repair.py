"""A repaired set is, to the byte, what a fresh run gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter import ConvertOptions, Summary, convert
from converter.engines.protocol import NoProgress
from shardio.errors import OptionError, OutputError
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (16, 8)), shards=6)
MISSING = ("late-0.png", "late-1.png", "never.png")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of which some images are missing."""
    names = write_images(tmp_path, 40, (60, 40))
    rows = [[name, n % 9] for n, name in enumerate(names)]
    rows += [[name, 1] for name in MISSING]
    return write_csv(tmp_path / "labels.csv", ["path", "y0"], rows)


def run(table: Path, out: Path, **how: object) -> Summary:
    how = {"engine": "inline", "max_rejects": "10", **how}
    return convert(str(table), str(out), OPTIONS, **how)  # type: ignore[arg-type]


def mend(table: Path, name: str) -> None:
    shutil.copy(table.parent / "0001.png", table.parent / name)


def fresh(table: Path, tmp_path: Path) -> dict[str, bytes]:
    run(table, tmp_path / "fresh", overwrite=True)
    return contents(tmp_path / "fresh")


def shards(out: Path) -> list[Path]:
    return sorted(out.glob("*.tfrecord"))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


DAMAGE: dict[str, Callable[[Path], None]] = {"flip": flip, "cut": cut, "remove": Path.unlink}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    damage=st.dictionaries(st.integers(0, 5), st.sampled_from(sorted(DAMAGE)), max_size=6),
    mended=st.sets(st.sampled_from(MISSING[:2])),
)
def test_the_bytes_are_those_of_a_fresh_run(
    table: Path, tmp_path: Path, damage: dict[int, str], mended: set[str]
) -> None:
    for name in MISSING:
        (table.parent / name).unlink(missing_ok=True)
    out = tmp_path / "out"
    run(table, out, overwrite=True)
    before = contents(out)
    whole = shards(out)
    for index, kind in damage.items():
        DAMAGE[kind](whole[index])
    for name in mended:
        mend(table, name)
    wanted = fresh(table, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in shards(out)}
    summary = run(table, out, repair=True)
    assert contents(out) == wanted
    changed = {n for n, data in wanted.items() if before[n] != data and n.endswith(".tfrecord")}
    remade = changed | {whole[index].name for index in damage}
    assert summary.shards_made == len(remade)
    assert {p.name for p in shards(out) if times.get(p) != p.stat().st_mtime_ns} <= remade
    assert summary.rejected == 3 - len(mended)


def test_of_a_whole_set_nothing_is_changed(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(table, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert run(table, out, repair=True).complete_before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_repair_that_was_stopped_goes_on_as_any_run(table: Path, tmp_path: Path) -> None:
    class Stop(NoProgress):
        def advance(self, images: int, bytes_read: int, rejected: int, bytes_written: int) -> None:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    run(table, out)
    wanted = contents(out)
    for path in shards(out)[:3]:
        flip(path)
    with pytest.raises(KeyboardInterrupt):
        run(table, out, repair=True, progress=Stop())
    assert "dataset.json" not in contents(out)
    assert 3 <= run(table, out).shards_kept < 6
    assert contents(out) == wanted


def test_one_that_was_not_finished_is_finished(table: Path, tmp_path: Path) -> None:
    run(table, tmp_path / "out", repair=True)
    assert contents(tmp_path / "out") == fresh(table, tmp_path)


def test_what_cannot_be_repaired_is_told(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(table, out)
    with pytest.raises(OptionError, match="only what is bad"):
        run(table, out, repair=True, overwrite=True)
    (out / "rejects.csv").write_text("row,path,reason\n")
    with pytest.raises(OutputError, match=r"rejects.csv does not list the 3 rows"):
        run(table, out, repair=True)
    with table.open("a") as file:
        file.write("0001.png,1\n")
    with pytest.raises(OutputError, match="of another table or other options"):
        run(table, out, repair=True)
