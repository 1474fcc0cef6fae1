"""Values of a row's fields: conversations, responses, pairs, tools and tags in all their forms."""

import json
from collections import Counter
from typing import Any

import pytest

from constitution.records import Message
from generation.data.conversation import (
    check_roles,
    conversation,
    folded,
    listed,
    name,
    pair,
    reply,
    spoken,
    tags,
    tools,
    unpadded,
)
from generation.data.record import BadRow

USER = {"role": "user", "content": "Hi"}
BOT = {"role": "assistant", "content": "Ho"}


def said(*texts: str, first: str = "user") -> tuple[Message, ...]:
    """Messages of user and assistant in turn."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return tuple(Message(role=roles[i % 2], content=text) for i, text in enumerate(texts))  # type: ignore[arg-type]


def words(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in messages]


def reason(found: object) -> str:
    assert isinstance(found, BadRow)
    return found.reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Hi", [("user", "Hi")]),
        (USER, [("user", "Hi")]),
        ([USER, BOT], [("user", "Hi"), ("assistant", "Ho")]),
        (json.dumps([USER, BOT]), [("user", "Hi"), ("assistant", "Ho")]),
        ({"role": ["user", "assistant"], "content": ["Hi", "Ho"]}, [("user", "Hi"), ("assistant", "Ho")]),
        ({"from": ["human"], "value": ["Hi"]}, [("user", "Hi")]),
        ([], []),
    ],
)
def test_a_conversation(value: object, expected: list[tuple[str, str]]) -> None:
    assert words(conversation("prompt", value, Counter())) == expected


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (3, "prompt"),
        ([USER, {"role": "pilot", "content": ""}], "prompt.1.role"),
        ([3], "prompt.0"),
        ({"role": ["user"], "content": ["a", "b"]}, "prompt.0.role"),
    ],
)
def test_where_a_conversation_is_wrong_is_told(value: object, key: str) -> None:
    with pytest.raises(BadRow) as error:
        conversation("prompt", value, Counter())
    assert error.value.at("f").key == key


def test_a_string_may_have_to_hold_messages() -> None:
    assert words(conversation("messages", "[]", Counter(), structured=True)) == []
    assert words(conversation("messages", "[]", Counter())) == [("user", "[]")]
    with pytest.raises(BadRow) as error:
        conversation("messages", "Hi", Counter(), structured=True)
    assert error.value.at("f").key == "messages"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ho", [("assistant", "Ho")]),
        ({"text": "Ho", "score": 1}, [("assistant", "Ho")]),
        ({"content": "Ho"}, [("assistant", "Ho")]),
        ({"output": "Ho"}, [("assistant", "Ho")]),
        (BOT, [("assistant", "Ho")]),
        ([USER, BOT], [("user", "Hi"), ("assistant", "Ho")]),
        (json.dumps([USER, BOT]), [("user", "Hi"), ("assistant", "Ho")]),
    ],
)
def test_a_response(value: object, expected: list[tuple[str, str]]) -> None:
    assert words(spoken("chosen", value, Counter())) == expected


@pytest.mark.parametrize("value", [None, 3, {"text": "a", "response": "b"}, {"score": 1}])
def test_what_is_no_response(value: object) -> None:
    with pytest.raises(BadRow) as error:
        spoken("chosen", value, Counter())
    assert error.value.at("f").key.startswith("chosen")


def both(given: tuple[Message, ...] | None, chosen: object, rejected: object, **more: bool) -> list[str]:
    """What comes before, then the two responses, or why they are none."""
    found = pair(given, chosen, rejected, Counter(), **more)
    sides = [reply if isinstance(reply, BadRow) else reply.content for reply in (found.chosen, found.rejected)]
    return [m.content for m in found.before] + [one if isinstance(one, str) else one.reason for one in sides]


def test_a_pair_is_two_responses_to_one_conversation() -> None:
    whole = [USER, BOT]
    other = [USER, {"role": "assistant", "content": "No"}]
    assert both(said("Hi"), "Ho", "No") == ["Hi", "Ho", "No"]
    assert both(None, whole, other) == ["Hi", "Ho", "No"]
    assert both(said("Hi"), whole, other) == ["Hi", "Ho", "No"]
    assert both(None, whole, "No") == ["Hi", "Ho", "No"]
    assert both(None, "Ho", other) == ["Hi", "Ho", "No"]
    longer = [USER, BOT, USER, BOT]
    assert both(said("Hi", "Ho", "Hi"), longer, "No") == ["Hi", "Ho", "Hi", "Ho", "No"]


def test_a_prompt_of_one_text_may_stand_anywhere_in_the_conversation() -> None:
    first = [{"role": "user", "content": " Hi "}, BOT, {"role": "user", "content": "Why?"}, BOT]
    assert both(said("Hi"), first, "No") == [" Hi ", "Ho", "Why?", "Ho", "No"]
    assert both(said("Why?"), first, "No") == [" Hi ", "Ho", "Why?", "Ho", "No"]
    assert both(said("Else?"), first, "No") == ["Else?", "bad_response", "No"]


def test_one_response_may_be_none() -> None:
    assert both(said("Hi"), None, "No") == ["Hi", "bad_response", "No"]
    assert both(said("Hi"), " ", "No") == ["Hi", "bad_response", "No"]
    assert both(said("Hi"), " ", "No", empty=True) == ["Hi", " ", "No"]
    assert both(said("Hi"), [USER], [USER]) == ["Hi", "bad_response", "bad_response"]


def test_what_is_no_pair() -> None:
    with pytest.raises(BadRow, match="answer different conversations"):
        both(None, [USER, BOT], [{"role": "user", "content": "He"}, BOT])
    with pytest.raises(BadRow, match="has no prompt"):
        both(None, "Ho", "No")


def test_a_reply_follows_what_came_before() -> None:
    before = said("a", "b", "c")
    assert reply("chosen", (*said("c"), *said("d", first="assistant")), before) == said("d", first="assistant")[0]
    assert reply("chosen", (*said("b", "c", first="assistant"), *said("d", first="assistant")), before)
    assert reason(reply("chosen", (*said("a", "b"), *said("d", first="assistant")), before)) == "bad_response"
    assert reason(reply("chosen", (), before)) == "bad_response"
    assert reason(reply("chosen", BadRow("not_text", "x"), before)) == "bad_response"


def test_two_responses_that_differ_in_white_space_are_the_same() -> None:
    call = {"function": {"name": "f", "arguments": {}}}
    texts = ["a b", " a\n\tb ", "ab"]
    assert [folded(Message(role="assistant", content=text)) for text in texts] == ["assistant\0a b"] * 2 + [
        "assistant\0ab"
    ]
    called = Message.model_validate({"role": "assistant", "content": "a b", "tool_calls": [call]})
    assert folded(called).startswith("assistant\0a b\0{")


def roles(*names: str) -> tuple[Message, ...]:
    """Messages of these roles; `call` is the assistant's with a call of a tool."""
    call = ({"function": {"name": "f", "arguments": {}}},)
    made: list[dict[str, Any]] = [
        {"role": "assistant", "content": "", "tool_calls": call} if one == "call" else {"role": one, "content": one}
        for one in names
    ]
    return tuple(Message.model_validate(each) for each in made)


