"""Tool calls against the called tools' own schemas: calls of our own writing with their verdicts, and hostile schemas."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constitution.checks.check import Check
from constitution.records import Message, Prompt
from critics.rules.check import violates
from critics.rules.schemas import MAX_DEPTH, misfit
from critics.rules.tool_calls import invalid_call

DATA = Path(__file__).parent / "data"
TOOLS: dict[str, Any] = json.loads((DATA / "tools.json").read_text(encoding="utf-8"))
CASES = [json.loads(line) for line in (DATA / "calls.jsonl").read_text(encoding="utf-8").splitlines()]


def asked(*tools: dict[str, Any]) -> Prompt:
    return Prompt(id="p", messages=(Message(role="user", content="Do it."),), tools=tools)


def calling(*calls: dict[str, Any]) -> Message:
    return Message.model_validate({"role": "assistant", "tool_calls": [{"function": call} for call in calls]})


ADD = asked(TOOLS["add"])
GOOD, BAD, NO_CALL = (
    calling({"name": "add", "arguments": {"a": 1, "b": 2}}),
    calling({"name": "add", "arguments": {}}),
    calling(),
)


def test_every_call_of_our_own_writing_has_its_verdict() -> None:
    wrong = [
        case
        for case in CASES
        if (invalid_call(asked(*(TOOLS[name] for name in case["offered"])), calling(*case["calls"])) is None)
        != case["valid"]
    ]
    assert wrong == []
    assert len(CASES) >= 200
    assert 0.3 < sum(case["valid"] for case in CASES) / len(CASES) < 0.7


@pytest.mark.parametrize(
    ("rule", "prompt", "message", "reason"),
    [
        ("valid", ADD, GOOD, None),
        ("valid", ADD, NO_CALL, None),
        ("valid", ADD, BAD, "arguments of 'add': 'a' is a required property"),
        ("valid", ADD, calling({"name": "sub", "arguments": {}}), "calls 'sub', which is not offered (offered: add)"),
        ("valid", asked(), GOOD, None),
        ("required", ADD, GOOD, None),
        ("required", ADD, NO_CALL, "calls no tool"),
        ("required", ADD, BAD, "arguments of 'add': 'a' is a required property"),
        ("required", asked(), NO_CALL, None),
        ("forbidden", ADD, NO_CALL, None),
        ("forbidden", ADD, GOOD, "calls 'add'"),
        ("forbidden", asked(), GOOD, "calls 'add'"),
    ],
)
def test_the_rule(rule: str, prompt: Prompt, message: Message, reason: str | None) -> None:
    assert violates(Check.model_validate({"tool_calls": rule}), prompt, message) == reason


DOUBLING = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(40)} | {"a40": {"type": "integer"}}
NESTED: dict[str, Any] = {}
for _ in range(MAX_DEPTH):
    NESTED = {"not": NESTED}
HOSTILE: dict[str, tuple[object, object, str]] = {
    "a reference to the network": ({"$ref": "http://127.0.0.1:9/x.json"}, 1, "the schema cannot be applied"),
    "a reference to a file": ({"$ref": "file:///etc/passwd"}, 1, "the schema cannot be applied"),
    "a reference to nowhere": ({"$ref": "#/nope"}, 1, "the schema cannot be applied"),
    "a draft nobody knows, elsewhere": ({"$schema": "http://127.0.0.1:9/x", "type": "string"}, 1, "1 is not of type"),
    "a reference to itself": ({"$ref": "#"}, 1, "the schema refers to itself without end"),
    "references that double": ({"$ref": "#/$defs/a0", "$defs": DOUBLING}, 1, "the schema takes more than 20,000 steps"),
    "a slow pattern": ({"pattern": "^(a|a)*(a|a)*$"}, "a" * 200 + "!", "the schema has a pattern that takes more than"),
    "a slow name": ({"patternProperties": {"^(a|a)*(a|a)*$": {}}}, {"a" * 200 + "!": 1}, "the schema has a pattern that takes"),
    "a pattern that is none": ({"pattern": "(["}, "a", "the schema has a pattern that is none"),
    "a type that is none": ({"type": 12}, 1, "the schema is none"),
    "a number": (3, 1, "the schema is neither an object nor true or false"),
    "a deep schema": (NESTED, 1, f"the schema has more than {MAX_DEPTH} levels"),
    "a long schema": ({"description": "x" * 100_001}, 1, "the schema is longer than"),
    "a long value": ({}, "x" * 100_001, "the value is longer than"),
    "many members": ({"items": {"enum": [*range(15_000)]}}, [*range(15_000)], "the schema takes more than"),
    "a huge number": ({"maximum": 1}, 10**4000, "1000"),
    "more digits than Python prints": ({"maximum": 1}, 10**5000, "the value is no JSON"),
    "members beside references": ({"$ref": "#/$defs/a", "$defs": {"a": {}}, "unevaluatedProperties": False}, {}, "the schema has un"),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_schema_is_a_reason_and_no_crash(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    schema, value, reason = HOSTILE[name]
    assert (misfit(schema, value) or "").startswith(reason)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"multipleOf": 0.01}, 1e308),
        ({"uniqueItems": True}, [{"a": i} for i in range(5_000)]),
        ({"uniqueItems": True}, [1, True]),
        ({"minLength": 0}, "x" * 90_000),
    ],
)
def test_what_fits_fits(schema: object, value: object) -> None:
    assert misfit(schema, value) is None


def test_a_number_is_the_same_however_it_is_written() -> None:
    assert misfit({"uniqueItems": True}, [1, 1.0]) == "has items that are the same"


SCHEMAS = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "enum",
                    "$ref",
                    "anyOf",
                    "not",
                    "required",
                    "pattern",
                    "format",
                    "a",
                    "if",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(SCHEMAS, SCHEMAS)
def test_no_schema_and_no_value_raises(schema: object, value: object) -> None:
    assert misfit(schema, value) is None or misfit(schema, value)
