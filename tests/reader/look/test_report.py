"""`shardio-read report`: one file that loads nothing, whatever labels, names and paths hold."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from converter import ConvertOptions, convert
from reader import open_shards
from reader.commands.cli import main
from reader.commands.describe import info
from reader.look.origins import Origins
from reader.look.page import page
from reader.look.rejects import Rejects, read_rejects
from reader.look.survey import survey
from reader.look.thumbnails import thumbnails
from shardio.format.label import Label
from shardio.format.manifest import Manifest
from shardio.format.naming import MANIFEST, REJECTS, TIMES
from shardio.format.times import ConversionTimes, LastRun, Times
from tests.converter.inputs import write_csv, write_images
from tests.reader.datasets import OTHER_KINDS, write_dataset
from tests.reader.sets_of_images import write_images_set

HOSTILE = (
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=document.title='owned'>",
    "\x1b]0;owned\x07",
    "\u202eabc",
    "</style><style>*{display:none}",
    "中",
)
# Elements without an end tag.
VOID = {"meta", "link", "img", "input"}


class Elements(HTMLParser):
    """The elements of a page and their attributes; every end tag has to fit."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID and tag not in ("path", "rect", "polyline", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(folder: Path, split: str = "*") -> str:
    shards = open_shards(folder, split)
    return page(survey(shards, lambda n: None), read_rejects(shards), Origins(shards))


