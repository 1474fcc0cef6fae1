"""Principles judged by rule."""

import pytest

from constitution.errors import UserError
from constitution.principles import Check
from constitution.records import Function, Message, ToolCall
from critics.text.rules import violates

SCHEMA = {"type": "object", "required": ["x"], "properties": {"x": {"type": "integer"}}}


def reply(text: str, **arguments: object) -> Message:
    calls = (ToolCall(function=Function(name="f", arguments=arguments)),) if arguments else ()  # type: ignore[arg-type]
    return Message(role="assistant", content=text, tool_calls=calls)


@pytest.mark.parametrize(
    ("check", "message", "wrong"),
    [
        pytest.param({"max_words": 3}, reply("one two three"), None, id="at-most"),
        pytest.param({"max_words": 3}, reply("one two three four"), "4 words, over 3", id="too-many"),
        pytest.param({"min_words": 2}, reply("one"), "1 words, under 2", id="too-few"),
        pytest.param({"must_match": r"(?i)\bahoy\b"}, reply("Say Ahoy!"), None, id="matches"),
        pytest.param({"must_match": "^b"}, reply("a\nb"), None, id="lines"),
        pytest.param({"must_match": "x"}, reply("y"), "does not match 'x'", id="matches-not"),
        pytest.param({"must_not_match": "x"}, reply("x"), "matches 'x'", id="forbidden"),
        pytest.param({"json_schema": SCHEMA}, reply('{"x": 1}'), None, id="json"),
        pytest.param({"json_schema": SCHEMA}, reply('```json\n{"x": 1}\n```'), None, id="json-in-a-fence"),
        pytest.param({"json_schema": SCHEMA}, reply("x is 1"), "is not JSON", id="no-json"),
        pytest.param({"json_schema": SCHEMA}, reply('{"x": "1"}'), "does not fit the schema: '1' is not of type 'integer'", id="misfit"),
        pytest.param({"json_schema": SCHEMA, "json_schema_of": "arguments"}, reply("", x=1), None, id="arguments"),
        pytest.param({"json_schema": SCHEMA, "json_schema_of": "arguments"}, reply("", y=1), "does not fit the schema: 'x' is a required property", id="arguments-misfit"),
        pytest.param({"json_schema": SCHEMA, "json_schema_of": "arguments"}, reply("no call"), None, id="no-call-keeps-it"),
        pytest.param({"max_repetition": 0.5}, reply("a b c a b c"), None, id="some-repetition"),  # 4 grams, 3 different: 0.25
        pytest.param({"max_repetition": 0.2}, reply("a b c a b c"), "repetition 0.25, over 0.2", id="much-repetition"),
        pytest.param({"refusal": "required"}, reply("I can't help with that."), None, id="refusal"),
        pytest.param({"refusal": "required"}, reply("Sure: first, ..."), "is no refusal", id="no-refusal"),
        pytest.param({"refusal": "forbidden"}, reply("I'm sorry, but I cannot do that."), "is a refusal", id="unwanted-refusal"),
        pytest.param({"refusal": "allowed"}, reply("I can't help with that."), None, id="allowed"),
        pytest.param({"max_words": 9, "must_match": "x"}, reply("y"), "does not match 'x'", id="all-parts-hold"),
    ],
)  # fmt: skip
def test_a_rule_says_what_breaks_it(check: dict[str, object], message: Message, wrong: str | None) -> None:
    assert violates(Check.model_validate(check), message) == wrong


def test_a_pattern_that_takes_too_long_is_an_error_not_a_verdict() -> None:
    with pytest.raises(UserError, match=r"takes over 1 s on 5,001 characters; simplify it"):
        violates(Check(must_match=r"(a|a)*(a|a)*(a|aa)+$"), reply("a" * 5000 + "!"))
