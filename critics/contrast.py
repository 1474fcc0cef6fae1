"""Judge by likelihood: how likely a response is under a principle, or how much likelier than under something else.

No verdict is asked for, so small models can judge this way, and no position can be preferred. (Contrasting a model's
likelihoods under opposite instructions: RLCD, Yang et al. 2023, arXiv:2307.12950. With and without the conversation, pointwise
mutual information: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from constitution.principles import Principle
from constitution.records import Message, Prompt

GREETING = "Hello."
"""Stands for a conversation in which nothing was asked: chat templates want a turn of the user."""


def conditions(prompt: Prompt, principle: Principle) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The conversation under the principle, and under its antithesis; without any where it has none."""
    opposite = _under(prompt, principle.antithesis) if principle.antithesis else prompt.messages
    return _under(prompt, principle.text), opposite


def plain(prompt: Prompt, principle: Principle) -> tuple[tuple[Message, ...]]:
    """The conversation under the principle. Text that is garbled, cut off or false is less likely; stock phrases are likelier."""
    return (_under(prompt, principle.text),)


def relevance(prompt: Prompt, principle: Principle) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The conversation under the principle, and a greeting in its place. What would be said whatever was asked gains nothing."""
    greeting = prompt.model_copy(update={"messages": (Message(role="user", content=GREETING),)})
    return _under(prompt, principle.text), _under(greeting, principle.text)


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
