"""Stored calls by key, response, pair or prompt, and what there is to show of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from constitution.errors import Problem, UserError
from constitution.terminal import printable
from generation.calls.reading import StoredCalls
from generation.calls.record import Row
from generation.engines.base import Unkept
from generation.output.results import Results, came_to, responses_of, results, voter_of
from generation.pipeline.session import CALLS

_NAME = r"/(?:[a-z0-9][a-z0-9_-]*-)?[sg]\d+(?:/r\d+)*"
"""What follows the prompt's id in a response's: its number, after its policy's name where there are several, and its revisions'."""
RESPONSE = rf"\S.*?{_NAME}"
PAIR = re.compile(rf"(?P<a>{RESPONSE})(?:\s+vs)?\s+(?P<b>{RESPONSE})(?:\s+by\s+(?P<voter>\S+))?")
"""Two responses as a vote's subject has them, `A vs B by VOTER`, or just beside each other."""
KEY = re.compile(r"[0-9a-fA-F]{4,32}")
BRIEF = 80
"""Most characters of an answer in a list of calls."""


class Call(NamedTuple):
    """A stored call and its key."""

    key: str
    row: Row


def show(run: Path, name: str | None, pair: str | None, prompt: str | None) -> None:
    """Print the calls that one of the three names. Raises UserError for bad files, and where there is no such call."""
    with closing(StoredCalls([run / CALLS])) as calls:
        found = _find(calls, name, pair, prompt)
        if not found:
            fix = f"solon calls show {run} --prompt ID lists the calls about a prompt; ids stand in responses.parquet"
            raise UserError(Problem(str(run / CALLS), got="has no such call", fix=fix))
        _show(calls, run, found, brief=bool(prompt))


def _find(calls: StoredCalls, name: str | None, pair: str | None, prompt: str | None) -> list[Call]:
    if prompt is not None:
        return _about(calls, prompt)
    if pair is not None:
        match = PAIR.fullmatch(pair.strip())
        if not match:
            raise UserError(
                Problem("--pair", got=f"got {pair!r}", allowed="two response ids, as in 'PROMPT/s0 PROMPT/s1'")
            )
        both, voter = {match["a"], match["b"]}, match["voter"]
        about = _about(calls, _prompt_of(match["a"]))
        return [
            call
            for call in about
            if call.row.stage == "compare"
            and set(responses_of(call.row)) <= both
            and voter in (None, voter_of(call.row))
        ]
    assert name is not None
    if re.fullmatch(RESPONSE, name):
        return [
            call
            for call in _about(calls, _prompt_of(name))
            if call.row.stage != "compare" and responses_of(call.row) == [name]
        ]
    if not KEY.fullmatch(name):
        allowed = "a call's key, of which at least 4 digits, or a response's id, as in PROMPT/s0"
        raise UserError(Problem("ID", got=f"got {name!r}", allowed=allowed))
    return [Call(key.hex(), row) for key, row in calls.named(name)]


def _about(calls: StoredCalls, prompt: str) -> list[Call]:
    return [Call(key.hex(), row) for key, row in calls.about(prompt)]


def _prompt_of(response: str) -> str:
    return re.sub(rf"{_NAME}$", "", response)


def _show(calls: StoredCalls, run: Path, found: Sequence[Call], brief: bool) -> None:
    known: dict[str, Results | None] = {}
    for number, call in enumerate(found):
        if brief:
            print(printable(_line(call)))
            continue
        prompt = call.row.prompt
        if prompt not in known:
            known[prompt] = results(run, prompt)
        if number:
            print()
        for line in _whole(calls, call, known[prompt]):
            print(printable(line))


def _line(call: Call) -> str:
    row = call.row
    answer = " ".join(row.completion().text.split())
    said = row.failed or (answer if len(answer) <= BRIEF else f"{answer[: BRIEF - 1]}…")
    return f"{call.key[:12]}  {row.stage:8}  {row.subject.replace('|', '  ').strip()}  {said}"


def _whole(calls: StoredCalls, call: Call, found: Results | None) -> Iterator[str]:
    """Every line about a call. Texts of others stand behind a bar, so that none can pass for a line of ours."""
    row, completion = call.row, call.row.completion()
    by = f" by {voter_of(row)}" if voter_of(row) else ""
    yield f"call {call.key}: {row.stage} of {', '.join(responses_of(row)) or row.prompt or 'no prompt'}{by}"
    used = (
        f"{row.prompt_tokens:,} prompt tokens, {row.cached_tokens:,} of them cached, {row.completion_tokens:,} written"
    )
    yield f"model {row.model}; {used}; {row.seconds:.2f} s"
    asked = calls.asked(0, row)
    if asked is None:
        yield "asked: was not kept"
    else:
        yield "asked: " + ", ".join(f"{name} {value}" for name, value in asked.form.items())
        for role, text in (*asked.messages, *([("tools", asked.tools)] if asked.tools else [])):
            yield f"{role}:"
            yield from _quoted(text)
    if row.failed in [*Unkept]:
        yield f"not kept: {row.failed}" + (", tokens estimated" if row.estimated_tokens else "")
    elif completion.error:
        yield f"error: {completion.error}"
    else:
        yield f"answered ({completion.finish}):"
        yield from _quoted(completion.text)
    if completion.logprobs:
        yield "log-probabilities: " + ", ".join(f"{label} {value:.4f}" for label, value in completion.logprobs.items())
    if completion.floor is not None:
        yield f"of what is not listed, at most: {completion.floor:.4f}"
    if completion.scores:
        mean = sum(completion.scores) / len(completion.scores)
        yield f"log-probabilities of {len(completion.scores)} given tokens: mean {mean:.4f}"
    if found is None:
        yield "the run is not finished: nothing was made of it yet"
    else:
        yield from came_to(row, found)


def _quoted(text: str) -> Iterator[str]:
    yield from (f"| {line}" for line in re.split(r"\r\n|[\n\r]", text))
