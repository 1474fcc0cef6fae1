"""What a principle judged by rule asks of a response: the settings under `check` in a constitution."""

from __future__ import annotations

from typing import Annotated, Literal

import regex
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StrictStr, field_validator, model_validator

from constitution.errors import invalid, shown
from constitution.records import Strict

Parses = Literal["python", "json", "yaml", "toml"]
Count = Annotated[int, Field(gt=0, strict=True)]


def _pattern(value: str) -> str:
    try:
        regex.compile(value)
    except regex.error as error:
        raise invalid(f"got {shown(value)}", "a regular expression", f"mend it: {error}") from None
    return value


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Pattern = Annotated[StrictStr, AfterValidator(_pattern)]
Phrase = Annotated[StrictStr, Field(min_length=1)]
Phrases = Annotated[tuple[Phrase, ...], BeforeValidator(_listed), Field(min_length=1)]
Column = Annotated[StrictStr, Field(min_length=1, max_length=200)]
Languages = Annotated[
    tuple[Annotated[StrictStr, Field(pattern="^[a-z]{2,3}$")], ...], BeforeValidator(_listed), Field(min_length=1)
]


class Check(Strict):
    """A principle judged by rule. Every part that is set must hold."""

    max_words: Count | None = None
    """Most words of the response; in scripts without spaces, each character is a word."""
    min_words: Count | None = None
    """Fewest words of the response."""
    max_characters: Count | None = None
    """Most characters of the response."""
    min_characters: Count | None = None
    """Fewest characters of the response."""
    max_sentences: Count | None = None
    """Most sentences of the response, outside fenced code."""
    min_sentences: Count | None = None
    """Fewest sentences of the response, outside fenced code."""
    starts_with: Phrases | None = None
    """A text that the response begins with, or several of which it begins with one; whatever their case."""
    ends_with: Phrases | None = None
    """A text that the response ends with, or several of which it ends with one; whatever their case."""
    any_of: Phrases | None = None
    """Texts of which the response holds at least one, whatever their case."""
    must_match: Pattern | None = None
    """A regular expression found somewhere in the response."""
    must_not_match: Pattern | None = None
    """A regular expression found nowhere in the response."""
    language: Languages | None = None
    """ISO 639 code of the response's language, as `en`, or several; a response that is not surely in another one keeps it."""
    parses: Parses | None = None
    """What each fenced block of that name (and each without a name, where none has one) must be: code of that language."""
    json_schema: dict[str, JsonValue] | None = None
    """JSON schema (draft 2020-12) of the response's text, with or without a code fence, or of tool calls."""
    json_schema_of: Literal["response", "arguments"] = "response"
    """What the schema describes: the response's text, or each tool call's arguments."""
    tool_calls: Literal["valid", "required", "forbidden"] | None = None
    """Each call is of a tool that the prompt offers, with arguments that fit that tool's own schema (`valid`); and there is one
    (`required`); or there is none (`forbidden`). `valid` and `required` say nothing of prompts that offer no tool."""
    max_repetition: float | None = Field(default=None, gt=0, le=1)
    """Largest share of repeated word 3-grams."""
    refusal: Literal["allowed", "required", "forbidden"] | None = None
    """Whether the response must or must not be a refusal."""
    answer: Column | None = None
    """Column of the prompt's row with the right answer or a list of them (`reference`: the reference answer); a row without one is
    not concerned."""
    of_row: Column | None = None
    """Column of the prompt's row with rules of its own, in the form of this table; a row without them is not concerned."""
    tests: Column | None = None
    """Column of the prompt's row with tests in Python, which the response's code is run with and must pass; a row without them is
    not concerned. Only where the command line has `--rules critics.rules.unit_tests`."""
    own: Annotated[StrictStr, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] | None = None
    """Name of a rule of your own, a Python function out of a file named with `--rules`."""
    own_source: Annotated[StrictStr, Field(pattern="^[0-9a-f]{32}$")] | None = None
    """Digest of the file that has it, filled in by a run; where a constitution has it, the rule must be that one."""

    @field_validator("json_schema")
    @classmethod
    def _schema(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if value is not None:
            import jsonschema  # here, since few constitutions need it and every command would wait for it

            try:
                jsonschema.Draft202012Validator.check_schema(value)
            except jsonschema.SchemaError as error:
                raise invalid(f"is not a JSON schema ({shown(error.message)})", fix="see json-schema.org") from None
        return value

    @model_validator(mode="after")
    def _something(self) -> Check:
        beside = {"json_schema_of", "own_source"}
        if not self.model_fields_set - beside:
            names = ", ".join(name for name in type(self).model_fields if name not in beside)
            raise invalid("is empty", f"at least one of {names}")
        for unit in ("words", "characters", "sentences"):
            least, most = getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")
            if least and most and least > most:
                fix = "lower it: no response can satisfy both"
                raise invalid(f"got {least}", f"at most max_{unit}, {most}", fix, key=f"min_{unit}")
        return self
