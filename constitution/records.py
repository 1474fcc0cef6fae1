"""Every record that passes between the parts of Solon.

What enters from outside (JSONL, parquet, YAML) is a frozen pydantic model that rejects unknown keys; what lives inside
one run is a frozen slots dataclass. Log-odds are natural logarithms throughout.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from constitution.errors import invalid

Role = Literal["system", "user", "assistant", "tool"]
Origin = Literal["sampled", "revised", "given"]
Stage = Literal["sample", "critique", "revise", "compare"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""Kinds of model calls, in the order in which a prompt meets them."""

LabelSource = Literal["panel", "rule", "human"]
"""Who a pair's label is from: the panel, rules alone, or a person."""
VIOLATION = "violation"
"""The judging method by which a principle with a veto is asked of each response by itself."""

MAIN = "judge"
"""Name, in votes, of the judge that also criticises and revises. Others of a panel have names of their own."""


class Strict(BaseModel):
    """Base of everything that enters from outside: immutable, and an unknown key is an error.

    The string under a field is its description, in JSON Schema and in lists of settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def characters(value: object) -> int:
    """Characters in all texts of messages, prompts, responses, lists and objects; what is no text counts as one."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(len(str(key)) + characters(item) for key, item in value.items())
    if isinstance(value, BaseModel):
        return sum(characters(item) for _, item in value)
    if isinstance(value, Response):
        return characters(value.message)
    return sum(map(characters, value)) if isinstance(value, list | tuple) else 1


