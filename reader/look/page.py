"""A page of everything that a survey has seen: one HTML file, without network."""

from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path

from reader.look.findings import findings
from reader.look.image_sections import Images, alike_section, pixel_section, sample_section
from reader.look.label_sections import classes_shown, labels_section, splits_section
from reader.look.making import making
from reader.look.markup import details, element, facts, paragraph, section, table, text
from reader.look.origins import Origins
from reader.look.rejects import Rejects
from reader.look.survey import Survey
from reader.shardset import ShardSet
from shardio.format.sequences import without_lengths
from shardio.format.transform import COLOURS
from shardio.grammar import counted
from shardio.sizes import measured
from shardio.storage.paths import folder_of
from shardio.version import __version__

FOLDER = Path(__file__).parent
_REJECTS = 200
_SHARDS = 200


def page(found: Survey, rejects: Rejects, origins: Origins) -> str:
    """Return the page of a set that has records."""
    folder = folder_of(found.shards.shards[0].path) if found.shards.shards else ""
    title = title_of(found.shards)
    classes = classes_shown(found)
    images = Images.of(found, classes, origins)
    parts = [
        ("what", "What it is", _what(found, folder)),
        ("findings", "Worth a look", _findings(found, rejects)),
        ("samples", "Samples", sample_section(images)),
        ("labels", "Labels", labels_section(found, images, classes)),
        ("splits", "Splits", splits_section(found)),
        ("pixels", "Brightness and contrast", pixel_section(found, images)),
        ("alike", "Blank and alike", alike_section(found, images)),
        ("rejects", "Rejects", _rejects(found, rejects)),
        ("made", "How it was made", making(found.shards)),
    ]
    links = "".join(
        f"<li>{element('a', text(words), href=f'#{identity}')}</li>" for identity, words, _ in parts
    )
    sections = "".join(section(identity, words, inner) for identity, words, inner in parts)
    records = counted(len(found.shards), "record")
    line = f"{records} in {counted(len(found.shards.shards), 'shard')}"
    made = f"Made by shardio {__version__} on {time.strftime('%Y-%m-%d')}"
    top = element("h1", text(title)) + element("p", text(line), class_="soft")
    top += element("nav", f"<ul>{links}</ul>", aria_label="Sections")
    body = element("header", top) + element("main", sections, id="main")
    return _document(title, body + element("footer", text(made)))


def title_of(shards: ShardSet) -> str:
    """Return what a set is called: by its metadata, or as its folder."""
    name = "" if shards.manifest is None else shards.manifest.metadata.get("name", "")
    folder = folder_of(shards.shards[0].path) if shards.shards else ""
    return name or folder.rpartition("/")[2] or "shards"


def _document(title: str, body: str) -> str:
    """Return the whole file; a browser runs no script in it but ours, and loads nothing."""
    style = (FOLDER / "page.css").read_text("utf-8")
    script = (FOLDER / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<title>{text(title)}</title><link rel="icon" href="data:,"><style>{style}</style></head>'
        f'<body><a class="skip" href="#main">Skip to the content</a>{body}'
        f"<script>{script}</script></body></html>\n"
    )


def _what(found: Survey, folder: str) -> str:
    shards, manifest = found.shards, found.shards.manifest
    height, width, channels = shards.shape
    size = sum(shard.size for shard in shards.shards)
    labels = ", ".join(f"{label.name} ({label})" for label in without_lengths(shards.labels))
    pairs = [
        ("Folder", folder),
        ("Records", f"{len(shards):,}"),
        ("Images", f"{width}x{height} pixels, {COLOURS[channels]}"),
        ("Labels", labels or "none"),
        ("Size", f"{measured(size)} in {counted(len(shards.shards), 'shard')}"),
        ("Splits", ", ".join(f"{name} {count:,}" for name, count in shards.splits.items()) or "-"),
    ]
    if manifest is not None:
        pairs += [(f"Metadata: {name}", value) for name, value in manifest.metadata.items()]
    sizes = [shard.records for shard in shards.shards]
    rows = [
        (shard.path.rpartition("/")[2], shard.records, shard.size)
        for shard in shards.shards[:_SHARDS]
    ]
    more = len(sizes) - len(rows)
    note = paragraph(f"{more:,} more shards are not listed.") if more else ""
    listed = table("Shards", ["shard", "records", "bytes"], rows) + note
    low, high = min(sizes, default=0), max(sizes, default=0)
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    summary = f"All shards: {each} records each" if sizes else "Shards"
    return facts(pairs) + details(summary, listed)


def _findings(found: Survey, rejects: Rejects) -> str:
    lines = findings(found, rejects)
    if not lines:
        return paragraph("Nothing odd was found by what this page looks at.")
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return element("ul", items, class_="findings")


def _rejects(found: Survey, rejects: Rejects) -> str:
    if rejects.why_not:
        return paragraph(f"Not known: {rejects.why_not}.")
    if not rejects.rows:
        return paragraph("No row of the table was rejected.")
    assert found.shards.manifest is not None
    share = len(rejects.rows) / max(1, found.shards.manifest.rows_read)
    rows = [(reason, count, example) for reason, count, example in rejects.reasons[:_REJECTS]]
    listed = [(row, path, reason) for row, path, reason in rejects.rows[:_REJECTS]]
    more = len(rejects.rows) - len(listed)
    said = f"The first {len(listed):,} rejects" if more else "All rejects"
    return (
        paragraph(
            f"{counted(len(rejects.rows), 'row')} of the table ({share:.2%}) could not be used."
        )
        + table("Reasons (N is a number)", ["reason", "rows", "example"], rows)
        + details(said, table(said, ["row", "path", "reason"], listed))
    )
