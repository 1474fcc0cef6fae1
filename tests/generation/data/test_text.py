"""Texts that hold conversations, and those that only look like one."""

from typing import Any

import pytest

from generation.data.record import BadRow
from generation.data.text import parsed, turns_in

HI = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1, 2]", [1, 2]),
        ("{'a': None}", {"a": None}),
        ("(1, 2)", [1, 2]),
        ('"[1]"', [1]),
        ("'[1]'", [1]),
        ('"\\"{}\\""', '"{}"'),
        ("'a'", "a"),
        (" ['a',\n 'b'] ", ["a", "b"]),
    ],
)
def test_what_a_text_holds(text: str, expected: object) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("['a' 'b']", "is a list without commas"),
        ("['a'\n 'b']", "is a list without commas"),
        ("[a]", "is a text that cannot be parsed"),
        ("[1", "is a text that cannot be parsed"),
        ("[" * 100_000, "is a text that cannot be parsed"),
        ("", "is a text that cannot be parsed"),
    ],
)
def test_what_no_text_holds(text: str, message: str) -> None:
    with pytest.raises(BadRow) as error:
        parsed(text)
    assert error.value.reason == "bad_conversation"
    assert error.value.at("f").got.startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"role": "user", "content": "Hi"}]', [HI]),
        ("  [{'role': 'user', 'content': 'Hi'}]", [HI]),
        ('{"from": "human", "value": "Hi"}', {"from": "human", "value": "Hi"}),
        ('"[{\\"role\\": \\"user\\", \\"content\\": \\"Hi\\"}]"', [HI]),
        ('[{"role": "ASSISTANT", "tool_calls": []}]', [{"role": "ASSISTANT", "tool_calls": []}]),
        ("\n\nHuman: Hi\n\nAssistant: Ho", [HI, {"role": "assistant", "content": "Ho"}]),
        ("Human: Hi\n\nAssistant:", [HI]),
        ("\n\nHuman:Hi\n\nAssistant: \n\n", [HI]),
        ("\n\nHuman: Hi", [HI]),
        ("Human: Hi\n\nAssistant: a\n\nHuman: b", [HI, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]),
    ],
)  # fmt: skip
def test_a_conversation_in_a_text(text: str, expected: Any) -> None:
    assert turns_in(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Hi",
        "[1, 2, 3]",
        "[]",
        "{not json",
        '{"role": "pilot", "content": "Hi"}',
        '{"role": "user"}',
        '{"content": "Hi"}',
        '[["role", "user"]]',
        '{"role": 1, "content": "Hi"}',
        "Human: Hi",
        "The Human: is spoken of.\n\nAssistant: no",
        "[{'role': 'pilot', 'content': ",
        "[" + " " * 400 + "{'role': 'user', 'content': ",
    ],
)
def test_a_text_and_no_more(text: str) -> None:
    assert turns_in(text) is None


@pytest.mark.parametrize("text", ["[{'role': 'user', 'content': ", '[{\\"role\\": \\"user\\", x', "{'from': 'GPT' x"])
def test_a_broken_conversation_is_no_text(text: str) -> None:
    with pytest.raises(BadRow):
        turns_in(text)
