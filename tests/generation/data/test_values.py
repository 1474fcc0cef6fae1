"""What may stand in a record: texts that files can hold, names given once, and other columns as JSON."""

import json
from collections import Counter
from datetime import date
from typing import Any

import pytest

from generation.data.message import Told
from generation.data.record import MAX_CELL, BadRow
from generation.data.values import MAX_METADATA, Names, check_text, clean, jsonable, metadata, unfolded


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "a"), ("a\0b", "a�b"), ("\ud800", "?"), (1, 1), (True, True), (None, None), (0.5, 0.5), (float("nan"), None),
        (float("inf"), "inf"), (float("-inf"), "-inf"), (b"abc", "3 bytes"), (bytes(1234), "1,234 bytes"),
        (date(2024, 2, 1), "2024-02-01"), ((1, (2, float("nan"))), [1, [2, None]]), ({1: {"a\0": "\0"}}, {"1": {"a�": "�"}}),
    ],
)  # fmt: skip
def test_a_value_in_jsons_own_types(value: object, expected: object) -> None:
    found = jsonable(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("text", ["plain", "ünïcödé 😀", "\n\t"])
def test_what_files_hold_is_left_as_it_is(text: str) -> None:
    assert clean(text) is text or clean(text) == text


@pytest.mark.parametrize(
    ("row", "whole"),
    [
        pytest.param({"metadata": '{"a": 1}', "b": 2}, {"a": 1, "b": 2}, id="as-a-run-has-it"),
        pytest.param({"metadata": {"a": 1}}, {"a": 1}, id="an-object"),
        pytest.param({"metadata": '{"a": 1, "b": 1}', "b": 2}, {"a": 1, "b": 2}, id="a-column-beside-it"),
        pytest.param({"metadata": "notes of mine"}, {"metadata": "notes of mine"}, id="a-text"),
        pytest.param({"metadata": "[1]"}, {"metadata": "[1]"}, id="a-list"),
        pytest.param({"metadata": "[" * 100_000}, {"metadata": "[" * 100_000}, id="too-deep"),
        pytest.param({"metadata": None, "a": 1}, {"metadata": None, "a": 1}, id="none"),
    ],
)
def test_a_column_of_metadata_holds_columns(row: dict[str, Any], whole: dict[str, Any]) -> None:
    assert unfolded(row) == whole


def test_metadata_is_json_without_nulls() -> None:
    told: Told = Counter()
    assert metadata({"a": 1, "b": None, "c": "ü"}, told) == '{"a": 1, "c": "ü"}'
    assert metadata({"b": None}, told) == metadata({}, told) == ""
    assert told == {}


def test_the_largest_columns_are_left_out_of_metadata_and_told() -> None:
    told: Told = Counter()
    room = MAX_METADATA - len(json.dumps({"a": "", "b": 1}))
    assert "a" in json.loads(metadata({"a": "x" * room, "b": 1}, told))
    assert told == {}
    assert metadata({"a": "x" * (room + 1), "b": 1}, told) == '{"b": 1}'
    assert metadata({"a": "x" * MAX_METADATA}, told) == ""
    assert told == {"column a is too large to be kept as metadata": 2}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param("a\0", "nul_byte", id="nul"),
        pytest.param({"a\0": "x"}, "nul_byte", id="nul-in-a-key"),
        pytest.param([["a"], ("\0",)], "nul_byte", id="nul-inside"),
        pytest.param("\ud800", "lone_surrogate", id="surrogate"),
        pytest.param("caf\udce9", "not_utf8", id="a-byte-of-latin-1"),
        pytest.param("\udc80", "not_utf8", id="first-byte"),
        pytest.param("\udcff", "not_utf8", id="last-byte"),
        pytest.param("\udc7f", "lone_surrogate", id="no-byte"),
        pytest.param("x" * (MAX_CELL + 1), "cell_too_large", id="large"),
        pytest.param(["x" * MAX_CELL, "x"], "cell_too_large", id="large-together"),
        pytest.param({"kk": "x" * (MAX_CELL - 6)}, "cell_too_large", id="keys-count"),
    ],
)
def test_text_that_nothing_can_hold_is_refused(value: object, reason: str) -> None:
    with pytest.raises(BadRow) as error:
        check_text({"field": value})
    assert error.value.reason == reason


def test_text_of_the_largest_size_is_taken() -> None:
    check_text({"field": "x" * (MAX_CELL - len("field"))})
    check_text({"field": [None, 1, "é", {"a": ("b",)}]})


def test_names_are_made_unique() -> None:
    names = Names()
    assert [names.unique(name) for name in ("a", "b", "a", "a", "a-2", "a-2", "b")] == [
        "a", "b", "a-2", "a-3", "a-2-2", "a-2-3", "b-2",
    ]  # fmt: skip
    names.close()
