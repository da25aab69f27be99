"""The pages of a site that shows a set: which there are, and what is on them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np

from reader.browse.columns import Columns
from reader.browse.finder import Finder, NotReadyError
from reader.browse.list_page import PAGE, Card, form, records_section
from reader.browse.query import Query
from reader.browse.record_page import neighbours, record_section
from reader.browse.sound_records import SoundRecords
from reader.browse.task import Task
from reader.look.markup import element, text
from reader.look.origins import Origins
from reader.look.page import page, title_of
from reader.look.rejects import read_rejects
from reader.look.survey import survey
from reader.look.thumbnails import thumbnail
from reader.shardset import ShardSet
from shardio.errors import OptionError, ShardioError
from shardio.grammar import counted
from shardio.version import __version__

_WAIT_SECONDS = 2.0
# A page has few images; most of them stand in it pixel by pixel.
_THUMBNAIL_BYTES = 32_000


class Site:
    """Makes pages of a set; any number of threads may ask for some at once."""

    def __init__(self, shards: ShardSet) -> None:
        self._shards = shards
        self._origins = Origins(shards)
        self._columns = Columns(shards)
        self._finder = Finder(shards, self._columns, self._origins)
        self._records = SoundRecords(shards)
        self._title = title_of(shards)
        self._report: Task[str] = Task(
            "the report reads all records, once", len(shards), self._made_report
        )
        self._member_ends = list(accumulate(len(member) for member in shards.members))

    def begin(self) -> None:
        """Begin to read the labels, which most pages need."""
        self._columns.labels.start()

    def stop(self) -> None:
        """End what is being read."""
        self._columns.stop()
        self._report.stop()

    def records(self, query: Query) -> tuple[int, str]:
        """Return the page of the records that a query asks for: status and HTML."""
        shown = form(self._shards, query, self._finder.splits, self._finder.names)
        try:
            found = self._finder.find(query)
            start = (query.page - 1) * PAGE
            if start and start >= len(found):
                raise OptionError(f"there are {len(found):,} such records, and no page so far on")
            cards = self._cards(found.ids(start, start + PAGE).tolist())
            body = records_section(self._shards, query, found, cards)
        except NotReadyError as error:
            return self._document(shown + _waiting(error.task), 503)
        except OptionError as error:
            return self._document(shown + _problem(error), 400)
        return self._document(shown + body, 200)

    def record(self, number: int, query: Query) -> tuple[int, str]:
        """Return the page of a record."""
        if number >= len(self._shards):
            said = OptionError(f"the set has {counted(len(self._shards), 'record')}, from 0")
            return self._document(_problem(said), 404)
        ways = neighbours(self._shards, query, number)
        heading = element("h2", f"Record {number:,}")
        (read,) = self._records.read(np.array([number]))
        if isinstance(read, ShardioError):
            return self._document(ways + heading + _problem(read), 200)
        (card,) = self._cards([number])
        shard, inside = self._finder.shard_of(number)
        place = f"record {inside:,} of {self._finder.names[shard]}"
        body = record_section(self._shards, card, place, *read)
        return self._document(ways + heading + body, 200)

    def report(self) -> tuple[int, str]:
        """Return the page of the whole set, as `shardio-read report` writes it."""
        found = self._report.result(_WAIT_SECONDS)
        if found is None:
            return self._document(_waiting(self._report), 503)
        return 200, found

    def problem(self, status: int, words: str) -> tuple[int, str]:
        """Return a page that says what is wrong."""
        return self._document(_problem(OptionError(words)), status)

    def _cards(self, ids: list[int]) -> list[Card]:
        paths = self._origins.paths(np.array(ids, dtype=np.int64))
        cards = []
        for number, read in zip(ids, self._records.read(np.array(ids, np.int64)), strict=True):
            shard, _ = self._finder.shard_of(number)
            split = self._finder.splits[shard]
            if isinstance(read, ShardioError):
                cards.append(Card(number, split, damage=str(read)))
                continue
            image, numbers = read
            cards.append(
                Card(
                    number,
                    split,
                    row=int(numbers[-1]),
                    member=self._member_of(number),
                    path=paths.get(number),
                    image=thumbnail(image, numbers, most_bytes=_THUMBNAIL_BYTES),
                )
            )
        return cards

    def _member_of(self, number: int) -> int | None:
        """Return the number of a record's set in a join; None of a single set."""
        if not self._member_ends:
            return None
        return int(np.searchsorted(self._member_ends, number, side="right"))

    def _made_report(self, progress: Callable[[int], object]) -> str:
        found = survey(self._shards, progress)
        # Its own reader of records.parquet: one is for one thread.
        return page(found, read_rejects(self._shards), Origins(self._shards))

    def _document(self, body: str, status: int) -> tuple[int, str]:
        title = text(self._title)
        line = f"{counted(len(self._shards), 'record')} in "
        line += f"{counted(len(self._shards.shards), 'shard')}"
        links = '<li><a href="/">Records</a></li><li><a href="/report">Report</a></li>'
        top = f'<h1>{title}</h1><p class="soft">{text(line)}</p>'
        top += f'<nav aria-label="Site"><ul>{links}</ul></nav>'
        return status, (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<title>{title}</title><link rel="icon" href="data:,">'
            '<link rel="stylesheet" href="/page.css"><link rel="stylesheet" href="/browse.css">'
            '<script src="/browse.js" defer></script></head>'
            f'<body data-set="{self._shards.fingerprint}">'
            '<a class="skip" href="#main">Skip to the content</a>'
            f'<header>{top}</header><main id="main">{body}</main>'
            f"<footer>shardio {text(__version__)}</footer></body></html>\n"
        )


def _waiting(task: Task[Any]) -> str:
    """Say that something is being made; the page asks again by itself."""
    words = f"{task.what[0].upper()}{task.what[1:]}: {task.share:.0%}. This page comes by itself."
    return element("p", text(words), role="status", data_wait="yes")


def _problem(error: Exception) -> str:
    return element("p", text(str(error), 2000), role="alert", class_="problem")
