"""A first look at the images: it decides the size where no option does, and a dry run shows it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from converter import ConvertOptions, Summary, convert
from converter.engines.protocol import NoProgress
from reader import open_shards
from shardio.errors import OptionError, RejectsError, SizesError
from shardio.format.manifest import Manifest
from shardio.format.transform import Transform
from tests.converter.inputs import encoded, picture, run, write_csv

# As many rows as are looked at, twice, and one: the second row is not among them.
ROWS = 401
UNSEEN = 1


def write_table(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    """Write an image of each size; a table names them in turn."""
    for number, size in enumerate(sizes):
        (folder / f"{number}.png").write_bytes(encoded(picture("RGB", *size, number), "PNG"))
    rows = [[f"{number}.png", number] for number in range(len(sizes))]
    return write_csv(folder / "t.csv", ["path", "y0"], rows)


def inline(table: Path, out: Path, transform: Transform | None = None, **how: object) -> Summary:
    options = ConvertOptions(transform=transform or Transform(), shards=4)
    return convert(str(table), str(out), options, engine="inline", **how)  # type: ignore[arg-type]


def transform_of(out: Path) -> Transform:
    return Manifest.from_json((out / "dataset.json").read_bytes()).transform


def test_images_of_one_size_keep_it(tmp_path: Path) -> None:
    table = write_table(tmp_path, [(7, 5)] * 9)
    summary = inline(table, tmp_path / "out")
    assert "images    whole image of 7x5 -> 7x5 as it is" in summary.lines()
    shards = open_shards(tmp_path / "out")
    assert shards.shape == (5, 7, 3)
    pixels, label = shards[0]
    assert pixels.tobytes() == picture("RGB", 7, 5, int(label)).tobytes()


@pytest.mark.parametrize(
    ("transform", "size", "line"),
    [
        (Transform((1, 0, 5, 3)), (4, 3), "crop 1,0,5,3 of 7x5 -> 4x3 as it is"),
        (Transform((1, 0, 5, 3), (4, 3)), (4, 3), "crop 1,0,5,3 of 7x5 -> 4x3 as it is"),
        (
            Transform((1, 0, 5, 3), (9, 2)),
            (9, 2),
            "crop 1,0,5,3 of 7x5 -> resize 9x2, bicubic",
        ),
        (
            Transform(None, (2, 2), shorter=4),
            (2, 2),
            "whole image of 7x5 -> shorter side 4, bicubic -> centre 2x2",
        ),
    ],
)
def test_what_is_done_is_said_before_it_is_done(
    tmp_path: Path, transform: Transform, size: tuple[int, int], line: str
) -> None:
    told: list[str] = []

    class Listener(NoProgress):
        def announce(self, line: str) -> None:
            told.append(line)

        def advance(self, *_: int) -> None:
            assert told

    table = write_table(tmp_path, [(7, 5)] * 3)
    summary = inline(table, tmp_path / "out", transform, progress=Listener())
    assert told == [line]
    assert f"images    {line}" in summary.lines()
    assert transform_of(tmp_path / "out").size == size


def test_an_image_of_another_size_is_a_reject_that_says_what_to_do(tmp_path: Path) -> None:
    sizes = [(8, 4)] * 3 + [(4, 8)]
    write_table(tmp_path, sizes)
    rows = [["3.png" if row == UNSEEN else f"{row % 3}.png", 0] for row in range(ROWS)]
    table = write_csv(tmp_path / "t.csv", ["path", "y0"], rows)
    summary = inline(table, tmp_path / "out")
    assert (summary.records, summary.rejected) == (ROWS - 1, 1)
    (_, reject) = (tmp_path / "out" / "rejects.csv").read_text().splitlines()
    assert reject.startswith(f'{UNSEEN},"3.png","4x8 pixels, not 8x4 as the sample')
    assert "--size 8x4" in reject
    again = inline(table, tmp_path / "all", Transform(size=(8, 4)))
    assert (again.rejected, again.look and again.look.sources) == (0, "8x4")


class Stop(NoProgress):
    """Stops a run after its first shard."""

    images = 0

    def advance(self, images: int, *_: int) -> None:
        self.images += images
        if self.images > 3:
            raise KeyboardInterrupt


def test_a_restart_and_a_finished_set_keep_the_size_without_a_look(tmp_path: Path) -> None:
    table = write_table(tmp_path, [(6, 3)] * 12)
    whole = inline(table, tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        inline(table, out, progress=Stop())
    assert '"size": [\n   6,\n   3\n  ]' in (out / ".shardio" / "plan.json").read_text()
    # A look would find two sizes now.
    number = open_shards(tmp_path / "whole" / "train-00003-of-00004.tfrecord")[0][1]
    image = tmp_path / f"{number}.png"
    kept = image.read_bytes()
    image.write_bytes(encoded(picture("RGB", 3, 6), "PNG"))
    summary = inline(table, out, max_rejects="1")
    assert summary.look is None
    assert (summary.shards_kept > 0, summary.rejected) == (True, 1)
    image.write_bytes(kept)
    assert inline(table, out, repair=True).records == whole.records
    assert (out / "dataset.json").read_bytes() == (tmp_path / "whole/dataset.json").read_bytes()
    assert inline(table, out).complete_before
    image.write_bytes(encoded(picture("RGB", 3, 6), "PNG"))
    with pytest.raises(SizesError):
        inline(table, out, overwrite=True)


def test_several_sizes_stop_the_run_with_commands_that_work(tmp_path: Path) -> None:
    table = write_table(tmp_path, [(12, 6), (8, 9), (12, 6), (7, 30)])
    result = run(table, tmp_path / "a b")
    assert result.returncode == 1
    said, *commands = result.stderr.splitlines()
    assert "3 sizes: 12x6 (2), 8x9 (1), 7x30 (1), of 4 that were looked at" in said
    assert not (tmp_path / "a b").exists()
    assert len(commands) == 3
    for number, command in enumerate(commands):
        program, _, *arguments = shlex.split(command, comments=True)
        assert program == "shardio-convert"
        arguments[0] = str(tmp_path / f"out{number}")
        done = run(table, *arguments)
        assert done.returncode == 0, done.stderr
        assert len(open_shards(tmp_path / f"out{number}")) == 4


def test_images_that_cannot_be_opened_decide_nothing(tmp_path: Path) -> None:
    table = write_table(tmp_path, [(6, 3), (6, 3)])
    (tmp_path / "0.png").write_text("text")
    summary = inline(table, tmp_path / "out", max_rejects="1")
    assert (summary.rejected, open_shards(tmp_path / "out").shape) == (1, (3, 6, 3))
    (tmp_path / "1.png").unlink()
    with pytest.raises(RejectsError, match=r"none of the 2 images .* row 0, 0\.png: not an image"):
        inline(table, tmp_path / "none", max_rejects="2")
    with pytest.raises(OptionError, match="lanczos needs a size"):
        Transform(resample="lanczos")


def test_a_dry_run_shows_what_the_images_are(tmp_path: Path) -> None:
    write_table(tmp_path, [(40, 20)] * 3)
    (tmp_path / "1.png").write_bytes(encoded(picture("RGBA", 40, 20), "PNG"))
    (tmp_path / "2.png").write_text("text")
    turned = picture("RGB", 40, 20).getexif()
    turned[0x0112] = 6
    (tmp_path / "3.jpg").write_bytes(encoded(picture("RGB", 40, 20), "JPEG", exif=turned))
    names = ["0.png", "1.png", "2.png", "3.jpg", "no.png"]
    rows = [[name, "ab"[number % 2], "train"] for number, name in enumerate(names)]
    rows[0][2] = "val"
    table = write_csv(tmp_path / "t.csv", ["path", "y0", "split"], rows)
    result = run(table, tmp_path / "out", "--text-labels", "--dry-run")
    assert (result.returncode, (tmp_path / "out").exists()) == (0, False)
    for line in (
        "images    whole image of 40x20 -> 40x20 as it is",
        "sample    5 of 5 images looked at, 2 of them would be rejected",
        "reject    1 x no such file (for example row 4, no.png)",
        "sizes     40x20 (3)",
        "modes     RGB (2), RGBA (1); 1 with transparent parts, 1 with an EXIF orientation",
        "row       0: 0.png -> y0 0 (a), split val",
        "row       1: 1.png -> y0 1 (b), split train",
        "next      the same command without --dry-run",
    ):
        assert line in result.stdout


def test_the_summary_ends_with_code_that_reads_the_set(tmp_path: Path) -> None:
    table = write_table(tmp_path, [(6, 3)] * 4)
    last = inline(table, tmp_path / "o'ut").lines()[-1]
    code = last.partition("in Python: ")[2]
    assert last.startswith("next      ")
    assert code.endswith(".to_tf_dataset(batch_size=4)")  # a set of 4 has no batch of 128
    names: dict[str, object] = {}
    exec(code.replace("; ", "; found = ").removesuffix(".to_tf_dataset(batch_size=4)"), names)
    assert len(names["found"]) == 4  # type: ignore[arg-type]
