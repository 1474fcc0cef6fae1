"""Ask about one response at a time: a grade, or yes or no. Such votes have no position to be biased towards.

The grade is the expected value under the judge's probabilities rather than its likeliest token (G-Eval: Liu et al. 2023,
arXiv:2303.16634).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics import labels
from critics.answers import Form
from critics.labels import Reading
from critics.templating import render_once
from critics.transcript import ask, conversation, nonces, reference_answer, render_message

GRADES = tuple("0123456789")
"""Ten grades in one digit each: "10" is two tokens for most tokenizers. They stand for 1 to 10."""
YES_NO = ("Yes", "No")


def render_grade(
    prompt: Prompt, response: Response, principle: Principle, nonce: bool = True, form: Form = "labels"
) -> tuple[Message, ...]:
    """Ask for a grade of one response."""
    return _render(prompt, response, principle, True, nonce, form)


def render_yes_no(
    prompt: Prompt, response: Response, principle: Principle, nonce: bool = True, form: Form = "labels"
) -> tuple[Message, ...]:
    """Ask whether one response follows the principle."""
    return _render(prompt, response, principle, False, nonce, form)


def render_violation(
    prompt: Prompt, response: Response, principle: Principle, nonce: bool = True, form: Form = "labels"
) -> tuple[Message, ...]:
    """Ask whether one response violates the principle."""
    return _render(prompt, response, principle, False, nonce, form, principle.violation_request)


def grade(logprobs: Mapping[str, float], floor: float | None = None) -> Reading | str:
    """Expected grade, 1 to 10, or the reason why there is none.

    A digit that a server's list leaves out counts with the most that it can have. Digits that are left out are mostly far from
    those that are listed, so this draws the grade towards the middle of the scale and makes a difference of two grades smaller,
    not larger.
    """
    found = labels.probabilities(logprobs, GRADES, floor)
    if isinstance(found, str):
        return found
    return Reading(1 + math.fsum(value * share for value, share in enumerate(found.shares)), found.censored)


def grade_log_odds(logprobs: Mapping[str, float], floor: float | None = None) -> Reading | str:
    """The expected grade in log-odds, as the other methods vote: of its place between half a grade under 1 and half over 10."""
    found = grade(logprobs, floor)
    return found if isinstance(found, str) else Reading(_place(found.value), found.censored)


def good(logprobs: Mapping[str, float], principle: Principle, floor: float | None = None) -> Reading | str:
    """Log-odds of the answer that a good response gets, or the reason why there is none."""
    found = labels.log_odds(logprobs, YES_NO, floor)
    return found if isinstance(found, str) or principle.good_answer == "yes" else found.turned()


def no_violation(logprobs: Mapping[str, float], _: Principle, floor: float | None = None) -> Reading | str:
    """Log-odds that the response does not violate the principle, or the reason why there is none."""
    found = labels.log_odds(logprobs, YES_NO, floor)
    return found if isinstance(found, str) else found.turned()


def _place(grade: float) -> float:
    return math.log((grade - 0.5) / (10.5 - grade))


def _render(
    prompt: Prompt, response: Response, principle: Principle, grade: bool, nonce: bool, form: Form, question: str = ""
) -> tuple[Message, ...]:
    shown, text = conversation(prompt), render_message(response.message)
    reference = reference_answer(prompt)
    mark = nonces(nonce, shown, text, reference=reference)
    head = render_once("reply.jinja", mark=mark, conversation=shown, reference=reference, reply=text)
    asked = {"principle": principle.text, "question": question or principle.ask_request}
    request = render_once("score.jinja", grade=grade, form=form, **asked)
    return ask(f"{head}\n\n{request}")