class Function(Strict):
    """The function a tool call names, with its arguments."""

    name: str
    """Name of the function."""
    arguments: dict[str, JsonValue]
    """Arguments as an object. A JSON string, as OpenAI's servers send it, is parsed on the way in."""

    @field_validator("arguments", mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError as error:
            got = f"malformed tool call: arguments are not JSON ({error})"
            raise invalid(got, "an object, or an object as a JSON string") from None


class ToolCall(Strict):
    """One call of a tool by the assistant, in the form chat templates and OpenAI's servers use."""

    function: Function
    """What is called, with which arguments."""
    id: str | None = None
    """Name of the call, by which a tool's message answers it."""
    type: Literal["function"] = "function"
    """The only kind of tool there is."""


class Message(Strict):
    """One turn of a conversation.

    >>> solon.Message(role="user", content="Why is the sky blue?").content
    'Why is the sky blue?'
    """

    role: Role
    """Who speaks."""
    content: str = ""
    """What is said."""
    tool_calls: tuple[ToolCall, ...] = ()
    """Tools the assistant calls."""
    tool_call_id: str | None = None
    """The call that a tool's message answers."""
    name: str | None = None
    """Name of the speaker or the tool, for chat templates that show one."""
    reasoning_content: str = Field(default="", exclude_if=lambda text: not text)
    """What the assistant thought before it answered; part of no response, and learnt where the template has a place for it."""

    @field_validator("content", mode="before")
    @classmethod
    def _empty(cls, value: object) -> object:
        return "" if value is None else value

    @field_validator("tool_calls", mode="before")
    @classmethod
    def _no_calls(cls, value: object) -> object:
        return () if value is None else value

    @model_validator(mode="after")
    def _calls_are_the_assistants(self) -> Message:
        if self.tool_calls and self.role != "assistant":
            got = f"malformed tool call: a message of role {self.role!r} has tool_calls"
            raise invalid(got, "none: only the assistant calls tools", key="tool_calls")
        return self


class Prompt(Strict):
    """A conversation that waits for the assistant's next turn.

    >>> asked = solon.Message(role="user", content="Why is the sky blue?")
    >>> solon.Prompt(id="sky", messages=(asked,), tags=("science",)).tags
    ('science',)
    """

    id: str
    """Unique in its run; derived from the text where the file gives none."""
    messages: tuple[Message, ...]
    """The conversation so far."""
    tools: tuple[dict[str, JsonValue], ...] = ()
    """JSON-schema tool descriptions, as chat templates take them."""
    tags: tuple[str, ...] = ()
    """Labels by which principles apply to it or not."""
    responses: tuple[Message, ...] = ()
    """Ready responses; when there are any they are judged and the policy is not sampled."""
    reference: str = ""
    """A reference answer, as data for a judge or critic that a setting shows it to; empty where there is none."""
    metadata: str = ""
    """The other columns of the source row, as one JSON object; empty where there are none."""
    template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """What chat templates are told of this row, beside what the settings tell them: `chat_template_kwargs` of rows for training."""


@dataclass(frozen=True, slots=True)
class Response:
    """A candidate: one way to go on with a prompt."""

    id: str
    prompt_id: str
    message: Message
    origin: Origin
    raw: str
    """The model's text before anything was cut from it."""
    parent: str | None = None
    """Id of the response that a revision rewrites."""
    principles: tuple[str, ...] = ()
    """Ids of the principles that a revision was asked to serve."""
    truncated: bool = False
    """max_tokens ended it, not its author: no end of the turn belongs after it."""
    policy: str = ""
    """Name of the policy that sampled it, or that sampled what it revises; empty for a given one and its revisions."""

    @property
    def text(self) -> str:
        """What the response says."""
        return self.message.content


@dataclass(frozen=True, slots=True)
class Critique:
    """What the critic said of one response under one principle."""

    prompt_id: str
    response_id: str
    principle: str
    text: str
    found: bool
    """False when the critic found nothing to change."""
    raw: str = ""
    """The critic's text before its thoughts were cut from it."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A rewritten response, cut free of any preamble."""

    text: str
    raw: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One voter's judgement of responses a and b: one judge, asked by one method under one principle, in both orders.

    z is the log-odds of the first-listed response's label, so a position-blind judge has logit_ab == -logit_ba. A method that
    looks at one response at a time is position-blind by construction. A vote by `violation` has two absolute answers: logit_ab
    and logit_ba are the log-odds that a, and that b, does not violate the principle.

    >>> vote = solon.Vote("sky", "sky/s0", "sky/s1", "honest", logit_ab=1.5, logit_ba=-0.5)
    >>> vote.value, vote.bias, vote.voter
    (1.0, 0.5, 'judge/compare/honest')
    """

    prompt_id: str
    a: str
    b: str
    principle: str
    logit_ab: float
    """z with a listed first."""
    logit_ba: float
    """z with b listed first."""
    method: str = "compare"
    """How the judge was asked, by a name of `critics.methods`; `rule` for a principle that a rule judges."""
    judge: str = MAIN
    """Name of the judge within its panel; empty for a rule."""
    censored: bool = False
    """One of its log-odds is a bound: a server's list did not hold both labels, so the judge is at least so sure."""

    @property
    def voter(self) -> str:
        """`judge/method/principle`: what a weight is fitted for."""
        return voter_name(self.judge, self.method, self.principle)

    @property
    def value(self) -> float:
        """Log-odds that a is better, free of position bias."""
        return (self.logit_ab - self.logit_ba) / 2

    @property
    def bias(self) -> float:
        """Log-odds by which the first place is favoured."""
        return 0.0 if self.method == VIOLATION else (self.logit_ab + self.logit_ba) / 2

    @property
    def position_inconsistent(self) -> bool:
        """True when the judge chose the same position in both orders, not the same response."""
        return self.method != VIOLATION and self.logit_ab * self.logit_ba > 0

    def swapped(self) -> Vote:
        """The same vote with a and b exchanged: value changes sign, bias stays."""
        return replace(self, a=self.b, b=self.a, logit_ab=self.logit_ba, logit_ba=self.logit_ab)


def voter_name(judge: str, method: str, principle: str) -> str:
    """`judge/method/principle`, without the parts that are empty."""
    return "/".join(part for part in (judge, method, principle) if part)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two candidates of one prompt and how sure the votes are of the better one."""

    prompt_id: str
    chosen: Response
    rejected: Response
    log_odds: float
    """Log-odds that chosen is better, at least 0."""
    objectives: dict[str, float]
    """Each objective's own log-odds for chosen over rejected."""
    votes: tuple[Vote, ...]
    """Every vote, with a = chosen and b = rejected."""
    source: LabelSource = "panel"
    """Who the label is from."""
    voters: float = 0.0
    """Kish's number of voters whose mean `log_odds` is, until the run has pooled them; 0 of other log-odds."""

    @property
    def p_chosen(self) -> float:
        """sigmoid(log_odds), in [0.5, 1]."""
        return 1 / (1 + math.exp(-self.log_odds))


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that went wrong with one part of one row; never turned into a label.

    >>> solon.Failure("sky", "compare", "verdict_missing", subject="sky/s0 vs sky/s1").reason
    'verdict_missing'
    """

    prompt_id: str
    stage: str
    reason: str
    """One of a small set of snake_case words, counted in the manifest."""
    detail: str = ""
    subject: str = ""
    """Id of the response or pair it befell, empty for the whole prompt."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something left out on purpose, by a rule the run states: a tie, an unchanged revision.

    >>> solon.Dropped("sky", "revise", "unchanged").stage
    'revise'
    """

    prompt_id: str
    stage: str
    reason: str
    detail: str = ""
    subject: str = ""
