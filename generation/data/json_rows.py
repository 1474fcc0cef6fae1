"""Rows of JSON: an object a line; a list of objects; objects over several lines. Read piece by piece."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from constitution.errors import Problem, UserError, shown
from generation.data.record import MAX_ROW, MAX_SKIPPED, BadRow, Record, reading

UTF16 = (b"\xff\xfe", b"\xfe\xff")
_PIECE = 1 << 16
_MAX_VALUE = 8 * MAX_ROW
"""Characters of a list's item from which the list is taken for broken."""
_SPACE = re.compile(r"[ \t\n\r]*")
_OBJECT = 'an object with named columns, as in {"prompt": "Why is the sky blue?"}'


def json_rows(file: io.BufferedReader, name: str) -> Iterator[Record]:
    """Each row of a file. Raises UserError where it is no JSON as a whole."""
    with reading(name), file:
        head = file.peek(_PIECE)[:_PIECE].removeprefix(b"\xef\xbb\xbf")
        if head.startswith(UTF16):
            raise UserError(Problem(name, "", "is UTF-16", "UTF-8", "save it as UTF-8"))
        first, _, more = head.lstrip().partition(b"\n")
        if first.startswith(b"[") or (first.strip() == b"{" and more):
            yield from _values(file, name)
        else:
            yield from _lines(file, name)


class _Decoder(json.JSONDecoder):
    """Notes a key that an object has twice: which of the two is meant, nobody can say."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=self._object)
        self.repeated = ""

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            self.repeated = next(name for name in names if names.count(name) > 1)
        return found

    def checked(self, value: object) -> dict[str, Any] | BadRow:
        """A decoded value as a row."""
        repeated, self.repeated = self.repeated, ""
        if repeated:
            return BadRow("duplicate_key", f"has the key {shown(repeated)} twice", "each key once", "remove one")
        if not isinstance(value, dict):
            return BadRow("bad_row", f"got {shown(value)}", _OBJECT)
        return value


def _lines(file: io.BufferedReader, name: str) -> Iterator[Record]:
    decoder = _Decoder()
    skipped = 0
    for number in itertools.count(1):
        line = file.readline(MAX_ROW + 1)
        if not line:
            return
        place = f"{name}:{number}"
        if len(line) > MAX_ROW:
            while line and not line.endswith(b"\n"):  # the rest of an over-long line, piece by piece
                skipped += len(line)
                line = file.readline(_PIECE)
            _check_skipped(name, skipped)
            yield Record(place, too_large())
        elif line.isspace():
            skipped += len(line)
            _check_skipped(name, skipped)
        else:
            yield Record(place, _line(line, decoder))


def too_large() -> BadRow:
    """The reason of a row that is not held in memory."""
    return BadRow("cell_too_large", f"is over {MAX_ROW:,} bytes", f"{MAX_ROW:,} a row", "shorten it or leave it out")


def _check_skipped(name: str, skipped: int) -> None:
    if skipped > MAX_SKIPPED:
        raise UserError(Problem(name, "", "has lines of gigabytes", "an object a line", "is it a data file?"))


def _line(line: bytes, decoder: _Decoder) -> dict[str, Any] | BadRow:
    try:
        value = decoder.decode(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return BadRow("not_utf8", "is not UTF-8", "", "save the file as UTF-8")
    except (ValueError, RecursionError) as error:
        decoder.repeated = ""
        return BadRow("bad_json", f"is not JSON ({str(error)[:200]})", "", "write one object a line")
    return decoder.checked(value)


def _values(file: io.BufferedReader, name: str) -> Iterator[Record]:
    """Items of a list, or objects one after another."""
    text = _Text(io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline=""), name)
    array = text.next() == "["
    if array:
        text.take("[")
    for number in itertools.count(1):
        if text.next() == "" and not array:
            return
        if array and text.next() == "]":
            text.take("]")
            if text.next():
                raise text.broken("something follows the list", number)
            return
        yield Record(f"{name}:{number}", text.value(number))
        if array and text.next() != "]":
            text.take(",", number)


class _Text:
    """A file's text and how far it is read."""

    def __init__(self, file: io.TextIOWrapper, name: str) -> None:
        self._file = file
        self._name = name
        self._text = ""
        self._at = 0
        self._ended = False
        self._decoder = _Decoder()

    def next(self) -> str:
        """The next character that is no white space, not taken yet; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text) or not self._more(_PIECE):
                return self._text[self._at : self._at + 1]

    def take(self, sign: str, number: int = 1) -> None:
        """Go past a sign. Raises UserError where another stands there."""
        if self.next() != sign:
            raise self.broken(f"has {shown(self.next())} where {sign!r} belongs", number)
        self._at += 1

    def value(self, number: int) -> dict[str, Any] | BadRow:
        """The next value as a row. Raises UserError where it is no JSON: nobody knows where the next one begins."""
        size = _PIECE
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more(size):
                    break
            except RecursionError:
                raise self.broken("is nested too deep", number) from None
            except ValueError as error:
                if len(self._text) - self._at > _MAX_VALUE or not self._more(size):
                    raise self.broken(f"is not JSON ({str(error)[:200]})", number) from None
            self._decoder.repeated = ""
            size *= 2
        large = end - self._at > MAX_ROW
        self._at = end
        return too_large() if large else self._decoder.checked(value)

    def broken(self, got: str, number: int) -> UserError:
        """The list cannot be read any further."""
        return UserError(Problem(f"{self._name}:{number}", "", got, "a list of objects, or an object a line"))

    def _more(self, size: int) -> bool:
        """Whether there was more to read."""
        piece = "" if self._ended else self._file.read(size)
        self._ended = not piece
        self._text = self._text[self._at :] + piece
        self._at = 0
        return bool(piece)
