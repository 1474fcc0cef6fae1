"""Ask which of two replies follows a principle better, and read the verdict as log-odds."""

from __future__ import annotations

import math
from collections.abc import Mapping

from constitution.principles import Principle
from constitution.records import Message, Prompt, Response
from critics.templating import render as render_template
from critics.transcript import ask, conversation, said

LABELS = ("A", "B")
"""Verdicts, for the reply listed first and the one listed second. Each must be a single token of the judge."""

MIN_MASS = 1e-3
"""Least probability the two labels must hold together; below it the judge answered something else."""


def render(prompt: Prompt, first: Response, second: Response, principle: Principle) -> tuple[Message, ...]:
    """The judge's prompt. Both replies come before the principle, so all principles of a pair share one cached prefix."""
    return ask(
        render_template(
            "compare.jinja",
            conversation=conversation(prompt),
            a=said(first.message),
            b=said(second.message),
            request=principle.compare_request,
        )
    )


def log_odds(logprobs: Mapping[str, float]) -> float | str:
    """z = log p(A) - log p(B), the log-odds of the first-listed reply; or the reason why there is no verdict.

    Reasons: `verdict_missing` (a label has no log-probability), `verdict_nan` (not finite), `verdict_off_menu`
    (the labels together hold less than MIN_MASS).
    """
    try:
        first, second = (logprobs[label] for label in LABELS)
    except KeyError:
        return "verdict_missing"
    if not (math.isfinite(first) and math.isfinite(second)):
        return "verdict_nan"
    if math.exp(first) + math.exp(second) < MIN_MASS:
        return "verdict_off_menu"
    return first - second
