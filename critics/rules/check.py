"""Principles judged by rule: pure checks of one response."""

from __future__ import annotations

import json

import regex

from constitution.checks.check import Check
from constitution.checks.own import the_rule
from constitution.errors import Problem, UserError
from constitution.records import Message, Prompt
from constitution.words import repetition, word_count
from critics.rules.code import unparsed
from critics.rules.row import own_check, wrong_answer
from critics.rules.schemas import misfit
from critics.rules.tool_calls import invalid_call
from critics.rules.unit_tests import failing
from critics.text.language import language
from critics.text.refusal import is_refusal
from critics.text.sentences import sentence_count

MATCH_SECONDS = 1.0
"""A pattern that needs longer on one response is an error, not a verdict."""
_SHOWN = 60
"""Characters of a phrase that a reason shows."""

_FENCE = regex.compile(r"```(?:json)?[^\S\n]*+\n(.*)```", regex.DOTALL | regex.IGNORECASE)


def violates(check: Check, prompt: Prompt, message: Message) -> str | None:
    """Why the message breaks the rule, or None when it keeps it.

    A schema `of: arguments` speaks of tool calls only: a response without any keeps it. Raises UserError when a pattern takes too
    long, for a rule of the user's own that is not there, has changed or fails, and where the row's own rules are none.
    """
    text = message.content
    found = _length(check, text) or _wording(check, text) or _form(check, prompt, message)
    if found:
        return found
    if check.max_repetition is not None and (share := repetition(text)) > check.max_repetition:
        return f"repetition {share:.2f}, over {check.max_repetition}"
    if check.refusal == "required" and not is_refusal(text):
        return "is no refusal"
    if check.refusal == "forbidden" and is_refusal(text):
        return "is a refusal"
    return _of_row(check, prompt, message) or (_own(check, prompt, message) if check.own else None)


def _of_row(check: Check, prompt: Prompt, message: Message) -> str | None:
    if check.answer and (wrong := wrong_answer(prompt, check.answer, message.content)):
        return wrong
    own = own_check(prompt, check.of_row) if check.of_row else None
    if own and (broken := violates(own, prompt, message)):
        return broken
    return failing(prompt, check.tests, message.content) if check.tests else None


def _length(check: Check, text: str) -> str | None:
    for unit, count in (("words", word_count), ("characters", len), ("sentences", sentence_count)):
        most, least = getattr(check, f"max_{unit}"), getattr(check, f"min_{unit}")
        if most is None and least is None:
            continue
        size = count(text)
        if most is not None and size > most:
            return f"{size} {unit}, over {most}"
        if least is not None and size < least:
            return f"{size} {unit}, under {least}"
    return None


def _wording(check: Check, text: str) -> str | None:
    plain = text.strip().casefold()
    if check.starts_with and not plain.startswith(tuple(one.strip().casefold() for one in check.starts_with)):
        return f"does not start with {_either(check.starts_with)}"
    if check.ends_with and not plain.endswith(tuple(one.strip().casefold() for one in check.ends_with)):
        return f"does not end with {_either(check.ends_with)}"
    if check.any_of and not any(one.casefold() in plain for one in check.any_of):
        return f"has none of {_either(check.any_of)}"
    if check.must_match is not None and not _search(check.must_match, text):
        return f"does not match {check.must_match!r}"
    if check.must_not_match is not None and _search(check.must_not_match, text):
        return f"matches {check.must_not_match!r}"
    return None


def _form(check: Check, prompt: Prompt, message: Message) -> str | None:
    if check.language and (spoken := language(message.content)) and spoken not in check.language:
        return f"is in {spoken!r}, not in {_either(check.language)}"
    if check.parses and (wrong := unparsed(check.parses, message.content)):
        return wrong
    if check.json_schema is not None and (wrong := _schema_violation(check, message)):
        return wrong
    if check.tool_calls == "forbidden":
        return f"calls {message.tool_calls[0].function.name[:_SHOWN]!r}" if message.tool_calls else None
    if check.tool_calls and prompt.tools:
        missing = check.tool_calls == "required" and not message.tool_calls
        return "calls no tool" if missing else invalid_call(prompt, message)
    return None


def _either(phrases: tuple[str, ...]) -> str:
    return " or ".join(repr(one[:_SHOWN]) for one in phrases[:5]) + (" or others" if len(phrases) > 5 else "")


def _search(pattern: str, text: str) -> bool:
    try:
        return bool(regex.search(pattern, text, regex.MULTILINE, timeout=MATCH_SECONDS))
    except TimeoutError:
        got = f"pattern {pattern!r} takes over {MATCH_SECONDS:g} s on {len(text):,} characters"
        raise UserError(Problem("", "check", got, fix="simplify it")) from None


def _schema_violation(check: Check, message: Message) -> str | None:
    values: list[object]
    if check.json_schema_of == "arguments":
        values = [call.function.arguments for call in message.tool_calls]
    else:
        fenced = _FENCE.fullmatch(message.content.strip())
        try:
            values = [json.loads(fenced.group(1) if fenced else message.content)]
        except (ValueError, RecursionError):
            return "is not JSON"
    wrong = next((found for value in values if (found := misfit(check.json_schema, value))), None)
    return wrong and f"does not fit the schema: {wrong}"


def _own(check: Check, prompt: Prompt, message: Message) -> str | None:
    assert check.own is not None
    rule = the_rule(check.own)
    if check.own_source not in (None, rule.source):
        got = f"rule {check.own!r} of {rule.file} is another than the one of this constitution"
        raise UserError(Problem("", "own", got, fix="name the file that it was made with, or make it anew"))
    try:
        said = rule.judge(prompt, message)
    except Exception as error:  # whatever the user's own function raises befalls this response alone
        got = f"rule {check.own!r} raised {type(error).__name__}: {error}"
        raise UserError(Problem("", "own", got[:500], fix=f"mend {rule.file}")) from error
    if said is None or isinstance(said, bool | str):
        return None if said is None or said is True or said == "" else said or "is not kept"
    got = f"rule {check.own!r} returned {type(said).__name__}"
    raise UserError(
        Problem("", "own", got, "True or None where it is kept; False, or why, where not", f"mend {rule.file}")
    )
