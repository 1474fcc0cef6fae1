"""Principles judged by rule."""

import pytest

from constitution.checks.check import Check
from constitution.errors import UserError
from constitution.records import Function, Message, Prompt, ToolCall
from critics.rules.check import violates

ASKED = Prompt(id="p", messages=(Message(role="user", content="Well?"),))
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
        pytest.param({"json_schema": SCHEMA}, reply('{"x": "1"}'), "does not fit the schema: x: '1' is not of type 'integer'", id="misfit"),
        pytest.param({"json_schema": SCHEMA, "json_schema_of": "arguments"}, reply("", x=1), None, id="arguments"),
        pytest.param({"json_schema": SCHEMA, "json_schema_of": "arguments"}, reply("", y=1), "does not fit the schema: 'x' is a required property", id="arguments-misfit"),
        pytest.param({"json_schema": SCHEMA, "json_schema_of": "arguments"}, reply("no call"), None, id="no-call-keeps-it"),
        pytest.param({"max_characters": 3}, reply("four"), "4 characters, over 3", id="too-long"),
        pytest.param({"max_characters": 4, "min_characters": 4}, reply("four"), None, id="just-so-long"),
        pytest.param({"min_characters": 5}, reply("four"), "4 characters, under 5", id="too-short"),
        pytest.param({"max_sentences": 1}, reply("One. Two!"), "2 sentences, over 1", id="too-many-sentences"),
        pytest.param({"max_sentences": 1}, reply("Dr. Who paid 3.50, e.g. for tea."), None, id="one-sentence"),
        pytest.param({"min_sentences": 2}, reply("One"), "1 sentences, under 2", id="too-few-sentences"),
        pytest.param({"starts_with": "Dear"}, reply("  dear Ann,"), None, id="starts"),
        pytest.param({"starts_with": ["Dear", "Hi"]}, reply("Oh dear"), "does not start with 'Dear' or 'Hi'", id="starts-otherwise"),
        pytest.param({"ends_with": "?"}, reply("Is it?\n"), None, id="ends"),
        pytest.param({"ends_with": "?"}, reply("It is."), "does not end with '?'", id="ends-otherwise"),
        pytest.param({"any_of": ["cat", "dog"]}, reply("A Dogma"), None, id="any-of"),
        pytest.param({"any_of": ["cat", "dog"]}, reply("A cow"), "has none of 'cat' or 'dog'", id="none-of"),
        pytest.param({"language": "en"}, reply("This is surely a sentence that is written in English."), None, id="english"),
        pytest.param({"language": "de"}, reply("This is surely a sentence that is written in English."), "is in 'en', not in 'de'", id="not-german"),
        pytest.param({"language": ["de", "fr"]}, reply("Das ist ein deutscher Satz, und er ist lang genug."), None, id="one-of-two"),
        pytest.param({"language": "de"}, reply("ok"), None, id="too-short-to-tell"),
        pytest.param({"parses": "python"}, reply("So:\n```python\nx = 1\n```"), None, id="python"),
        pytest.param({"parses": "python"}, reply("```py\nx = \n```"), "block 1 is no python (SyntaxError at line 1)", id="no-python"),
        pytest.param({"parses": "json"}, reply('```\n{"a": 1}\n```\n```json\n[1,]\n```'), "block 1 is no json (JSONDecodeError at line 1)", id="no-json-block"),
        pytest.param({"parses": "json"}, reply('```\n{"a": 1}\n```'), None, id="a-block-without-a-name"),
        pytest.param({"parses": "yaml"}, reply("```yaml\na: [1\n```"), "block 1 is no yaml (ParserError at line 2)", id="no-yaml"),
        pytest.param({"parses": "toml"}, reply("~~~toml\na = 1\n~~~"), None, id="toml"),
        pytest.param({"parses": "python"}, reply("No code."), None, id="no-code-keeps-it"),
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
    assert violates(Check.model_validate(check), ASKED, message) == wrong


@pytest.mark.model
def test_a_pattern_that_takes_too_long_is_an_error_not_a_verdict() -> None:
    with pytest.raises(UserError, match=r"takes over 1 s on 5,001 characters; simplify it"):
        violates(Check(must_match=r"(a|a)*(a|a)*(a|aa)+$"), ASKED, reply("a" * 5000 + "!"))


@pytest.mark.parametrize("code", ["-" * 40_000 + "1", "(" * 5_000, "x = " + "1 + " * 10_000 + "1", "\0"])
def test_code_that_is_too_deep_is_no_crash(code: str) -> None:
    wrong = violates(Check(parses="python"), ASKED, reply(f"```python\n{code}\n```"))
    assert wrong is None or wrong.startswith("block 1 is no python (")
