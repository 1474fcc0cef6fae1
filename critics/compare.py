"""Ask which of two responses follows a principle better, at once or after reasoning, and read the verdict as log-odds.

Reasoning first is the chain-of-thought form of Constitutional AI (Bai et al. 2022, arXiv:2212.08073, section 4.1), whose
probabilities come out near 0 or 1 and were therefore clamped to 40-60%.
"""

from __future__ import annotations

from collections.abc import Mapping

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import labels
from critics.answers import Form
from critics.labels import Reading
from critics.templating import render as render_template
from critics.templating import render_once
from critics.transcript import ask, conversation, nonces, reference_answer, render_message

LABELS = ("A", "B")
"""Verdicts, for the response listed first and the one listed second. Each must be a single token of the judge."""


def render(
    prompt: Prompt,
    first: Response,
    second: Response,
    principle: Principle,
    nonce: bool = True,
    form: Form = "labels",
) -> tuple[Message, ...]:
    """The judge's prompt. Both responses come before the principle, so all principles of a pair share one cached prefix."""
    return _render(prompt, first, second, principle.compare_request, False, nonce, form)


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


def render_conclusion(reasoning: tuple[Message, ...], thoughts: str) -> tuple[Message, ...]:
    """What follows the judge's thoughts: the request for its verdict."""
    return (*reasoning, Message(role="assistant", content=thoughts), *ask(render_template("verdict.jinja")))


def log_odds(logprobs: Mapping[str, float], floor: float | None = None) -> Reading | str:
    """z = log p(A) - log p(B), the log-odds of the first-listed response; or the reason why there is no verdict."""
    return labels.log_odds(logprobs, LABELS, floor)


def _render(
    prompt: Prompt, first: Response, second: Response, request: str, reason: bool, nonce: bool, form: Form
) -> tuple[Message, ...]:
    shown, a, b = conversation(prompt), render_message(first.message), render_message(second.message)
    reference = reference_answer(prompt)
    mark = nonces(nonce, shown, a, b, reference=reference)
    head = render_once("pair.jinja", mark=mark, conversation=shown, reference=reference, a=a, b=b)
    question = render_once("compare.jinja", request=request, reason=reason, form=form)
    return ask(f"{head}\n\n{question}")
