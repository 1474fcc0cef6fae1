"""Who is sampled: one policy, or several, each of which writes its share of every prompt's samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from constitution.digest import fraction
from constitution.records import Prompt
from generation.models.chat_model import ChatModel


class Policy(NamedTuple):
    """One model that is sampled."""

    model: ChatModel
    name: str = ""
    """Its name in the data and in the ids of its responses; empty where no other is sampled."""
    share: float = 1.0
    """Its part of the samples, beside the shares of the others."""


class Draw(NamedTuple):
    """One sample of a prompt, before it is made."""

    policy: Policy
    number: int
    """Which of that policy's samples of the prompt it is, from 0: its call is found again whoever else is sampled."""


def draws(policies: Sequence[Policy], prompt: Prompt, samples: int, seed: int) -> list[Draw]:
    """Who writes each of the prompt's samples: the policies in their order, each with its own samples in turn.

    Systematic sampling: the shares of the policies are laid end to end in a random order, and a prompt's samples stand on them at
    equal distances from a random start. So each policy writes its share of a prompt's samples, rounded up or down at random, and
    any two of them meet.
    """
    drawn = f"{seed}/{prompt.id}/policies"
    line = sorted(range(len(policies)), key=lambda i: fraction(f"{drawn}/{policies[i].name}"))
    whole = math.fsum(policy.share for policy in policies)
    start, end, taken = fraction(drawn), 0.0, 0
    counts = [0] * len(policies)
    for i in line:
        end += policies[i].share / whole
        upto = samples if i == line[-1] else min(samples, max(taken, math.ceil(samples * end - start)))
        counts[i], taken = upto - taken, upto
    return [Draw(policies[i], number) for i, count in enumerate(counts) for number in range(count)]
