"""Lines of cells, such as CSV and TSV, read with Arrow in blocks of whole rows.

Where rows end is found here, and Arrow must find as many. In TSV each line is a row and quotation
marks are characters. In CSV, divided by commas or semicolons, quoted cells may hold line breaks,
which are counted, and a quotation mark that is never closed is an error. A line ends with a line
feed, a carriage return or both; those that are empty are no rows.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from converter.table.text.arrow_errors import explain, row_of_csv
from converter.table.text.dialect import Dialect
from converter.table.text.line_ends import CR, LF, count_line_ends, end_of_rows
from converter.table.text.quoted_cells import MARK, QuotedCells
from converter.table.text.text_encoding import Utf8Stream
from shardio.errors import TableError

_LONGEST_ROW = 1 << 24
_NO_CELLS = QuotedCells(np.zeros(0, np.int64), np.zeros(0, np.int64))
_MARKS = (
    "in CSV a quotation mark at the start of a cell quotes the cell; for a cell that begins with "
    'the character itself write """..." (in .tsv tables it is always text)'
)


@dataclass(frozen=True)
class _Block:
    """Whole rows. `line` is the number of the first line, from 1."""

    data: bytes
    line: int
    cells: QuotedCells

    def line_at(self, place: int) -> int:
        return self.line + count_line_ends(self.data[:place])


