"""JSON of every layout -> rows with their places, and what is said of what cannot be read."""

import io
import json
import re
from typing import Any

import pytest

from constitution.errors import UserError
from generation.data import json_rows as module
from generation.data.json_rows import json_rows
from generation.data.record import BadRow, Record

ONE, TWO = {"a": 1}, {"b": [2, {"c": "é"}]}
LISTS = {
    "a list": '[{"a": 1}, {"b": [2, {"c": "é"}]}]',
    "over lines": '\n [\n{"a": 1}\n,\n{"b": [2, {"c": "é"}]}\n]\n ',
    "no space": '[{"a":1},{"b":[2,{"c":"é"}]}]',
    "objects over lines": '{\n"a": 1\n}\n{\n"b": [2, {"c": "é"}]}',
    "objects on one line": '{\n"a": 1} {"b": [2, {"c": "é"}]}',
    "marked": '\ufeff[{"a": 1}, {"b": [2, {"c": "é"}]}]',
    "a line each": '{"a": 1}\n{"b": [2, {"c": "é"}]}',
    "a line each, marked": '\ufeff{"a": 1}\r\n{"b": [2, {"c": "é"}]}\r\n',
}


def read(text: str | bytes, name: str = "f.json") -> list[Record]:
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return list(json_rows(io.BufferedReader(io.BytesIO(raw)), name))  # type: ignore[type-var]


def bad(text: str | bytes) -> list[tuple[str, str]]:
    """Place and reason of the rows that are none."""
    return [(one.place, one.row.reason) for one in read(text) if isinstance(one.row, BadRow)]


@pytest.mark.parametrize("layout", LISTS)
@pytest.mark.parametrize("piece", [1, 7, 1 << 16], ids=["letters", "sevens", "whole"])
def test_every_layout_gives_the_same_rows(layout: str, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not layout.startswith("a line"):
        monkeypatch.setattr(module, "_PIECE", max(piece, 4))
    assert read(LISTS[layout]) == [Record("f.json:1", ONE), Record("f.json:2", TWO)]


def test_what_is_empty_has_no_rows() -> None:
    assert [read(text) for text in ("", "[]", " [ \n ] ", "\n\n", " \n\t\n")] == [[]] * 5


def test_places_are_lines_of_lines_and_numbers_of_lists() -> None:
    assert [one.place for one in read('\n{"a": 1}\n \n{"a": 2}\n')] == ["f.json:2", "f.json:4"]
    assert [one.place for one in read('[\n\n{"a": 1},\n\n{"a": 2}]')] == ["f.json:1", "f.json:2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": 1} {"a": 2}]', "f.json:1: has '{' where ',' belongs"),
        ('[{"a": 1}, {"a": 2}, ', "f.json:3: is not JSON"),
        ('[{"a": 1}', "f.json:1: has '' where ',' belongs"),
        ('[{"a": 1}, {"a": 2}] {"a": 3}', "f.json:3: something follows the list"),
        ('[{"a": 1}, oh]', "f.json:2: is not JSON (Expecting value"),
        ('{\n"a": 1\n} oh', "f.json:2: is not JSON"),
        ("[" * 100_000, "f.json:1: is nested too deep"),
    ],
)
def test_a_list_that_breaks_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        read(text)


def test_a_comma_too_many_harms_nothing() -> None:
    assert read('[{"a": 1},]') == [Record("f.json:1", ONE)]


def test_other_encodings_are_told_before_anything_is_read() -> None:
    for code in ("utf-16-le", "utf-16-be"):
        with pytest.raises(UserError, match="is UTF-16; allowed: UTF-8; save it as UTF-8"):
            read("\ufeff[]".encode(code))


@pytest.mark.parametrize("layout", ["lines", "list"])
def test_rows_that_are_none_are_told_and_the_rest_is_read(layout: str) -> None:
    values: list[Any] = ['{"z": 0, "a": 1, "a": 2}', "7", '{"x": {"b": 1, "c": 2, "b": 3}}', '{"a": 3}', "null"]
    text = "\n".join(values) if layout == "lines" else f"[{', '.join(values)}]"
    rows = [one.row for one in read(text)]
    reasons = [row.reason if isinstance(row, BadRow) else row for row in rows]
    assert reasons == ["duplicate_key", "bad_row", "duplicate_key", {"a": 3}, "bad_row"]
    assert "has the key 'a' twice" in str(rows[0])
    assert "has the key 'b' twice" in str(rows[2])


def test_a_line_that_breaks_leaves_the_others() -> None:
    assert bad(b'{"a": 1}\n{"a": \xff}\nno\n{"a": 1, "a"\n{"a": 2}\n') == [
        ("f.json:2", "not_utf8"), ("f.json:3", "bad_json"), ("f.json:4", "bad_json"),
    ]  # fmt: skip
    assert bad('{"a": {"b": 1, "b": 2}, \n{"a": 2}') == [("f.json:1", "bad_json")], (
        "a key of a broken line is none of the next"
    )


def test_rows_over_the_limit_are_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROW", 30)
    monkeypatch.setattr(module, "_PIECE", 16)
    fits, large = json.dumps({"a": "x" * 21}), json.dumps({"a": "x" * 22})
    assert (len(fits), len(large)) == (30, 31)
    assert bad(f"[{fits}, {large}, {fits}]") == [("f.json:2", "cell_too_large")]
    assert [one.place for one in read(f"{large}\n{fits}\n")] == ["f.json:1", "f.json:2"]
    assert bad(f"{'y' * 99}\n{fits}") == [("f.json:1", "cell_too_large")]


def test_a_file_without_rows_for_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SKIPPED", 9)
    assert read(" " * 8 + "\n" + '{"a": 1}') == [Record("f.json:2", ONE)]
    with pytest.raises(UserError, match="has lines of gigabytes; allowed: an object a line"):
        read("\n" * 10)


def test_an_item_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_VALUE", 100)
    monkeypatch.setattr(module, "_PIECE", 16)
    taken: list[int] = []

    class File(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            taken.append(super().readinto(buffer))
            return taken[-1]

    with pytest.raises(UserError, match=r"f\.json:1: is not JSON"):
        list(json_rows(io.BufferedReader(File(b'[{"a": "' + b"x" * 100_000), 16), "f.json"))  # type: ignore[type-var]
    assert 0 < sum(taken) < 50_000, "and not read to its end"
