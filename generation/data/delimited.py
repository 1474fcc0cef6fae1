"""Rows of CSV and TSV, strictly: what does not fit the header or its quotes is a failure, and never some other row."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator

from constitution.errors import Problem, UserError, shown
from generation.data.json_rows import UTF16, too_large
from generation.data.record import MAX_ROW, MAX_SKIPPED, BadRow, Record, reading

CUT = 32767
"""Characters of a cell at which spreadsheets cut."""
_PIECE = 1 << 16


def delimited(file: io.BufferedReader, name: str, delimiter: str) -> Iterator[Record]:
    """Each record of a file; an empty cell is None. Raises UserError where the header cannot be used."""
    csv.field_size_limit(sys.maxsize)
    with reading(name), file:
        utf16 = file.peek(2)[:2] in UTF16
        text = io.TextIOWrapper(file, "utf-16" if utf16 else "utf-8-sig", errors="surrogateescape", newline="")
        lines = _Lines(text, name)
        reader = _Counting(lines, delimiter)
        header = _header(reader, name, delimiter)
        while True:
            begin = reader.line_num + 1
            lines.begin()
            try:
                cells = next(reader, None)
            except csv.Error as error:
                yield Record(f"{name}:{begin}", _malformed(begin, reader.line_num, error))
                continue
            except _TooLarge:
                skipped = lines.skip_quoted()
                # the csv module does not count the line that was too much
                reader = _Counting(lines, delimiter, reader.line_num + 1 + skipped)
                yield Record(f"{name}:{begin}", too_large())
                continue
            if cells is None:
                return
            if cells:
                yield Record(f"{name}:{begin}", _row(header, cells))


class _TooLarge(Exception):
    """A record is over MAX_ROW characters."""


class _Counting:
    """A csv.reader that counts on from a line, and takes no liberties."""

    def __init__(self, lines: _Lines, delimiter: str, before: int = 0) -> None:
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self._before = before

    @property
    def line_num(self) -> int:
        return self._before + self._reader.line_num

    def __iter__(self) -> Iterator[list[str]]:
        return self

    def __next__(self) -> list[str]:
        return next(self._reader)


class _Lines:
    """A file's lines, and how much of the record that is read is held."""

    def __init__(self, file: io.TextIOWrapper, name: str) -> None:
        self._file = file
        self._name = name
        self._held = 0
        self._quotes = 0
        self._skipped = 0

    def begin(self) -> None:
        """A record begins here."""
        self._held = self._quotes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_ROW + 1)
        self._held += len(line)
        self._quotes += line.count('"')
        if self._held > MAX_ROW:
            self._rest(line)
            raise _TooLarge
        if not line:
            raise StopIteration
        return line

    def _rest(self, line: str) -> None:
        """Leave the rest of a long line unread."""
        while line and not line.endswith("\n"):
            self._skipped += len(line)
            if self._skipped > MAX_SKIPPED:
                raise UserError(Problem(self._name, "", "has lines of gigabytes", "", "is it a data file?"))
            line = self._file.readline(_PIECE)
            self._quotes += line.count('"')

    def skip_quoted(self) -> int:
        """Go past a record that is too large, to the end of the line that closes its quote; returns how many lines that were."""
        number = 0
        while self._quotes % 2:
            line = self._file.readline(_PIECE)
            if not line:
                break
            self._quotes += line.count('"')
            self._rest(line)
            number += 1
        return number


def _header(reader: Iterator[list[str]], name: str, delimiter: str) -> list[str]:
    try:
        header = next(reader, None)
    except (csv.Error, _TooLarge) as error:
        got = f"has a header that cannot be read ({error})"
        raise UserError(Problem(f"{name}:1", "", got, "", "close its quotes")) from None
    if not header:
        return []
    repeated = [column for column, count in Counter(header).items() if count > 1]
    if repeated:
        got = f"has {len(repeated)} column names twice ({', '.join(map(shown, repeated))})"
        raise UserError(Problem(f"{name}:1", "", got, "each name once", "rename one"))
    try:
        "".join(header).encode()
    except UnicodeEncodeError:
        raise UserError(
            Problem(f"{name}:1", "", "has a header that is not UTF-8", "", "save the file as UTF-8")
        ) from None
    others = [sign for sign in ",;\t|" if sign != delimiter and sign in header[0]]
    if len(header) == 1 and others:
        got = f"has one column, {shown(header[0])}"
        fix = f"it seems to be divided by {others[0]!r}: save it with {delimiter!r}" + (
            ", or name it .tsv" if others[0] == "\t" else ""
        )
        raise UserError(Problem(f"{name}:1", "", got, f"columns divided by {delimiter!r}", fix))
    return header


def _row(header: list[str], cells: list[str]) -> dict[str, str | None] | BadRow:
    if len(cells) != len(header):
        got = f"has {len(cells)} cells, and the header {len(header)}"
        return BadRow("ragged_row", got, "as many as the header", "put cells with a comma in double quotes")
    cut = next((column for column, cell in zip(header, cells, strict=True) if len(cell) == CUT), None)
    if cut is not None:
        got = f"has exactly {CUT:,} characters, where spreadsheets cut a cell"
        return BadRow("cut_cell", got, "", "export it from where it is whole", key=cut)
    return {column: cell or None for column, cell in zip(header, cells, strict=True)}


def _malformed(begin: int, end: int, error: csv.Error) -> BadRow:
    lines = f"lines {begin} to {end}" if end > begin else f"line {begin}"
    got = f"a quote that opens on line {begin} is not closed as it should be ({error}), so {lines} cannot be read"
    return BadRow("bad_csv", got, "", 'close it, and write " inside a quoted cell as ""')
