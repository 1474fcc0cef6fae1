"""The columns of everything a run writes."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from constitution.records import Critique, Dropped, Failure, Message, PreferencePair, Prompt, Response, Vote
from critics.ranking.accept import Unaccepted
from critics.text.manipulation import indicators_of
from generation.output.records import ControlOutcome

_CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
_PLAIN = [("role", pa.string()), ("content", pa.string())]
_VOTE = pa.struct(
    [
        *((name, pa.string()) for name in ("principle", "method", "judge")),
        *((name, pa.float64()) for name in ("logit_ab", "logit_ba")),
        ("censored", pa.bool_()),
    ]
)

_OF_THE_PROMPT = [("tags", pa.list_(pa.string())), ("metadata", pa.string())]


def messages_type(tools: bool) -> pa.DataType:
    """A list of messages; with the columns of tool calls only in a run that has any."""
    more = [("tool_calls", pa.list_(_CALL)), ("tool_call_id", pa.string()), ("name", pa.string())] if tools else []
    return pa.list_(pa.struct([*_PLAIN, *more]))


def preferences(tools: bool, objectives: list[str]) -> pa.Schema:
    """TRL's conversational preference form, with where each pair comes from."""
    messages = messages_type(tools)
    return pa.schema(
        [
            ("prompt", messages),
            ("chosen", messages),
            ("rejected", messages),
            *_tools_column(tools),
            ("p_chosen", pa.float64()),
            ("log_odds", pa.float64()),
            ("label_source", pa.string()),
            ("prompt_id", pa.string()),
            ("chosen_id", pa.string()),
            ("rejected_id", pa.string()),
            ("chosen_origin", pa.string()),
            ("rejected_origin", pa.string()),
            ("chosen_policy", pa.string()),
            ("rejected_policy", pa.string()),
            ("chosen_truncated", pa.bool_()),
            ("rejected_truncated", pa.bool_()),
            ("objectives", pa.struct([(name, pa.float64()) for name in objectives])),
            ("votes", pa.list_(_VOTE)),
            *_OF_THE_PROMPT,
            ("constitution_digest", pa.string()),
            ("judge", pa.string()),
        ]
    )


def review(tools: bool, objectives: list[str]) -> pa.Schema:
    """Pairs for a person: as `preferences`, and why they are not among them."""
    why = [pa.field("reason", pa.string()), pa.field("detail", pa.string())]
    return pa.schema([*preferences(tools, objectives), *why])


def sft(tools: bool) -> pa.Schema:
    """TRL's conversational prompt-completion form."""
    messages = messages_type(tools)
    return pa.schema(
        [
            ("prompt", messages),
            ("completion", messages),
            *_tools_column(tools),
            *((name, pa.string()) for name in ("prompt_id", "response_id", "origin", "policy")),
            *_OF_THE_PROMPT,
            ("constitution_digest", pa.string()),
        ]
    )


def _tools_column(tools: bool) -> list[tuple[str, pa.DataType]]:
    """JSON, which TRL takes: a struct of all tools' parameters would give each tool those of the others."""
    return [("tools", pa.string())] if tools else []


RESPONSES = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "prompt_id", "origin", "policy", "parent", "text", "raw")),
        ("tool_calls", pa.list_(_CALL)),
        *((name, pa.list_(pa.string())) for name in ("principles", "tags", "indicators")),
        ("truncated", pa.bool_()),
    ]
)
CRITIQUES = pa.schema(
    [
        *((name, pa.string()) for name in ("prompt_id", "response_id", "principle", "text")),
        ("found", pa.bool_()),
        ("raw", pa.string()),
    ]
)
VOTES = pa.schema(
    [
        *((name, pa.string()) for name in ("prompt_id", "a", "b", "principle", "method", "judge")),
        *((name, pa.float64()) for name in ("logit_ab", "logit_ba")),
        ("censored", pa.bool_()),
        *((name, pa.float64()) for name in ("vote", "bias")),
        ("position_inconsistent", pa.bool_()),
    ]
)
CONTROLS = pa.schema([*VOTES, ("kind", pa.string()), ("right", pa.bool_())])
FAILURES = pa.schema([(name, pa.string()) for name in ("kind", "prompt_id", "stage", "reason", "subject", "detail")])


