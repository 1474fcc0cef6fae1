"""Ask which of two responses follows a principle better, at once, after reasoning or after a debate; read it as log-odds.

Reasoning first is the chain-of-thought form of Constitutional AI (Bai et al. 2022, arXiv:2212.08073, section 4.1), whose
probabilities come out near 0 or 1 and were therefore clamped to 40-60%.

In a debate (Irving et al. 2018, arXiv:1805.00899) one critic argues for each response, and the judge reads both. An argument is
written once and read in both orders, so that what the orders differ in is the judge's position bias alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import labels
from critics.answers import Form
from critics.labels import Reading
from critics.templating import render as render_template
from critics.templating import render_once
from critics.transcript import ask, conversation, escape_delimiters, nonces, reference_answer, render_message

LABELS = ("A", "B")
"""Verdicts, for the response listed first and the one listed second. Each must be a single token of the judge."""


class Argument(NamedTuple):
    """What was said for one response before the judge decides."""

    text: str
    """By the critic who argues for it."""
    answer: str = ""
    """By its author, to the argument for the other one; empty where nobody asked for it."""


def render(
    prompt: Prompt,
    first: Response,
    second: Response,
    principle: Principle,
    nonce: bool = True,
    form: Form = "labels",
    arguments: tuple[Argument, ...] = (),
) -> tuple[Message, ...]:
    """The judge's prompt. Both responses come before the principle, so all principles of a pair share one cached prefix.

    arguments: what was argued for the first response and for the second, where there was a debate.
    """
    return _render(prompt, first, second, principle.compare_request, False, nonce, form, arguments)


def render_reasoning(
    prompt: Prompt,
    first: Response,
    second: Response,
    principle: Principle,
    nonce: bool = True,
    form: Form = "labels",
) -> tuple[Message, ...]:
    """The same question with the request to think about it first; where the verdict is written down, in the same answer."""
    return _render(prompt, first, second, principle.compare_request, True, nonce, form)


def render_argument(
    prompt: Prompt, own: Response, other: Response, principle: Principle, nonce: bool = True
) -> tuple[Message, ...]:
    """What the critic is asked who argues for `own`. Neither response has a letter, for the judge reads both orders."""
    shown, reply, against = conversation(prompt), render_message(own.message), render_message(other.message)
    reference = reference_answer(prompt)
    mark = nonces(nonce, shown, reply, against, reference=reference)
    texts = {"conversation": shown, "reference": reference, "reply": reply, "other": against}
    return ask(
        render_template("debate.jinja", part="argue", mark=mark, request=principle.compare_request, **texts),
    )


def render_answer(
    prompt: Prompt, own: Response, against: str, principle: Principle, nonce: bool = True
) -> tuple[Message, ...]:
    """The conversation's next turn, in which the author of `own` may answer the argument for the other response."""
    argument = escape_delimiters(against)
    mark = nonces(nonce, conversation(prompt), argument)
    asked = {"part": "answer", "mark": mark, "argument": argument, "request": principle.compare_request}
    return (*prompt.messages, own.message, *ask(render_template("debate.jinja", **asked)))


def render_conclusion(reasoning: tuple[Message, ...], thoughts: str) -> tuple[Message, ...]:
    """What follows the judge's thoughts: the request for its verdict."""
    return (*reasoning, Message(role="assistant", content=thoughts), *ask(render_template("verdict.jinja")))


def log_odds(logprobs: Mapping[str, float], floor: float | None = None) -> Reading | str:
    """z = log p(A) - log p(B), the log-odds of the first-listed response; or the reason why there is no verdict."""
    return labels.log_odds(logprobs, LABELS, floor)


def _render(
    prompt: Prompt,
    first: Response,
    second: Response,
    request: str,
    reason: bool,
    nonce: bool,
    form: Form,
    arguments: tuple[Argument, ...] = (),
) -> tuple[Message, ...]:
    shown, a, b = conversation(prompt), render_message(first.message), render_message(second.message)
    reference = reference_answer(prompt)
    mark = nonces(nonce, shown, a, b, reference=reference)
    parts = [render_once("pair.jinja", mark=mark, conversation=shown, reference=reference, a=a, b=b)]
    if arguments:
        parts.append(_debate(shown, arguments, nonce))
    parts.append(render_once("compare.jinja", request=request, reason=reason, form=form))
    return ask("\n\n".join(parts))


def _debate(shown: str, arguments: tuple[Argument, ...], nonce: bool) -> str:
    texts = [escape_delimiters(argument.text) for argument in arguments]
    answers = [escape_delimiters(argument.answer) for argument in arguments if argument.answer]
    mark = nonces(nonce, shown, *texts, *answers)
    return render_template("debate.jinja", part="judge", mark=mark, arguments=texts, answers=answers)
