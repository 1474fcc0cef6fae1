"""Messages as makers of data write them."""

import json
from collections import Counter
from typing import Any

import pytest

from constitution.records import Message
from generation.data.message import MAX_DEPTH, Told, finite, message
from generation.data.record import BadRow


def read(value: object) -> tuple[Message, Told]:
    told: Told = Counter()
    return message(value, told), told


@pytest.mark.parametrize(
    ("value", "role", "content"),
    [
        ({"role": "user", "content": "Hi"}, "user", "Hi"),
        ({"role": " Human ", "content": "Hi"}, "user", "Hi"),
        ({"from": "gpt", "value": "Hi"}, "assistant", "Hi"),
        ({"role": "developer", "content": "Hi"}, "system", "Hi"),
        ({"role": "assistant", "content": None}, "assistant", ""),
        ({"role": "user", "content": ["a", {"type": "text", "text": "b"}, {"text": "c"}]}, "user", "a\nb\nc"),
        ({"role": "user", "content": {"type": "input_text", "text": "a"}}, "user", "a"),
        ({"role": "tool", "content": {"celsius": 3, "ü": None}}, "tool", '{"celsius": 3, "ü": null}'),
        ({"role": "user", "content": "Hi", "images": None, "audio": []}, "user", "Hi"),
        (Message(role="user", content="Hi"), "user", "Hi"),
    ],
)
def test_a_messages_role_and_text(value: object, role: str, content: str) -> None:
    found, _ = read(value)
    assert (found.role, found.content, found.tool_calls) == (role, content, ())


@pytest.mark.parametrize(
    ("value", "reason", "got"),
    [
        ("Hi", "bad_row", "got 'Hi'"),
        ({"content": "Hi"}, "wrong_roles", "is missing"),
        ({"role": "usr", "content": "Hi"}, "wrong_roles", "got 'usr' (did you mean user?)"),
        ({"role": 3, "content": "Hi"}, "wrong_roles", "got 3"),
        ({"role": "user", "content": 3}, "bad_row", "got 3"),
        ({"role": "user", "content": {"celsius": 3}}, "bad_row", "got {'celsius': 3}"),
        ({"role": "user", "content": [3]}, "bad_row", "got the part 3"),
        ({"role": "user", "content": [{"type": "text"}]}, "bad_row", "got the part {'type': 'text'}"),
        ({"role": "user", "content": [{"type": "image"}]}, "not_text", "has a part of type 'image'"),
        ({"role": "user", "content": "Hi", "images": ["x"]}, "not_text", "has images"),
        ({"role": "assistant", "tool_calls": 3}, "malformed_tool_call", "got 3"),
        ({"role": "assistant", "tool_calls": [3]}, "malformed_tool_call", "got 3"),
        ({"role": "assistant", "tool_calls": "{"}, "malformed_tool_call", "got '{'"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{"}]}, "malformed_tool_call", "arguments are not JSON ('{')"),
        ({"role": "assistant", "tool_calls": [{"arguments": {}}]}, "malformed_tool_call", "is missing"),
        ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": float("nan")}}]}, "not_finite", "holds nan"),
    ],
)  # fmt: skip
def test_what_is_no_message(value: object, reason: str, got: str) -> None:
    with pytest.raises(BadRow) as error:
        read(value)
    assert error.value.reason == reason
    assert got in error.value.at("f").got


CALL = {"function": {"name": "f", "arguments": {"x": 1}}}


@pytest.mark.parametrize(
    "given",
    [
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": CALL},
        {"role": "assistant", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "tool_calls": [{"name": "f", "arguments": '{"x": 1}'}]},
        {"role": "assistant", "tool_calls": [{"name": "f", "parameters": {"x": 1}}]},
        {"role": "assistant", "function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"from": "tool_call", "value": {"name": "f", "arguments": {"x": 1}}},
    ],
)
def test_a_call_of_a_tool_however_it_is_written(given: dict[str, Any]) -> None:
    found, told = read(given)
    assert (found.role, found.content) == ("assistant", "")
    (call,) = found.tool_calls
    assert (call.function.name, call.function.arguments) == ("f", {"x": 1})
    assert told == {}


def test_a_call_keeps_its_id() -> None:
    found, _ = read({"role": "assistant", "content": "Well.", "tool_calls": [{**CALL, "id": "c1", "index": 0}]})
    assert (found.content, found.tool_calls[0].id) == ("Well.", "c1")


@pytest.mark.parametrize("arguments", ["", " ", None, {}])
def test_a_call_without_arguments(arguments: object) -> None:
    found, _ = read({"role": "assistant", "tool_calls": [{"name": "f", "arguments": arguments}]})
    assert found.tool_calls[0].function.arguments == {}


def test_a_tools_answer_keeps_what_it_answers() -> None:
    found, told = read({"role": "tool", "content": "3", "tool_call_id": "c1", "name": "f", "weight": 0})
    assert (found.tool_call_id, found.name) == ("c1", "f")
    assert told == {"key 'weight' of messages": 1}


def test_what_json_holds() -> None:
    assert finite({1: (1, [None, "a", True, 0.5])}, "k") == {"1": [1, [None, "a", True, 0.5]]}
    with pytest.raises(BadRow, match="not_finite"):
        finite([float("inf")], "k")
    with pytest.raises(BadRow, match="what JSON has"):
        finite(b"x", "k")


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth > 1 else []


def test_depth_has_an_end() -> None:
    assert finite(nested(MAX_DEPTH + 1), "k") == nested(MAX_DEPTH + 1)
    with pytest.raises(BadRow, match="is nested more than 64 deep"):
        finite(nested(MAX_DEPTH + 2), "k")
