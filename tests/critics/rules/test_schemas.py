"""Values against schemas: the verdict of the `jsonschema` library, formats beside it, and limits on both."""

from typing import Any

import jsonschema
import pytest

from critics.rules import schemas
from critics.rules.schemas import MAX_CHARACTERS, MAX_DEPTH, misfit

VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, -3, 2.5, 10, 10**20, 0.3, "", "a", "ab", "abc", "1", [], [1], [1, 1], [1, 1.0], [1, True], [True, 1],
    [{"a": 1}, {"a": 1.0}], [{"a": 1}, {"a": True}], [[0], [False]], ["a", 1, None], {}, {"a": 1}, {"a": "x", "b": 2}, {"ab": 1, "c": 2},
    {"a": {"a": 1}}, {"a": [1, 2]},
]  # fmt: skip
SCHEMAS: list[Any] = [
    True, False, {}, {"type": "integer"}, {"type": "number"}, {"type": "string"}, {"type": ["boolean", "null"]}, {"type": "array"},
    {"type": "object"}, {"enum": [1, "a", None]}, {"const": True}, {"const": 1}, {"multipleOf": 2}, {"multipleOf": 0.5}, {"minimum": 1},
    {"exclusiveMinimum": 1}, {"maximum": 1}, {"exclusiveMaximum": 1}, {"minLength": 1}, {"maxLength": 1}, {"pattern": "b"},
    {"pattern": "^ab?$"}, {"minItems": 1}, {"maxItems": 1}, {"uniqueItems": True}, {"uniqueItems": False}, {"items": {"type": "integer"}},
    {"prefixItems": [{"type": "string"}], "items": False}, {"contains": {"const": 1}}, {"contains": {"const": 1}, "maxContains": 1},
    {"required": ["a"]}, {"minProperties": 1}, {"maxProperties": 1}, {"properties": {"a": {"type": "integer"}}},
    {"properties": {"a": True}, "additionalProperties": False}, {"additionalProperties": {"type": "integer"}},
    {"patternProperties": {"b": {"type": "string"}}}, {"patternProperties": {"^a": True}, "additionalProperties": False},
    {"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": {"const": 2}}, {"propertyNames": {"maxLength": 1}},
    {"dependentRequired": {"a": ["b"]}}, {"not": {"type": "string"}}, {"anyOf": [{"type": "string"}, {"minimum": 2}]},
    {"oneOf": [{"type": "integer"}, {"minimum": 1}]}, {"allOf": [{"minimum": 1}, {"maximum": 2.5}]},
    {"if": {"type": "integer"}, "then": {"minimum": 1}, "else": {"type": "string"}}, {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array"}}},
    {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "integer"}], "additionalItems": False},
]  # fmt: skip


def test_verdicts_are_those_of_the_library() -> None:
    for schema in SCHEMAS:
        kind: Any = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        for value in VALUES:
            assert (misfit(schema, value) is None) == kind(schema).is_valid(value), (schema, value)


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("date", ["2024-02-29"], ["2023-02-29", "20240229", "2024-2-9", "today"]),
        ("date-time", ["2024-02-29T10:00:00Z", "2024-02-29t10:00:00+01:00"], ["2024-02-29T10:00:00", "2024-02-29 10:00:00Z", "10:00"]),
        ("time", ["10:00:00Z", "23:59:59"], ["10:00", "24:00:00", "noon"]),
        ("email", ["a@b", f"{'a' * 64}@b"], ["a", "@b", "a@", f"{'a' * 65}@b", "a b@c"]),
        ("uri", ["https://a.b/c", "mailto:a"], ["a.b", "//a", "1a:b", "a: b"]),
        ("ipv4", ["127.0.0.1"], ["127.0.0", "256.0.0.1"]),
        ("ipv6", ["::1"], ["127.0.0.1", ":::"]),
        ("uuid", ["12345678-1234-5678-1234-567812345678"], ["1234"]),
        ("color", ["anything: what nobody knows is not held to"], []),
    ],
)  # fmt: skip
def test_formats_are_held_to(name: str, right: list[str], wrong: list[str]) -> None:
    for text in right:
        assert misfit({"format": name}, text) is None, text
    for text in wrong:
        assert misfit({"format": name}, text), text
    assert misfit({"format": name}, 1) is None


def test_a_limit_holds_for_what_is_beyond_it_alone() -> None:
    text = "x" * (MAX_CHARACTERS - 2)
    assert misfit({}, text) is None
    assert misfit({}, text + "x") == f"the value is longer than {MAX_CHARACTERS:,} characters"
    deep: Any = 1
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]
    assert misfit({}, deep) is None
    assert misfit({}, [deep]) == f"the value has more than {MAX_DEPTH} levels"
    assert misfit({"const": [deep]}, 1) == f"the schema has more than {MAX_DEPTH} levels"


def test_steps_are_counted_for_each_value_anew() -> None:
    schema = {"items": {"type": "integer"}}
    most = [1] * (schemas.MAX_STEPS - 1)
    assert misfit(schema, most) is None
    assert misfit(schema, most) is None
    assert misfit(schema, [*most, 1]) == f"the schema takes more than {schemas.MAX_STEPS:,} steps"


def test_an_error_says_where_and_what() -> None:
    schema = {"properties": {"a": {"items": {"multipleOf": 3}}}, "additionalProperties": False}
    assert misfit(schema, {"a": [3, 4]}) == "a.1: 4 is not a multiple of 3"
    assert misfit(schema, {"b": 1}) == "'b' is not among the properties ('a')"
    assert misfit({"type": 1}, 1) == "the schema is none: type: 1 is not valid under any of the given schemas"
    assert misfit([1], 1) == "the schema is neither an object nor true or false"
    assert misfit({"pattern": "("}, "x") == "the schema has a pattern that is none: '(' (missing ) at position 1)"
    assert str(misfit({}, {1, 2})).startswith("the value is no JSON (TypeError")
    assert misfit({"$ref": "#"}, 1) == "the schema refers to itself without end"
