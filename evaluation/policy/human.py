"""What people say of some of the compared pairs: the win rate corrected by it, and the sheet that they fill in."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from constitution.errors import Problem, UserError
from critics.transcript import message_text
from evaluation.files import write
from evaluation.policy import winrate as winning
from evaluation.policy.result import Measures
from evaluation.policy.votes import Verdict, agreement
from evaluation.risk.inference import LEAST_LABELS, Corrected, corrected


def by_people(found: Sequence[Verdict], labels: Mapping[str, float], path: Path) -> Corrected:
    """A's win rate, corrected. Raises UserError where no label is of a pair that was compared."""
    outcomes = winning.outcomes([each.logit for each in found])
    known = np.array([each.pair.prompt.id in labels for each in found])
    if not known.any():
        got = f"labels none of the {len(found)} pairs that were compared (as {next(iter(labels))!r})"
        raise UserError(Problem(str(path), "prompt_id", got, fix="take the ids of `--to-label`"))
    human = np.array([labels[each.pair.prompt.id] for each in found if each.pair.prompt.id in labels])
    return corrected(human, outcomes[known], outcomes[~known])


class Groups(NamedTuple):
    """Groups of annotators beside each other."""

    shares: Measures
    """Group -> share of the pairs it labelled on which it prefers A's response."""
    agreement: Measures
    """`one vs other` -> share of pairs, decided by both, on which both prefer the same response; `panel vs one` with the judges."""


def by_group(found: Sequence[Verdict], groups: Mapping[str, Mapping[str, float]], seed: int) -> Groups:
    """Who prefers what. Groups that labelled different pairs may differ in their pairs alone; agreement is of the same ones."""
    if not groups:
        return Groups({}, {})
    prompts = [each.pair.prompt.id for each in found]
    said = {name: [of[prompt] for prompt in prompts if prompt in of] for name, of in groups.items()}
    shares = {name: winning.win_rate(outcomes, seed) for name, outcomes in said.items() if outcomes}
    signs = [
        {"panel": each.logit} | {name: of[prompt] - 0.5 for name, of in groups.items() if prompt in of}
        for each, prompt in zip(found, prompts, strict=True)
    ]
    return Groups(shares, agreement(signs, seed, prompts))


def write_sheet(found: Sequence[Verdict], path: Path, seed: int) -> None:
    """Every compared pair with two responses, in a random order, so that the first rows are a random sample; without verdicts."""
    rows = [each.pair for each in found if each.pair.both]
    random.Random(seed).shuffle(rows)
    lines = []
    for pair in rows:
        assert pair.both
        a, b = (message_text(response.response.message) for response in pair.both)
        prompt = [
            message.model_dump(exclude_defaults=True) | {"role": message.role} for message in pair.prompt.messages
        ]
        row = {"prompt_id": pair.prompt.id, "label": "", "prompt": prompt, "a": a, "b": b}
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    write(path, "".join(lines))


def verdict_of(found: Corrected) -> str:
    """What may be claimed, in a sentence."""
    if not found.typical:
        return (
            "no claim: the judge speaks otherwise of labelled pairs than of the rest, so they were not drawn at random, and their "
            "labels say nothing of the others"
        )
    if found.claim:
        return f"claim: people prefer {found.claim}'s responses, by {found.labels} labels and a judge worth {found.worth:.0f} more"
    if found.labels < LEAST_LABELS:
        return f"not enough labels for a claim: {found.labels}, and at least {LEAST_LABELS} are needed"
    needed = (
        f"about {found.needed:,} would be needed"
        if found.needed
        else "the two are too close for any number to be named"
    )
    return (
        f"not enough labels for a claim: {found.labels}, and the judge is worth {found.worth:.0f} more; if people's share is as "
        f"estimated, {needed}"
    )
