"""docs/format.md: every example in it is derived again from the code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converter.shards.output import OutputFolder
from converter.shards.plan import plan_shards
from shardio.format import naming
from shardio.format.done import DoneRecord, Reject
from shardio.format.framing import frame_footer, frame_header, mask_crc, masked_crc
from shardio.format.inputs import ConversionInputs
from shardio.format.label import FLOAT, INT, Label, LabelKind
from shardio.format.layout import RecordLayout
from shardio.format.manifest import Manifest, ShardEntry, Versions
from shardio.format.plan import ConversionPlan
from shardio.format.times import ConversionTimes, LastRun, Times
from shardio.format.transform import Transform
from shardio.permutation import Permutation

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "format.md"

TABLE = "path,y0,y1\na.png,3,0\nb.png,7,1\nc.png,9,0\n"
LABELS = np.array([[3, 0], [7, 1], [9, 0]])
PIXELS = {0: bytes(range(1, 7)), 2: bytes(range(21, 27))}
REJECT = Reject(1, "b.png", "no such file")
SEED = 0


def blocks() -> dict[str, str]:
    """Return the fenced blocks of the document that have a name, by it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    return {match[1]: match[2] for match in re.finditer(r"```\w+ (\S+)\n(.*?)```", text, re.S)}


def derived(folder: Path) -> dict[str, str]:
    """Make the document's example dataset with the code."""
    transform = Transform(crop=None, size=(2, 1))
    labels = (Label("y0", 10), Label("y1", 2))
    layout = RecordLayout(6, ("y0", "y1"))
    shards = plan_shards(
        np.zeros(3, dtype=np.int32),
        ("train",),
        stride=layout.stride,
        shards=2,
        shard_size=None,
        seed=SEED,
    )
    versions = Versions("9.5.0.post2", "libjpeg-turbo 2.1.5")
    digest = hashlib.sha256(TABLE.encode()).hexdigest()
    plan = ConversionPlan(
        table_sha256=digest,
        transform=transform,
        labels=labels,
        splits=shards.splits,
        seed=SEED,
        versions=versions,
    )
    entries, dones, first = [], [], b""
    for name in shards.names():
        rows = shards.rows_of(name).tolist()
        kept = [layout.encode(PIXELS[row], LABELS[row].tolist(), row) for row in rows if row != 1]
        crcs = [masked_crc(data) for data in kept]
        framed = [frame_header(len(data)) + data + frame_footer(data) for data in kept]
        first = first or b"".join(framed[:1])
        content = b"".join(framed)
        done = DoneRecord(
            str(name),
            len(kept),
            len(content),
            hashlib.sha256(content).hexdigest(),
            crcs[0] if crcs else None,
            crcs[-1] if crcs else None,
            (REJECT,) if 1 in rows else (),
        )
        dones.append(done)
        entries.append(
            ShardEntry(
                done.file,
                "train",
                done.records,
                done.bytes,
                done.sha256,
                done.first_crc,
                done.last_crc,
            )
        )
    manifest = Manifest(plan.sha256, transform, labels, SEED, versions, 3, 2, 1, tuple(entries))
    assert Manifest.from_json(manifest.to_json()) == manifest
    OutputFolder(str(folder)).write_rejects([REJECT])
    work = Times(reading=0.000251, decoding=0.000423, resizing=0.000137, writing=0.004218)
    times = ConversionTimes(plan.sha256, 3, work, LastRun("processes", 2, 3, 0.061))
    with_reject = next(done for done in dones if done.rejects)
    return {
        "table.csv": TABLE,
        "record": hexadecimal(first, layout),
        naming.MANIFEST: manifest.to_json().decode(),
        naming.PLAN: plan.to_json().decode(),
        naming.INPUTS: ConversionInputs.below("/data/images/", is_url=False).to_json().decode(),
        "kinds": kinds(),
        "done": with_reject.to_json().decode(),
        naming.TIMES: times.to_json().decode(),
        naming.REJECTS: (folder / naming.REJECTS).read_text(),
        "rows": "".join(f"{name}  {shards.rows_of(name).tolist()}\n" for name in shards.names()),
    }


def hexadecimal(record: bytes, layout: RecordLayout) -> str:
    """Write a framed record as the document does: a line for each part."""
    cuts = [8, 4, 2]  # length, CRC of the length, the message Features
    cuts += [len(layout.head) - 14, layout.image_bytes]
    for name in (*layout.labels, "row"):
        cuts += [10 + len(name), 5]
    names = ["length", "CRC of the length", "Features"]
    names += ["the entry of image, to its pixels", "pixels"]
    for name in (*layout.labels, "row"):
        names += [f"the entry of {name}, to its value", f"value of {name}"]
    lines, at = [], 0
    for cut, name in zip([*cuts, 4], [*names, "CRC of the data"], strict=True):
        lines.append(f"{at:3d}  {record[at : at + cut].hex(' '):60s}{name}\n")
        at += cut
    assert at == len(record) == layout.stride
    return "".join(lines)


def kinds() -> str:
    """Write the labels of a record as the document does: a line for each part."""
    layout = RecordLayout(1, ("ids", "s"), (LabelKind(INT, 2), LabelKind(FLOAT)))
    tail = layout.encode(b"x", [[5, 2**31 - 1], -1.5], 0)[len(layout.prefix) + 1 :]
    names = ["the entry of ids, to its values", "5 and 2147483647"]
    names += ["the entry of s, to its value", "-1.5"]
    lines, at = [], 0
    for cut, name in zip([13, 10, 11, 4], names, strict=True):
        lines.append(f"{tail[at : at + cut].hex(' '):60s}{name}\n")
        at += cut
    return "".join(lines)


def test_every_example_is_what_the_code_makes(tmp_path: Path) -> None:
    found, made = blocks(), derived(tmp_path)
    assert {name: found.get(name) for name in made} == made


def code(name: str) -> dict[str, Callable[..., Any]]:
    scope: dict[str, Any] = {}
    exec(blocks()[name], scope)
    return scope


def test_the_mask_is_as_written() -> None:
    mask = code("mask")["mask"]
    for crc in (0, 1, 0xFFFF, 0x12345678, 0xFFFFFFFF):
        assert mask(crc) == mask_crc(crc)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 100, 1000, 10**9, 2**40, 2**62])
def test_the_permutation_is_as_written(size: int) -> None:
    permuted = code("permutation")["permuted"]
    for seed, stream in ((0, 0), (7, "split train"), (2**63 - 1, "标签")):
        positions = np.unique(np.linspace(0, size - 1, 20).astype(np.int64).clip(0, size - 1))
        expected = Permutation(size, seed, stream)(positions).tolist()
        found = [permuted(position, size, seed, stream) for position in positions.tolist()]
        assert found == expected


def test_rows_are_dealt_as_written() -> None:
    split = np.array([0, 1, 1, 0, 1, 1, 1, 0, 1, 1], dtype=np.int32)
    plan = plan_shards(split, ("a", "b"), stride=1, shards=5, shard_size=None, seed=11)
    scope = code("permutation")
    exec(blocks()["dealing"], scope)
    for name in plan.names():
        rows = np.flatnonzero(split == ("a", "b").index(name.split)).tolist()
        dealt = scope["rows_of_shard"](rows, name.split, name.index, name.count, 11)
        assert dealt == plan.rows_of(name).tolist()


def test_the_names_of_the_files_are_in_the_document() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in (
        *(naming.MANIFEST, *naming.BESIDE, naming.PLAN, naming.INPUTS),
        naming.METADATA,
        *(naming.DONE_FOLDER, naming.LOCK),
    ):
        assert f"`{name}" in text, name
