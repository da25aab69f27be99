"""WebDataset tars give the shards that the same files give, and damage in them is named."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from converter import ConvertOptions, Summary, convert
from converter.command.cli import main
from converter.table.cells.splits import SplitShares
from reader import open_shards
from shardio.errors import OutputError, RejectsError, TableError
from shardio.format.transform import Transform
from tests.converter.inputs import contents
from tests.converter.sample_sets import (
    IMAGES,
    LABELS,
    members_of,
    write_files,
    write_tar,
    write_tars,
)

OPTIONS = ConvertOptions(
    transform=Transform(None, (16, 8)), shards=4, labels=("txt",), text_labels=True
)


def inline(table: object, out: Path, options: ConvertOptions = OPTIONS, **how: Any) -> Summary:
    tables = [str(one) for one in table] if isinstance(table, list) else str(table)
    return convert(tables, str(out), options, **{"engine": "inline", **how})


def shards(out: Path) -> dict[str, bytes]:
    """Return the shards; dataset.json has the digest of the table, and records.parquet paths."""
    return {name: data for name, data in contents(out).items() if name.endswith(".tfrecord")}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    numbers=st.lists(st.integers(0, 11), min_size=1, max_size=12, unique=True),
    size=st.integers(1, 12),
)
def test_shards_are_those_of_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], size: int
) -> None:
    folder = tmp_path_factory.mktemp("t")
    tars = write_tars(folder / "tars", numbers, size)
    files = write_files(folder / "files", numbers)
    inline(tars, folder / "a")
    inline(files, folder / "b")
    assert shards(folder / "a") == shards(folder / "b")
    assert len(shards(folder / "a")) >= 1


def test_folder_glob_and_braces_are_one_table(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", range(12), 4)
    outs = []
    for number, tables in enumerate(
        (
            tars,
            tmp_path / "tars",
            f"{tmp_path}/tars/train-{{000..002}}.tar",
            f"{tmp_path}/tars/*.tar",
        )
    ):
        outs.append(tmp_path / f"out{number}")
        inline(tables, outs[-1])
    assert all(contents(out) == contents(outs[0]) for out in outs)
    paths = parquet.read_table(outs[0] / "records.parquet").to_pydict()
    rows = dict(zip(paths["row"], paths["path"], strict=True))
    assert rows[0] == "train-000.tar::000000.jpg"
    assert rows[11] == "train-002.tar::000011.png"


def test_engines_and_workers_make_the_same_bytes(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", range(12), 5)
    inline(tars, tmp_path / "a")
    convert([str(tar) for tar in tars], str(tmp_path / "b"), OPTIONS, workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_url_gives_the_same(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", range(12), 5)
    memory = fsspec.filesystem("memory")
    for tar in tars:
        memory.pipe(f"/sets/{tar.name}", tar.read_bytes())
    inline(tars, tmp_path / "a")
    inline("memory://sets/train-{000..002}.tar", tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    inline("memory://sets/train-*.tar", tmp_path / "c")
    assert contents(tmp_path / "a") == contents(tmp_path / "c")


def test_compressed_tars_are_refused(tmp_path: Path) -> None:
    """Whatever their name says, and with the command that helps."""
    (tar,) = write_tars(tmp_path, range(3), 12)
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "bzip2": bz2.compress,
        "xz": lzma.compress,
    }
    names = ["t.tgz", "t.tar.gz", "t.tar.bz2", "t.tar.xz", "t.tar.zst", "u.tar"]
    for name, (kind, packed) in product(names, pack.items()):
        (tmp_path / name).write_bytes(packed(tar.read_bytes()))
        with pytest.raises(TableError, match=f"with {kind}, .*`{kind} -dc {name} > NAME.tar`$"):
            inline(tmp_path / name, tmp_path / "out")


def test_a_path_of_the_records_is_one_of_a_table(tmp_path: Path) -> None:
    (tar,) = write_tars(tmp_path, range(6), 12)
    inline(tar, tmp_path / "a")
    rows = parquet.read_table(tmp_path / "a" / "records.parquet").to_pydict()
    lines = sorted(zip(rows["row"], rows["path"], strict=True))
    table = tmp_path / "t.csv"
    table.write_text("path,txt\n" + "".join(f"{path},{LABELS[row]}\n" for row, path in lines))
    inline(table, tmp_path / "b")
    assert shards(tmp_path / "a") == shards(tmp_path / "b")


def test_labels_are_members_and_names_in_json(tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "t.tar",
        [
            *(("a/0.png", IMAGES[1]), ("a/0.json", b'{"n": 3, "name": "x", "box": [1, 2]}')),
            *(("a/1.png", IMAGES[2]), ("a/1.json", b'{"name": "y", "n": 4, "box": [3, 4]}')),
        ],
    )
    options = replace(
        OPTIONS, labels=("json.n",), text_labels=False, shards=1, vectors=("json.box",)
    )
    inline(tar, tmp_path / "out", options)
    rows = parquet.read_table(tmp_path / "out" / "records.parquet").to_pydict()
    found = sorted(zip(rows["path"], rows["json.n"], rows["json.box"], strict=True))
    assert found == [("t.tar::a/0.png", 3, [1, 2]), ("t.tar::a/1.png", 4, [3, 4])]


@pytest.mark.parametrize("text", ["NaN", "null", '{"id": NaN}', '{"id": null}'])
def test_nan_in_json_is_no_text(tmp_path: Path, text: str) -> None:
    image = IMAGES[1]
    write_tar(tmp_path / "a.tar", [("0.png", image), ("0.json", text.encode())])
    label = "id" if "id" in text else "json"
    with pytest.raises(TableError, match=f"row 0: {label} is missing"):
        inline(tmp_path / "a.tar", tmp_path / "out", replace(OPTIONS, labels=(label,)))


def test_a_byte_order_mark_is_no_character(tmp_path: Path) -> None:
    image = IMAGES[1]
    texts = [b"\xef\xbb\xbfcat", b"cat", b'\xef\xbb\xbf{"txt": "cat"}']
    for ending, some in (("txt", texts[:2]), ("json", texts[2:])):
        members = [(f"{number}.{ending}", text) for number, text in enumerate(some)]
        pictures = [(f"{number}.png", image) for number in range(len(some))]
        write_tar(tmp_path / f"{ending}.tar", sorted([*members, *pictures]))
        inline(tmp_path / f"{ending}.tar", tmp_path / ending)
        assert open_shards(str(tmp_path / ending)).labels[0].vocabulary == ("cat",)


def test_names_in_json_are_columns_where_no_other_is_called_so(tmp_path: Path) -> None:
    said = b'{"y0": 3, "y1": 4, "cls": 5, "key": 6, "path": "a", "split": "x"}'
    tar = write_tar(tmp_path / "t.tar", [("0.png", IMAGES[1]), ("0.cls", b"1"), ("0.json", said)])
    options = replace(OPTIONS, text_labels=False, shards=1)
    inline(tar, tmp_path / "a", replace(options, labels=None))
    labels = ("y1", "cls", "json.cls", "json.key", "json.y1")
    inline(tar, tmp_path / "b", replace(options, labels=labels))
    for name, wanted in (
        ("a", {"y0": 3, "y1": 4}),
        ("b", {"y1": 4, "cls": 1, "json.cls": 5, "json.key": 6, "json.y1": 4}),
    ):
        (row,) = parquet.read_table(tmp_path / name / "records.parquet").to_pylist()
        assert {head: row[head] for head in wanted} == wanted
        assert (row["path"], row["split"]) == ("t.tar::0.png", "train")


def test_splits_are_dealt_by_names_in_the_tar(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", range(12), 4)
    options = replace(OPTIONS, splits=SplitShares.parse("train=0.5,val=0.5"))
    inline(tars, tmp_path / "out", options)
    sizes = [len(open_shards(str(tmp_path / "out"), split=split)) for split in ("train", "val")]
    assert sum(sizes) == 12
    assert min(sizes) > 0


def test_of_several_images_one_is_named(tmp_path: Path) -> None:
    members = [("0.left.png", IMAGES[1]), ("0.right.png", IMAGES[2]), ("0.txt", b"x")]
    tar = write_tar(tmp_path / "t.tar", members)
    with pytest.raises(
        TableError, match=r"the images \.left\.png and \.right\.png; --image-column"
    ):
        inline(tar, tmp_path / "out")
    inline(tar, tmp_path / "out", replace(OPTIONS, image_column="right.png", shards=1))
    rows = parquet.read_table(tmp_path / "out" / "records.parquet").to_pydict()
    assert rows["path"] == ["t.tar::0.right.png"]


def test_a_sample_without_image_is_a_reject(tmp_path: Path) -> None:
    members = [*members_of([0, 1]), ("000007.txt", b"x"), *members_of([2])]
    tar = write_tar(tmp_path / "t.tar", members)
    with pytest.raises(RejectsError, match="the sample has no image"):
        inline(tar, tmp_path / "out")
    inline(tar, tmp_path / "out", max_rejects="1")
    assert (tmp_path / "out" / "rejects.csv").read_text().splitlines()[1:] == [
        '2,"t.tar::000007","the sample has no image"'
    ]


def test_a_sample_without_label_is_a_bad_row(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "t.tar", [*members_of([0, 1]), ("000007.png", IMAGES[1])])
    with pytest.raises(TableError, match="row 2: txt is missing"):
        inline(tar, tmp_path / "out")
    with pytest.raises(TableError, match="row 2: cls is missing"):
        inline(tar, tmp_path / "out", replace(OPTIONS, labels=("cls",), text_labels=False))


def cut(tar: Path, bytes_left: int) -> None:
    data = tar.read_bytes()
    tar.write_bytes(data[:bytes_left])


# The members of a sample take 4,608 bytes here.
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in an image": (lambda tar: cut(tar, 700), r"t\.tar: not a whole tar .*unexpected end"),
    "cut in a header": (lambda tar: cut(tar, 600 + 512), r"t\.tar: not a whole tar"),
    "empty": (lambda tar: cut(tar, 0), r"t\.tar: not a whole tar"),
    "no tar": (lambda tar: tar.write_bytes(b"x" * 5000), r"t\.tar: not a whole tar"),
    "gzip": (lambda tar: tar.write_bytes(b"\x1f\x8b" + bytes(99)), "compressed with gzip"),
    "no images": (
        lambda tar: write_tar(tar, [("0.txt", b"x"), ("0.cls", b"1")]),
        r"t\.tar holds no images",
    ),
    "key comes again": (
        lambda tar: write_tar(tar, [*members_of([0, 1]), ("000000.gt", b"x")]),
        r"t\.tar: the sample 000000 comes again",
    ),
    "member comes twice": (
        lambda tar: write_tar(tar, [("0.png", IMAGES[1]), ("0.txt", b"x"), ("0.txt", b"y")]),
        r"t\.tar: the sample 0 has two members \.txt",
    ),
    "image comes twice": (
        lambda tar: write_tar(tar, [("0.png", IMAGES[1]), ("0.png", IMAGES[1])]),
        r"t\.tar: the sample 0 has two members \.png",
    ),
    "text is no UTF-8": (
        lambda tar: write_tar(tar, [("0.png", IMAGES[1]), ("0.txt", b"\xff\xfe")]),
        r"t\.tar::0\.txt: the label is no UTF-8",
    ),
    "name is no UTF-8": (
        lambda tar: write_tar(tar, [("\udcff.png", IMAGES[1]), ("\udcff.txt", b"x")]),
        r"t\.tar: the name of the sample .* is not UTF-8",
    ),
    "half of a character": (
        lambda tar: write_tar(tar, [("0.png", IMAGES[1]), ("0.json", b'{"a": "\\ud800"}')]),
        r"t\.tar: the text of a label of the sample '0\.png' is not UTF-8",
    ),
    "one tar behind another": (
        lambda tar: tar.write_bytes(tar.read_bytes() * 2),
        r"t\.tar: .*more follows: tars that were joined are not one; give .*; before it 3 ",
    ),
    "a byte behind the end": (
        lambda tar: tar.write_bytes(tar.read_bytes() + bytes(99_999) + b"x"),
        r"t\.tar: .*and more follows",
    ),
    "a name comes twice in JSON": (
        lambda tar: write_tar(tar, [("0.png", IMAGES[1]), ("0.json", b'{"a": 1, "a": 2}')]),
        r"t\.tar::0\.json: no JSON \(the name 'a' comes twice in one object\)",
    ),
    "JSON is none": (
        lambda tar: write_tar(tar, [("0.png", IMAGES[1]), ("0.json", b"{")]),
        r"t\.tar::0\.json: no JSON",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    tar = write_tar(tmp_path / "t.tar", members_of(range(3)))
    do, message = DAMAGES[damage]
    do(tar)
    with pytest.raises(TableError, match=message):
        inline(tar, tmp_path / "out")


def test_a_tar_that_is_cut_anywhere_is_no_table(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "t.tar", members_of([1, 2]))
    whole = tar.read_bytes()
    end = len(whole.rstrip(b"\0"))
    for size in range(0, -(-end // 512) * 512 + 512, 256):
        tar.write_bytes(whole[:size])
        with pytest.raises(TableError, match=r"t\.tar"):
            inline(tar, tmp_path / "out")


def test_a_restart_goes_on_and_other_labels_are_noticed(tmp_path: Path) -> None:
    tars = write_tars(tmp_path / "tars", range(12), 5)
    inline(tars, tmp_path / "whole")
    out = tmp_path / "out"
    write_tar(tars[2], [*members_of([10]), ("000011.png", b"no image"), ("000011.txt", b"a1b2")])
    with pytest.raises(RejectsError):
        inline(tars, out)
    write_tar(tars[2], [*members_of([10]), ("000011.png", b"no image"), ("000011.txt", b"a1b3")])
    with pytest.raises(OutputError, match="table"):
        inline(tars, out)
    write_tars(tmp_path / "tars", range(12), 5)
    summary = inline(tars, out, overwrite=True)
    assert summary.records == 12
    assert contents(out) == contents(tmp_path / "whole")
    assert inline(tars, out).complete_before


def test_a_run_from_a_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tar,) = write_tars(tmp_path, range(5), 12)
    assert main([str(tar), str(tmp_path / "out"), "--workers", "1"]) == 1
    assert "--labels cls takes the numbers" in capsys.readouterr().err
    assert main([str(tar), str(tmp_path / "out"), "--labels", "cls", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["written"] == 5
