"""`shardio-convert doctor`: what shards of a table would gain, before anything is converted."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from converter.command.image_arguments import add_image_arguments
from converter.command.on_table import run_on_table
from converter.command.options import options_of
from converter.command.table_arguments import add_table_arguments
from converter.report.trial import Trial, try_table
from shardio.arguments import Parser
from shardio.grammar import counted
from shardio.measure.bars import Row, table
from shardio.measure.others import AGAIN, busy
from shardio.measure.telling import say_measuring
from shardio.sizes import in_words

DOCTOR = "doctor"
_OURS = {"NumPy": "batches", "tf.data": "to_tf_dataset", "keras": "to_keras", "torch": "to_torch"}
# The way that a Keras training takes; else the first that is there.
_USUAL = "tf.data"
# What is less is no gain that one would convert for.
_WORTH = 1.2


def build_doctor_parser() -> Parser:
    """Make the parser."""
    parser = Parser(
        prog="shardio-convert doctor",
        description="Read some images of a table the usual way, convert them to a temporary "
        "folder, read the shards, and say what a conversion would gain.",
    )
    parser.add_argument("table", metavar="TABLE", nargs="+", help="the input table, as to convert")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_image_arguments(parser)
    add_table_arguments(parser)
    return parser


def doctor(argv: Sequence[str]) -> int:
    """Run the command; returns the exit code."""
    return run_on_table(build_doctor_parser(), argv, _doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    found = try_table(arguments.table, options_of(arguments), say_measuring, root=arguments.root)
    sentence = verdict(found)
    if arguments.json:
        print(json.dumps(_as_json(found, sentence), ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(found, sentence)))
    return 0


def verdict(found: Trial) -> str:
    """Say in one sentence what shards would gain, and where other work may have made it so."""
    why = busy(found.others)
    return f"{_gain(found)}. But {why}, {AGAIN}" if why else _gain(found)


def _gain(found: Trial) -> str:
    way = next((way for way in found.reading if way["name"] == _USUAL), found.reading[0])
    rate = way["images_per_second"]
    size = f"shards of {in_words(_bytes(found))}, made once in {_time(found)}, are read at"
    times = rate / found.old.rate if found.old.rate else float("inf")
    if times < _WORTH:
        return (
            f"shards would not help here: the usual generator gives {found.old.rate:,.0f} "
            f"images/s, and {_OURS[way['name']]} of shards {rate:,.0f}"
        )
    return (
        f"the usual generator is the limit at {found.old.rate:,.0f} images/s: {size} {rate:,.0f} "
        f"by {_OURS[way['name']]}, {times:,.0f} times as fast; run shardio-convert with the same "
        "arguments, and a folder for the shards after the table"
    )


def _bytes(found: Trial) -> int:
    return round(found.record_bytes * found.rows)


def _seconds(found: Trial) -> float | None:
    return found.rows / found.converted.rate if found.converted.rate else None


def _time(found: Trial) -> str:
    seconds = _seconds(found)
    if seconds is None or seconds < 60:
        return "less than a minute"
    if seconds < 5400:
        return f"some {counted(round(seconds / 60), 'minute')}"
    return f"some {counted(round(seconds / 3600), 'hour')}"


def _as_json(found: Trial, sentence: str) -> dict[str, Any]:
    def rate(name: str) -> dict[str, float]:
        measured = getattr(found, name)
        said = {"images_per_second": measured.rate}
        if name != "converted":
            said["cpu_seconds_per_million"] = measured.cpu_per_million
        return said

    return {
        "rows": found.rows,
        "images": found.images,
        "rejected": found.rejected,
        "transform": found.transform,
        "usual_first_pass": rate("first"),
        "usual": rate("old") | asdict(found.memory),
        "conversion": rate("converted"),
        "record_bytes": found.record_bytes,
        "bytes_of_all": _bytes(found),
        "seconds_for_all": _seconds(found),
        "shards": found.reading,
        "left_out": found.left_out,
        "others": found.others,
        "verdict": sentence,
    }


def _lines(found: Trial, sentence: str) -> list[str]:
    parts = [
        ("usual generator, first pass", found.first.rate, found.first.cpu_per_million, ""),
        (
            "usual generator, again",
            found.old.rate,
            found.old.cpu_per_million,
            in_words(found.memory.resident),
        ),
        ("conversion, all cores, once", found.converted.rate, None, ""),
        *(
            (
                f"shards: {_OURS[way['name']]}, uint8",
                way["images_per_second"],
                way["cpu_seconds_per_million"],
                in_words(way["peak_rss"]),
            )
            for way in found.reading
        ),
    ]
    fastest = max(rate for _, rate, _, _ in parts)
    rows = [
        Row(
            name,
            [f"{rate:,.0f}", "" if cpu is None else f"{cpu:,.0f}", memory],
            rate / fastest if fastest else None,
        )
        for name, rate, cpu, memory in parts
    ]
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    lines = [
        f"{counted(found.images, 'image')} of {found.rows:,} tried; {found.transform}",
        *table(["", "images/s", "CPU s/million", "peak RSS"], rows, encoding),
        f"on disk   {in_words(_bytes(found))}, {found.record_bytes:,.0f} bytes a record",
        f"to make   {_time(found)} on this machine",
    ]
    if found.left_out:
        lines.append(f"there was no time for {', '.join(found.left_out)}: the machine is too slow")
    if found.rejected:
        lines.append(f"rejects   {counted(found.rejected, 'image')} of those tried")
    return [*lines, "", f"{sentence[:1].upper()}{sentence[1:]}."]
