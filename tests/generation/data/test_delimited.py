"""CSV and TSV: what does not fit costs its own row, and the rows after it keep their line numbers."""

import io
from collections.abc import Mapping
from typing import Any

import pytest

from constitution.errors import UserError
from generation.data import delimited as module
from generation.data.delimited import CUT, delimited
from generation.data.record import BadRow


def opened(text: str | bytes) -> io.BufferedReader:
    """A file of this text."""
    raw: Any = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return io.BufferedReader(raw)


def read(text: str | bytes, delimiter: str = ",") -> list[tuple[str, object]]:
    """(place, the row or the reason why it is none)."""
    found = delimited(opened(text), "f", delimiter)
    return [(record.place, record.row.reason if isinstance(record.row, BadRow) else {**record.row}) for record in found]


def row(**cells: str | None) -> Mapping[str, str | None]:
    return cells


@pytest.mark.parametrize(
    "text",
    ["a,b\n1,\n\n3,4\n", "a,b\r\n1,\r\n\r\n3,4", b"\xef\xbb\xbfa,b\n1,\n\n3,4\n", "a,b\n1,\n\n3,4\n".encode("utf-16")],
    ids=["plain", "of-windows", "with-a-mark", "utf-16"],
)
def test_rows_and_their_lines(text: str | bytes) -> None:
    assert read(text) == [("f:2", row(a="1", b=None)), ("f:4", row(a="3", b="4"))]


def test_quoted_cells_may_have_many_lines() -> None:
    assert read('a\tb\n"x\n""y"" \tz"\t2\n3\t4\n', "\t") == [
        ("f:2", row(a='x\n"y" \tz', b="2")),
        ("f:4", row(a="3", b="4")),
    ]


@pytest.mark.parametrize("text", ["", "a,b\n", "a,b"])
def test_no_rows(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("bad", "reason", "lines"),
    [
        ("1,2,3\n", "ragged_row", 1),
        ("1\n", "ragged_row", 1),
        (f"1,{'x' * CUT}\n", "cut_cell", 1),
        ('1,"x" y\n', "bad_csv", 1),
        ('1,"x\ny" z\n', "bad_csv", 2),
    ],
)
def test_a_bad_row_costs_itself(bad: str, reason: str, lines: int) -> None:
    assert read(f"a,b\n{bad}3,4\n") == [("f:2", reason), (f"f:{2 + lines}", row(a="3", b="4"))]


def test_cells_beside_the_size_at_which_spreadsheets_cut_are_whole() -> None:
    for size in (CUT - 1, CUT + 1):
        assert read(f"a,b\n1,{'x' * size}\n") == [("f:2", row(a="1", b="x" * size))]


def test_what_is_wrong_with_quotes_names_its_lines() -> None:
    two, one = (record.row for record in delimited(opened('a,b\n1,"x\ny" z\n1,"x" y\n'), "f", ","))
    assert isinstance(two, BadRow)
    assert isinstance(one, BadRow)
    assert "a quote that opens on line 2 is not closed" in two.at("f").got
    assert "so lines 2 to 3 cannot be read" in two.at("f").got
    assert "so line 4 cannot be read" in one.at("f").got


@pytest.mark.parametrize(
    ("large", "lines"),
    [
        ("1," + "x" * 500 + "\n", 1),
        ('1,"' + "x" * 500 + '"\n', 1),
        ('1,"' + "x\n" * 300 + '"\n', 301),
        ('1,"' + "x" * 500 + "\n" + 'y""\n' + 'z"\n', 3),
    ],
    ids=["bare", "quoted", "many-lines", "a-long-line-first"],
)
def test_a_row_that_is_too_large_is_skipped_to_its_end(large: str, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROW", 200)
    assert read(f"a,b\n{large}3,4\n") == [("f:2", "cell_too_large"), (f"f:{2 + lines}", row(a="3", b="4"))]
    assert read(f"a,b\n1,2\n{large}") == [("f:2", row(a="1", b="2")), ("f:3", "cell_too_large")]


def test_a_quote_that_is_never_closed_takes_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROW", 200)
    assert read('a,b\n1,"' + "x\n" * 300) == [("f:2", "cell_too_large")]


def test_a_row_of_the_largest_size_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROW", 200)
    cell = "x" * (200 - len("1,\n"))
    assert read(f"a,b\n1,{cell}\n3,4\n") == [("f:2", row(a="1", b=cell)), ("f:3", row(a="3", b="4"))]


def test_lines_without_an_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROW", 200)
    monkeypatch.setattr(module, "MAX_SKIPPED", 1 << 16)
    with pytest.raises(UserError, match="f: has lines of gigabytes; is it a data file"):
        read("a,b\n1," + "x" * (3 << 16) + "\n")


@pytest.mark.parametrize(
    ("text", "delimiter", "message"),
    [
        ("a,b,a,c,b\n", ",", "f:1: has 2 column names twice ('a', 'b'); allowed: each name once; rename one"),
        (b"caf\xe9,b\n", ",", "f:1: has a header that is not UTF-8; save the file as UTF-8"),
        ('"a" b,c\n', ",", "f:1: has a header that cannot be read"),
        ("a;b\n1;2\n", ",", "f:1: has one column, 'a;b'; allowed: columns divided by ','; it seems to be divided by ';': save it with ','"),
        ("a\tb\n", ",", "save it with ',', or name it .tsv"),
        ("a,b\n", "\t", "it seems to be divided by ',': save it with '\\t'"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_used(text: str | bytes, delimiter: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read(text, delimiter)
    assert message in str(error.value)