class DelimitedTable:
    """The table called `name`, which `dialect` says how to read; `open_text` opens it as UTF-8.

    `names` are those of the columns, without white space around them. After a reading, `notes` says
    what may be a slip.
    """

    def __init__(
        self, name: str, open_text: Callable[[], Utf8Stream], dialect: Dialect, block: int
    ) -> None:
        self._name = name
        self._open = open_text
        self._block = block
        self._delimiter = dialect.delimiter
        self._quotes = dialect.quotes
        self._has_header = dialect.columns is None
        self._breaks = self._first_break = self._in_marks = 0
        blocks = self._blocks()
        first = next(blocks, None)
        blocks.close()
        if first is None:
            raise TableError(f"{self._name} is empty")
        self.names = list(dialect.columns or map(str.strip, self._header(first)))

    def batches(self, wanted: list[str]) -> Iterator[Any]:
        """Yield Arrow batches of the columns that are wanted, as texts."""
        # Every reading opens the file again: what is read twice is the header alone.
        self._breaks = self._in_marks = 0
        rows = 0
        for number, block in enumerate(self._blocks()):
            header = self._has_header and not number
            data = block.data[self._end_of_header(block) :] if header else block.data
            expected = self._rows(block) - header
            self._count_breaks(block)
            if not expected:
                continue
            try:
                table = self._parse(data, wanted)
            except ValueError as error:  # Arrow's own is one
                row, text = row_of_csv(str(error))
                if row is None:
                    raise
                (line,) = self._lines_in(block, [row + header])
                raise TableError(
                    f"{self._name} cannot be read: line {line}, row {rows + row}: {explain(text)}"
                ) from error
            if table.num_rows != expected:
                raise TableError(
                    f"{self._name}: from line {block.line} on {table.num_rows} rows were read, not "
                    f"{expected}"
                )
            if not self._quotes and MARK in data:
                self._count_marks(table)
            rows += table.num_rows
            yield from table.to_batches()

    def lines_of(self, rows: Sequence[int]) -> list[int]:
        """Return the lines, from 1, in which some rows of a table begin; they are in order.

        The table is read again up to the last of them.
        """
        found: list[int] = []
        before = -1 if self._has_header else 0  # the header is a row of its block
        for block in self._blocks():
            count = self._rows(block)
            own = [row - before for row in rows[len(found) :] if row - before < count]
            found += self._lines_in(block, own)
            before += count
            if len(found) == len(rows):
                break
        return found

    def notes(self) -> list[str]:
        """Return what was read as it is written, but may be meant in another way."""
        found = []
        if self._breaks:
            found.append(
                f"line breaks inside of quoted cells: {self._breaks:,}, the first one in line "
                f"{self._first_break}; there are fewer rows than lines"
            )
        if self._in_marks:
            found.append(
                f"cells that begin and end with quotation marks: {self._in_marks:,}; in TSV these "
                "are a part of the text, CSV has quoted cells"
            )
        return found

    def _blocks(self) -> Generator[_Block, None, None]:
        """Cut the file into blocks of whole rows; the first one begins with the header."""
        line = 1
        has_header = False
        rest = b""
        with self._open() as stream:
            while True:
                # A long row is looked at again each time, so it grows by doubling.
                piece = stream.read(max(self._block, len(rest)))
                if piece.endswith(b"\r"):  # a line feed may follow
                    piece += stream.read(1)
                data = rest + piece
                cells = _NO_CELLS
                if self._quotes and MARK in data:
                    cells = QuotedCells.find(data, self._delimiter.encode())
                end = len(data) if not piece else end_of_rows(data, cells)
                block = _Block(data[:end], line, cells)
                rest = data[end:]
                self._refuse(_Block(data, line, cells), len(rest), at_end=not piece)
                has_header = has_header or self._rows(block) > 0
                if has_header and end:
                    yield block
                line += count_line_ends(block.data)
                if not piece:
                    return

    def _refuse(self, block: _Block, unfinished: int, *, at_end: bool) -> None:
        """Raise TableError for marks that are not those of quoted cells, and for endless rows."""
        cells = block.cells
        too_long = unfinished > _LONGEST_ROW
        if cells.bad_at is not None:
            raise TableError(
                f"{self._name}: line {block.line_at(cells.bad_at)}: text follows the quotation "
                f"mark that ends a cell; {_MARKS}"
            )
        if cells.open_at is not None and (at_end or too_long):
            where = f"within {_LONGEST_ROW:,} bytes" if too_long else "up to the end of the table"
            raise TableError(
                f"{self._name}: line {block.line_at(cells.open_at)}: the quotation mark that opens "
                f"a cell is not closed {where}; {_MARKS}"
            )
        if too_long:
            line = block.line_at(len(block.data) - unfinished)
            raise TableError(f"{self._name}: line {line} has more than {_LONGEST_ROW:,} bytes")

    def _ends(self, block: _Block) -> NDArray[np.bool_]:
        """Return which bytes end a line outside of quoted cells."""
        values = np.frombuffer(block.data, np.uint8)
        ends: NDArray[np.bool_] = (values == LF) | (values == CR)
        if len(block.cells.starts):
            places = np.flatnonzero(ends)
            ends[places[block.cells.hold(places)]] = False
        return ends

    def _rows(self, block: _Block) -> int:
        """Count the lines that are not empty, those of a quoted cell as one."""
        ends = self._ends(block)
        return int(np.count_nonzero(ends[:-1] & ~ends[1:])) + int(len(ends) and not ends[0])

    def _lines_in(self, block: _Block, numbers: Sequence[int]) -> list[int]:
        """Return the lines in which some rows of a block begin, by their numbers in it."""
        ends = self._ends(block)
        starts = np.flatnonzero(~ends & np.concatenate([[True], ends[:-1]]))
        return [block.line_at(int(starts[number])) for number in numbers]

    def _end_of_header(self, block: _Block) -> int:
        start = len(block.data) - len(block.data.lstrip(b"\r\n"))
        ends = (match.start() for match in re.finditer(rb"[\r\n]", block.data[start:]))
        for end in ends:
            if not block.cells.hold(np.array([start + end])).any():
                return start + end
        return len(block.data)

    def _header(self, block: _Block) -> list[str]:
        """Return the names in the first line that is not empty."""
        line = block.data[: self._end_of_header(block)].lstrip(b"\r\n")
        # What is not UTF-8 is for the reading of the whole table to report.
        text = line.decode("utf-8", errors="replace")
        if not self._quotes:
            return text.split(self._delimiter)
        try:
            return next(csv.reader(io.StringIO(text, newline=""), delimiter=self._delimiter))
        except csv.Error as error:
            raise TableError(f"{self._name}: its first line cannot be read: {error}") from error

    def _count_breaks(self, block: _Block) -> None:
        if not len(block.cells.starts):
            return
        values = np.frombuffer(block.data, np.uint8)
        places = np.flatnonzero((values == LF) | (values == CR))
        places = places[block.cells.hold(places)]
        if not self._breaks and len(places):
            self._first_break = block.line_at(int(places[0]))
        follow = (values[places] == LF) & (values[places - 1] == CR)
        self._breaks += len(places) - int(np.count_nonzero(follow))

    def _count_marks(self, table: Any) -> None:
        import pyarrow.compute as pc

        for column in table.columns:
            both = pc.match_substring_regex(column, r'(?s)^".*"$')
            self._in_marks += pc.sum(both).as_py() or 0

    def _parse(self, data: bytes, wanted: list[str]) -> Any:
        """Parse some rows; their columns are named by number, as names may be there twice."""
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        quotes = self._quotes and MARK in data
        numbers = [str(self.names.index(name)) for name in wanted]
        # Every column is read as text: Arrow would guess a type from each block, and its error
        # for a label that does not fit would not name the row. An empty line comes first since
        # Arrow would take the mark of UTF-8 away there.
        data = b"\n" + data
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            # Threads would read ahead, and not count the rows.
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                block_size=len(data) + 1,
                column_names=[str(number) for number in range(len(self.names))],
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self._delimiter,
                quote_char='"' if quotes else False,
                newlines_in_values=quotes,
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=numbers,
                column_types=dict.fromkeys(numbers, pa.string()),
                strings_can_be_null=False,
            ),
        )
        return table.rename_columns(wanted)
