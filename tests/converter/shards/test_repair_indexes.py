"""The indexes of encoded sets: what is wrong with one is found, and made good from the shard."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from converter import ConvertOptions, Summary, convert
from reader.commands.cli import main as read_main
from shardio.errors import OutputError
from shardio.format.encoding import Encoding
from shardio.format.transform import Transform
from tests.converter.inputs import contents, write_csv, write_images

OPTIONS = ConvertOptions(transform=Transform(None, (16, 8)), shards=6, encoding=Encoding("png"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    names = write_images(tmp_path / "images", 40, (60, 40))
    rows = [[f"images/{name}", n % 9] for n, name in enumerate([*names, "none.png"])]
    return write_csv(tmp_path / "labels.csv", ["path", "y0"], rows)


@pytest.fixture
def out(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run(table, tmp_path / "out")
    return tmp_path / "out"


def run(table: Path, out: Path, **how: object) -> Summary:
    return convert(str(table), str(out), OPTIONS, engine="inline", max_rejects="1", **how)  # type: ignore[arg-type]


def exchange(index: Path) -> None:
    """Give two records each other's size: right as a file, and of the right length."""
    sizes = [int(line.split()[1]) for line in index.read_text().splitlines()]
    other = next(n for n, size in enumerate(sizes) if size != sizes[0])
    sizes[0], sizes[other] = sizes[other], sizes[0]
    index.write_text("".join(f"{sum(sizes[:n])} {size}\n" for n, size in enumerate(sizes)))


def merge(index: Path) -> None:
    """Make one record of two."""
    (_, first), (_, second), *rest = (line.split() for line in index.read_text().splitlines())
    lines = [("0", str(int(first) + int(second))), *rest]
    index.write_text("".join(f"{' '.join(line)}\n" for line in lines))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "removed": Path.unlink,
    "empty": lambda index: index.write_bytes(b""),
    "garbage": lambda index: index.write_bytes(b"\0\xff none"),
    "of another": lambda index: index.write_text("0 50\n"),
    "cut": lambda index: index.write_bytes(index.read_bytes()[:20]),
    "exchanged": exchange,
    "merged": merge,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_found_and_made_good(
    table: Path, out: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    whole = contents(out)
    indexes = sorted(out.glob("*.idx"))
    assert len(indexes) == 6
    assert read_main(["verify", str(out)]) == 0
    capsys.readouterr()

    DAMAGE[damage](indexes[2])
    assert read_main(["verify", str(out)]) == 1
    assert indexes[2].name in capsys.readouterr().err

    indexes[2].unlink(missing_ok=True)
    if damage != "removed":
        indexes[2].write_bytes(whole[indexes[2].name])
        DAMAGE[damage](indexes[2])
    shutil.rmtree(table.parent / "images")  # no image is needed
    summary = run(table, out, repair=True)
    assert contents(out) == whole
    assert (summary.shards_made, summary.indexes_made) == (0, 1)
    assert "1 index was made again" in summary.lines()[0]
    assert read_main(["verify", str(out)]) == 0
    assert run(table, out, repair=True).indexes_made == 0


def test_shards_and_indexes_are_repaired_at_once(table: Path, out: Path, tmp_path: Path) -> None:
    whole = contents(out)
    shards = sorted(out.glob("*.tfrecord"))
    shards[0].write_bytes(b"x")
    Path(f"{shards[1]}.idx").unlink()
    Path(f"{shards[2]}.idx").write_bytes(b"x")
    summary = run(table, out, repair=True)
    assert contents(out) == whole
    assert (summary.shards_made, summary.indexes_made) == (1, 2)


def test_a_set_without_an_index_is_not_called_complete(table: Path, out: Path) -> None:
    index = min(out.glob("*.idx"))
    index.unlink()
    with pytest.raises(OutputError, match=rf"1 of its files is missing \({index.name}\)"):
        run(table, out)


def test_a_damaged_shard_is_not_taken_for_a_damaged_index(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = min(out.glob("*.tfrecord"))
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    assert read_main(["verify", str(out)]) == 1
    errors = capsys.readouterr().err
    assert f"{shard.name}.idx" not in errors
    assert shard.name in errors