def hostile_set(folder: Path) -> None:
    """Write a set with hostile labels, metadata, and rejects."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 16, 24, 3), dtype=np.uint8)
    pixels[30:] = 200
    pixels[7] = pixels[3]
    write_images_set(
        folder,
        {"train": 30, "val": 10},
        pixels,
        rng.integers(0, len(HOSTILE) - 1, 40),
        vocabulary=HOSTILE,
        metadata={HOSTILE[0]: HOSTILE[1], "name": HOSTILE[0]},
        rejected=2,
    )
    lines = "".join(f'{row},"{path}","{path}"\n' for row, path in enumerate(HOSTILE[:1] * 2))
    (folder / REJECTS).write_text("row,path,reason\n" + lines.replace("'", "''"))


def test_nothing_of_a_set_is_markup(tmp_path: Path) -> None:
    hostile_set(tmp_path)
    text = page_of(tmp_path)
    elements = Elements(text)
    assert [tag for tag, _ in elements.found].count("script") == 1
    assert [tag for tag, _ in elements.found].count("style") == 1
    assert not any(name.startswith("on") for _, attributes in elements.found for name in attributes)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert "&lt;script&gt;document.title" in text


def test_a_page_loads_nothing(tmp_path: Path) -> None:
    hostile_set(tmp_path)
    text = page_of(tmp_path)
    for tag, attributes in Elements(text).found:
        for name in ("src", "href"):
            value = attributes.get(name) or "#"
            assert value.startswith(("data:", "#")), (tag, value)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text.replace("&#x27;", "'")


def test_links_and_controls_lead_somewhere(tmp_path: Path) -> None:
    hostile_set(tmp_path)
    elements = Elements(page_of(tmp_path)).found
    identities = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    for tag, attributes in elements:
        if tag == "a":
            assert str(attributes["href"]).removeprefix("#") in identities
        if "data-list" in attributes:
            assert attributes["data-list"] in identities
        if tag == "img":
            assert attributes["alt"]


def test_what_is_odd_comes_first(tmp_path: Path) -> None:
    hostile_set(tmp_path)
    text = page_of(tmp_path)
    assert "10 records have one colour in all pixels (25.0%)." in text
    assert "1 group of identical images" in text
    assert "1 of 6 classes is never seen" in text
    assert "2 rows of the table were rejected" in text
    assert "not recorded" not in text
    assert "From all 40 records" in text


@pytest.mark.parametrize("kind", ["noise", "many classes"])
def test_a_page_stays_small(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    count = 700
    side = 56 if kind == "noise" else 8
    pixels = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count)
    vocabulary = None
    if kind == "many classes":
        vocabulary = tuple(chr(0x4E00 + i) for i in range(20_000))
    write_images_set(tmp_path, {"train": count}, pixels, labels, vocabulary=vocabulary)
    text = page_of(tmp_path)
    assert len(text.encode()) < 5_000_000
    assert "600 of 700 are shown" in text


def test_a_thumbnail_of_anything_is_small(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 300, 200, 3), dtype=np.uint8)
    write_images_set(tmp_path, {"train": 6}, pixels, np.arange(6))
    found = thumbnails(open_shards(tmp_path), np.arange(6))
    assert all(len(small.url) < 4000 * 4 / 3 + 40 for small in found.values())
    assert {(small.width, small.height) for small in found.values()} == {(85, 128)}


def test_long_texts_and_many_labels_are_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 16, 16, 3), dtype=np.uint8)
    long = tuple(f"{number}\x07" + "\u202e<" * 20_000 for number in range(320))
    metadata = {"name": long[0], "source": long[1]}
    write_images_set(
        tmp_path / "a", {"train": 300}, pixels, np.arange(300), vocabulary=long, metadata=metadata
    )
    text = page_of(tmp_path / "a")
    assert len(text.encode()) < 5_000_000
    Elements(text)
    more = tuple(Label(f"more{number}", 3) for number in range(300))
    made = write_dataset(tmp_path / "b", (9,), more=more)
    text = page_of(made.folder)
    assert len(text.encode()) < 5_000_000
    assert "The first 64 labels; 238 more are not shown" in text


def test_labels_of_every_kind_have_a_part(tmp_path: Path) -> None:
    made = write_dataset(tmp_path, more=OTHER_KINDS)
    text = page_of(made.folder)
    for label in made.manifest.labels:
        assert f"<h3>{label.name}</h3>" in text
    assert "Values of box" in text
    Elements(text)


def test_a_set_without_labels_and_one_without_a_manifest(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "a", heads=0)
    assert "have no labels" in page_of(made.folder)
    made = write_dataset(tmp_path / "b")
    (made.folder / MANIFEST).unlink()
    words = ["report", str(made.folder), "--shape", "2x3x3", "-o", str(tmp_path / "b.html")]
    assert main(words) == 0
    text = (tmp_path / "b.html").read_text()
    assert "how they were made is not known" in text
    assert "no list of rejects" in text


def test_a_sample_is_said_to_be_one(tmp_path: Path) -> None:
    made = write_dataset(tmp_path)
    shards = open_shards(made.folder)
    found = survey(shards, lambda n: None, sampled=5)
    assert "From a sample of 5 of 37 records" in page(found, Rejects(), Origins(shards))


def test_the_command_writes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = write_dataset(tmp_path / "set")
    assert main(["report", str(made.folder), "-o", str(tmp_path / "new" / "a.html")]) == 0
    assert os.listdir(tmp_path / "new") == ["a.html"]
    assert re.search(r"a\.html: 37 records, [\d.]+ kB", capsys.readouterr().out)


def test_what_cannot_be_reported_is_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = write_dataset(tmp_path / "empty", (0, 0))
    page_at = str(tmp_path / "a.html")
    assert main(["report", str(empty.folder), "-o", page_at]) == 1
    assert "no records to report" in capsys.readouterr().err
    made = write_dataset(tmp_path / "set")
    (tmp_path / "file").touch()
    assert main(["report", str(made.folder), "-o", str(tmp_path / "file" / "a.html")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    made.shard(0).write_bytes(made.shard(0).read_bytes()[:-1])
    assert main(["report", str(made.folder), "-o", page_at]) == 1
    assert "was cut" in capsys.readouterr().err
    assert not Path(page_at).exists()


def test_rejects_that_cannot_be_read_are_said(tmp_path: Path) -> None:
    hostile_set(tmp_path)
    (tmp_path / REJECTS).unlink()
    assert "cannot be read" in page_of(tmp_path)
    (tmp_path / REJECTS).write_text("a,b\n1,2\n")
    assert "cannot be read" in page_of(tmp_path)


def test_a_length_of_texts_is_no_class_that_is_missed(tmp_path: Path) -> None:
    names = write_images(tmp_path / "sources", 6, (8, 4))
    words = ["ab", "ba", "abab", "a", "b", "ab"]
    rows = [[f"sources/{name}", word, "900 1"] for name, word in zip(names, words, strict=True)]
    table = write_csv(tmp_path / "t.csv", ["path", "text", "box"], rows)
    options = ConvertOptions(labels=(), vectors=("box",), sequences=(("text", 9),))
    convert(str(table), str(tmp_path / "set"), options, engine="inline")
    text = page_of(tmp_path / "set")
    assert "text (texts of at most 9 characters, of 2 different ones)" in text
    assert "Label text" not in text
    assert "Label box" not in text
    assert "never seen" not in text
    assert "<dt>Characters seen</dt><dd>2 of 2</dd>" in text
    assert "<dt>Longest text</dt><dd>4</dd>" in text
    said = info(open_shards(tmp_path / "set"))
    assert "label     text_length: number of characters" in said


def test_where_the_time_of_the_conversion_went(tmp_path: Path) -> None:
    hostile_set(tmp_path)
    assert "not known: there is no times.json beside the shards" in page_of(tmp_path)
    manifest = Manifest.from_json((tmp_path / MANIFEST).read_bytes())
    work = Times(reading=1.0, decoding=6.0, writing=3.0)
    run = LastRun("processes", 2, 40, 5.0)
    times = ConversionTimes(manifest.plan_sha256, 40, work, run)

    def said(times: ConversionTimes) -> str:
        (tmp_path / TIMES).write_bytes(times.to_json())
        return page_of(tmp_path)

    text = said(times)
    assert "<dd>10 s on 40 images</dd>" in text
    assert "<dd>8 images a second: 40 in 5 s (2 workers)</dd>" in text
    steps = re.findall(r'<th scope="row">(\w+)</th><td>([\d.]+ s)</td><td>(\d+%)</td>', text)
    assert steps == [
        ("decoding", "6 s", "60%"),
        ("writing", "3 s", "30%"),
        ("reading", "1 s", "10%"),
    ]
    text = said(replace(times, images=90, last_run=replace(run, engine="spark", workers=None)))
    assert "<dd>8 images a second: 40 by the last run in 5 s (spark)</dd>" in text
    # A run that only ended what others had made.
    assert "a second" not in said(replace(times, last_run=replace(run, images=0, seconds=0.0)))
    assert "times.json is that of another set" in said(replace(times, plan_sha256="f" * 64))
    for damage in (b"", b"{}", b"[" * 9999, b" " * 99_999, HOSTILE[0].encode()):
        (tmp_path / TIMES).write_bytes(damage)
        assert "<dd>not known: times.json cannot be read" in page_of(tmp_path)
