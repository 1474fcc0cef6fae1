"""Judge by likelihood: how much likelier a response is under a principle than under its opposite.

No verdict is asked for, so small models can judge this way, and no position can be preferred. (Contrasting a model's
likelihoods under opposite instructions: RLCD, Yang et al. 2023, arXiv:2307.12950.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from constitution.principles import Principle
from constitution.records import Message, Prompt


def conditions(prompt: Prompt, principle: Principle) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The conversation under the principle, and under its antithesis; without any where it has none."""
    opposite = _under(prompt, principle.antithesis) if principle.antithesis else prompt.messages
    return _under(prompt, principle.text), opposite


def log_likelihood(scores: Sequence[float]) -> float | str:
    """Mean log-probability of a response's tokens, or the reason why there is none: `nothing_scored`, `score_nan`."""
    if not scores:
        return "nothing_scored"
    mean = math.fsum(scores) / len(scores)
    return mean if math.isfinite(mean) else "score_nan"


def _under(prompt: Prompt, text: str) -> tuple[Message, ...]:
    """The conversation with the text in its system message, after what stands there."""
    first = prompt.messages[0]
    if first.role != "system":
        return (Message(role="system", content=text), *prompt.messages)
    return (first.model_copy(update={"content": f"{first.content}\n\n{text}"}), *prompt.messages[1:])
