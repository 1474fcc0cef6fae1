"""Principles judged by rule: pure checks of one response."""

from __future__ import annotations

import json

import regex

from constitution.errors import Problem, UserError
from constitution.principles import Check
from constitution.records import Message
from constitution.words import repetition, word_count
from critics.text.refusal import is_refusal

MATCH_SECONDS = 1.0
"""A pattern that needs longer on one response is an error, not a verdict."""

_FENCE = regex.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", regex.DOTALL | regex.IGNORECASE)


def violates(check: Check, message: Message) -> str | None:
    """Why the message breaks the rule, or None when it keeps it. Raises UserError when a pattern takes too long.

    A schema `of: arguments` speaks of tool calls only: a response without any keeps it.
    """
    text = message.content
    count = word_count(text)
    if check.max_words is not None and count > check.max_words:
        return f"{count} words, over {check.max_words}"
    if check.min_words is not None and count < check.min_words:
        return f"{count} words, under {check.min_words}"
    if check.must_match is not None and not _search(check.must_match, text):
        return f"does not match {check.must_match!r}"
    if check.must_not_match is not None and _search(check.must_not_match, text):
        return f"matches {check.must_not_match!r}"
    if check.json_schema is not None and (wrong := _schema_violation(check, message)):
        return wrong
    if check.max_repetition is not None and (share := repetition(text)) > check.max_repetition:
        return f"repetition {share:.2f}, over {check.max_repetition}"
    if check.refusal == "required" and not is_refusal(text):
        return "is no refusal"
    if check.refusal == "forbidden" and is_refusal(text):
        return "is a refusal"
    return None


def _search(pattern: str, text: str) -> bool:
    try:
        return bool(regex.search(pattern, text, regex.MULTILINE, timeout=MATCH_SECONDS))
    except TimeoutError:
        got = f"pattern {pattern!r} takes over {MATCH_SECONDS:g} s on {len(text):,} characters"
        raise UserError(Problem("", "check", got, fix="simplify it")) from None


def _schema_violation(check: Check, message: Message) -> str | None:
    import jsonschema  # here, since few constitutions need it and every command would wait for it

    assert check.json_schema is not None
    values: list[object]
    if check.json_schema_of == "arguments":
        values = [call.function.arguments for call in message.tool_calls]
    else:
        fenced = _FENCE.match(message.content)
        try:
            values = [json.loads(fenced.group(1) if fenced else message.content)]
        except (ValueError, RecursionError):
            return "is not JSON"
    validator = jsonschema.Draft202012Validator(check.json_schema)
    for value in values:
        error = next(validator.iter_errors(value), None)
        if error:
            return f"does not fit the schema: {error.message[:200]}"
    return None