def message_row(message: Message, tools: bool) -> dict[str, Any]:
    """A message as a row of `messages_type`."""
    row: dict[str, Any] = {"role": message.role, "content": message.content}
    if tools:
        calls = [
            {
                "id": c.id,
                "type": c.type,
                "function": {"name": c.function.name, "arguments": json.dumps(c.function.arguments)},
            }
            for c in message.tool_calls
        ]
        row |= {"tool_calls": calls or None, "tool_call_id": message.tool_call_id, "name": message.name}
    return row


def prompt_row(prompt: Prompt, tools: bool) -> dict[str, Any]:
    """What a row of `preferences` or `sft` has of its prompt."""
    offered = {"tools": json.dumps(prompt.tools, ensure_ascii=False) if prompt.tools else None} if tools else {}
    return {
        "prompt": [message_row(message, tools) for message in prompt.messages],
        "prompt_id": prompt.id,
        "tags": list(prompt.tags),
        "metadata": prompt.metadata or None,
        **offered,
    }


def pair_row(
    pair: PreferencePair, prompt: Prompt, tools: bool, objectives: list[str], constitution: str, judge: str
) -> dict[str, Any]:
    """A pair as a row of `preferences`."""
    return {
        **prompt_row(prompt, tools),
        "chosen": [message_row(pair.chosen.message, tools)],
        "rejected": [message_row(pair.rejected.message, tools)],
        "p_chosen": pair.p_chosen,
        "log_odds": pair.log_odds,
        "label_source": pair.source,
        "chosen_id": pair.chosen.id,
        "rejected_id": pair.rejected.id,
        "chosen_origin": pair.chosen.origin,
        "rejected_origin": pair.rejected.origin,
        "chosen_policy": pair.chosen.policy or None,
        "rejected_policy": pair.rejected.policy or None,
        "chosen_truncated": pair.chosen.truncated,
        "rejected_truncated": pair.rejected.truncated,
        "objectives": {name: pair.objectives.get(name) for name in objectives},
        "votes": [{name: getattr(vote, name) for name in _VOTE.names} for vote in pair.votes],
        "constitution_digest": constitution,
        "judge": judge,
    }


def review_row(
    one: Unaccepted, prompt: Prompt, tools: bool, objectives: list[str], constitution: str, judge: str
) -> dict[str, Any]:
    """A pair that is not accepted as a row of `review`."""
    row = pair_row(one.pair, prompt, tools, objectives, constitution, judge)
    return {**row, "reason": one.reason, "detail": one.detail}


def target_row(target: Response, prompt: Prompt, tools: bool, constitution: str) -> dict[str, Any]:
    """A response to imitate as a row of `sft`."""
    return {
        **prompt_row(prompt, tools),
        "completion": [message_row(target.message, tools)],
        "response_id": target.id,
        "origin": target.origin,
        "policy": target.policy or None,
        "constitution_digest": constitution,
    }


def response_row(response: Response, prompt: Prompt) -> dict[str, Any]:
    """A candidate as a row of RESPONSES."""
    return {
        "id": response.id,
        "prompt_id": response.prompt_id,
        "origin": response.origin,
        "policy": response.policy or None,
        "parent": response.parent,
        "text": response.text,
        "raw": response.raw,
        "tool_calls": message_row(response.message, True)["tool_calls"],
        "principles": list(response.principles),
        "tags": list(prompt.tags),
        "indicators": list(indicators_of(prompt, response.message)),
        "truncated": response.truncated,
    }


def critique_row(critique: Critique) -> dict[str, Any]:
    """A critique as a row of CRITIQUES."""
    return {name: getattr(critique, name) for name in CRITIQUES.names}


def vote_row(vote: Vote) -> dict[str, Any]:
    """A vote as a row of VOTES."""
    asked = {name: getattr(vote, name) for name in VOTES.names[:-3]}
    return {**asked, "vote": vote.value, "bias": vote.bias, "position_inconsistent": vote.position_inconsistent}


def control_rows(outcome: ControlOutcome) -> list[dict[str, Any]]:
    """A control as rows of CONTROLS, one for each vote."""
    return [{**vote_row(vote), "kind": outcome.kind, "right": outcome.right} for vote in outcome.votes]


def failure_row(record: Failure | Dropped) -> dict[str, Any]:
    """A failure, or something dropped, as a row of FAILURES."""
    kind = "failed" if isinstance(record, Failure) else "dropped"
    return {"kind": kind, **{name: getattr(record, name) for name in FAILURES.names[1:]}}