@pytest.mark.parametrize(
    "names",
    [
        ("user",),
        ("system", "user"),
        ("user", "assistant", "user"),
        ("user", "call", "tool"),
        ("user", "call", "tool", "tool"),
    ],
)
def test_a_response_can_follow(names: tuple[str, ...]) -> None:
    check_roles(roles(*names))


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ((), "empty_prompt"),
        (roles("system"), "empty_prompt"),
        (said(" "), "empty_prompt"),
        (roles("user", "assistant"), "wrong_roles"),
        (roles("user", "system"), "wrong_roles"),
        (roles("user", "system", "user"), "wrong_roles"),
        (roles("user", "tool"), "wrong_roles"),
        (roles("user", "call", "user", "tool"), "wrong_roles"),
        (roles("user", "assistant", "tool"), "wrong_roles"),
    ],
)
def test_no_response_can_follow(messages: tuple[Message, ...], expected: str) -> None:
    with pytest.raises(BadRow) as error:
        check_roles(messages)
    assert error.value.reason == expected


@pytest.mark.parametrize("value", [[1, "a"], (1, "a"), '[1, "a"]', "(1, 'a')"])
def test_a_list(value: object) -> None:
    assert listed("responses", value) == [1, "a"]


@pytest.mark.parametrize("value", ["a", 3, {"a": 1}, '{"a": 1}', "[1"])
def test_what_is_no_list(value: object) -> None:
    with pytest.raises(BadRow) as error:
        listed("responses", value)
    assert error.value.at("f").key == "responses"


@pytest.mark.parametrize("value", [None, "", [], {}])
def test_no_tools(value: object) -> None:
    assert tools(value) == ()


@pytest.mark.parametrize(
    "value", [{"name": "f"}, [{"name": "f"}], '[{"name": "f"}]', ['{"name": "f"}'], '{"name": "f"}']
)
def test_tools(value: object) -> None:
    assert tools(value) == ({"name": "f"},)


@pytest.mark.parametrize("value", [3, "f", [3], [["f"]], "[1]"])
def test_what_describes_no_tool(value: object) -> None:
    with pytest.raises(BadRow) as error:
        tools(value)
    assert error.value.at("f").key == "tools"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("a b", ("a", "b")),
        ("a b, c,,", ("a b", "c")),
        ("a;b c", ("a", "b c")),
        (["a", " a ", "b", ""], ("a", "b")),
        ('["a", 2]', ("a", "2")),
        ([2.0, 2.5], ("2", "2.5")),
        (3.0, ("3",)),
    ],
)
def test_tags(value: object, expected: tuple[str, ...]) -> None:
    assert tags(value) == expected


@pytest.mark.parametrize("value", [True, {"a": 1}, [["a"]], [None]])
def test_what_is_no_tag(value: object) -> None:
    with pytest.raises(BadRow):
        tags(value)


def test_names() -> None:
    assert [name(value) for value in (1.0, 1.5, 1, "1.0", True)] == ["1", "1.5", "1", "1.0", "True"]


def test_nulls_of_a_table_are_no_keys() -> None:
    value = {"a": None, "b": [{"c": None, "d": 0}], "e": (None,)}
    assert unpadded(value) == {"b": [{"d": 0}], "e": [None]}
