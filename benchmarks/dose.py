"""How the effect of the loop grows with the judge's accuracy: the arms, and what is said of the effect.

    python -m benchmarks.dose [--pairs 400] [--rounds 2] [--seeds 6]

A toy that ends in half a minute: the policy is a table of bigrams, gold is known exactly, and everything in between is our own
(soft DPO against the policy at the round's start). A judge of accuracy a prefers what gold prefers with probability a.
"""

from __future__ import annotations

import argparse
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from benchmarks.common import show
from evaluation.pages import plots
from evaluation.statistics import Floats
from training.recipes.losses import dpo

ACCURACIES = (0.5, 0.6, 0.7, 0.85, 1.0)
"""Share of pairs on which a judge agrees with gold; the first is a lottery."""
LEAST_CERTAINTY = 0.6
"""Of a label, so that the lottery is trained as hard as a judge that is a little better."""
PERMUTATIONS = 10_000
TOKENS, LENGTH = 16, 8
STEPS, RATE, BETA = 60, 0.05, 0.1
COMPARED = 4_000
"""Pairs of responses, one of each policy, that a win rate is over."""


class Effect(NamedTuple):
    """What became of the policies of one arm."""

    outcomes: Floats
    """[seeds] what is measured, such as the win rate over the base, 0 to 1."""
    kl: Floats
    """[seeds] in nats of a response."""

    @property
    def error(self) -> float:
        """Standard error of the mean outcome over seeds."""
        return float(self.outcomes.std(ddof=1)) / math.sqrt(len(self.outcomes))


def certainty(accuracy: float) -> float:
    """p_chosen of a judge's labels, where the judge knows its accuracy."""
    return max(accuracy, LEAST_CERTAINTY)


def slope(effects: Mapping[float, Effect], seed: int = 0) -> tuple[float, float]:
    """(rise of the outcome from a lottery to gold's own labels, one-sided p by permutation).

    Each seed's outcomes are dealt out anew among the accuracies; p is the share of deals whose least-squares slope is no smaller.
    """
    x = np.array(list(effects)) - np.mean(list(effects))
    y = np.stack([effect.outcomes for effect in effects.values()])  # [accuracies, seeds]
    found = float(x @ y.mean(axis=1) / (x @ x))
    dealt = np.random.default_rng(seed).permuted(np.repeat(y[None], PERMUTATIONS, axis=0), axis=1)
    slopes = np.einsum("a,pas->p", x, dealt) / y.shape[1] / (x @ x)
    return found / 2, float((1 + np.count_nonzero(slopes >= found - 1e-12)) / (1 + PERMUTATIONS))


def predicted(accuracy: float, kl: float, share: float) -> float:
    """Win rate over the base, where gold and the judge's scores are jointly normal: Φ(ρ share √KL), ρ = sin(π (accuracy - 1/2)).

    share: correlation of what was learnt with the judge, as it comes out where judge and gold are one (`learnt`).
    """
    return float(norm.cdf(math.sin(math.pi * (accuracy - 0.5)) * share * math.sqrt(max(kl, 0.0))))


def learnt(effect: Effect) -> float:
    """The share of `predicted` that gives the win rate which gold's own labels came to."""
    win = float(np.clip(effect.outcomes.mean(), 1e-3, 1 - 1e-3))
    return float(norm.ppf(win)) / math.sqrt(max(float(effect.kl.mean()), 1e-9))


def tell(title: str, effects: Mapping[float, Effect], unit: str, wins: bool) -> None:
    """Every arm's mean with the standard error over seeds, and whether it grows. wins: the outcome is a win rate over the base."""
    share = learnt(effects[1.0]) if wins else 0.0
    for accuracy, effect in effects.items():
        name = f"{title}, judge right in {accuracy:.0%}"
        show(name, 100 * effect.outcomes.mean(), unit, "-", "mean")
        show(name, 100 * effect.error, "points", "-", "standard error over seeds")
        show(name, float(effect.kl.mean()), "nats", "-", "KL")
        if wins:
            show(name, 100 * predicted(accuracy, float(effect.kl.mean()), share), unit, "-", "predicted")
    rise, p = slope(effects)
    show(f"{title}: from a lottery to gold's labels", 100 * rise, "points", "> 0", "rise")
    show(f"{title}: from a lottery to gold's labels", p, "", "< 0.05", "p by permutation")


def picture(effects: Mapping[str, Mapping[float, Effect]]) -> str:
    """SVG of win rates over the base against the judge's accuracy, of each set of prompts, and the curve that is predicted."""
    series: dict[str, list[tuple[float, float]]] = {}
    for title, found in effects.items():
        share = learnt(found[1.0])
        series[title] = [(a, float(effect.outcomes.mean())) for a, effect in found.items()]
        series[f"{title}, 2 standard errors above"] = [(a, y + 2 * found[a].error) for a, y in series[title]]
        series[f"{title}, 2 standard errors below"] = [(a, y - 2 * found[a].error) for a, y in series[title]]
        series[f"{title}, predicted"] = [
            (a, predicted(a, float(effect.kl.mean()), share)) for a, effect in found.items()
        ]
    drawn = plots.line("Win rate over the base", series, "share of labels that are right", "win rate")
    return b64decode(drawn.uri.partition(",")[2]).decode()


def log_probability(policy: Tensor, texts: Tensor) -> Tensor:
    """[texts] of responses [texts, LENGTH] under a table of logits [TOKENS + 1, TOKENS]; its last row begins a response."""
    before = torch.cat([torch.full_like(texts[:, :1], TOKENS), texts[:, :-1]], dim=1)
    return policy.log_softmax(-1)[before, texts].sum(-1)


def sampled(policy: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """[count, LENGTH] responses."""
    token, found = torch.full((count,), TOKENS), []
    for _ in range(LENGTH):
        token = torch.multinomial(policy.softmax(-1)[token], 1, generator=generator)[:, 0]
        found.append(token)
    return torch.stack(found, dim=1)


def loop(accuracy: float, pairs: int, rounds: int, seed: int) -> tuple[float, float]:
    """(win rate over the base by gold, KL to the base) after rounds of sampling, judging and soft DPO."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.randn(TOKENS + 1, TOKENS, generator=generator)
    worth = torch.randn(TOKENS + 1, TOKENS, generator=generator)

    def gold(texts: Tensor) -> Tensor:
        before = torch.cat([torch.full_like(texts[:, :1], TOKENS), texts[:, :-1]], dim=1)
        return worth[before, texts].sum(-1)

    policy = base.clone()
    for _ in range(rounds):
        one, other = sampled(policy, pairs, generator), sampled(policy, pairs, generator)
        right = torch.rand(pairs, generator=generator) < accuracy
        first = (gold(one) > gold(other)) == right
        chosen, rejected = torch.where(first[:, None], one, other), torch.where(first[:, None], other, one)
        policy = learn(policy, chosen, rejected, certainty(accuracy))
    mine, theirs = sampled(policy, COMPARED, generator), sampled(base, COMPARED, generator)
    kl = (log_probability(policy, mine) - log_probability(base, mine)).mean()
    return (gold(mine) > gold(theirs)).float().mean().item(), kl.item()


def learn(policy: Tensor, chosen: Tensor, rejected: Tensor, p: float) -> Tensor:
    """The policy after DPO on one round's pairs; it is its own reference."""
    weights = policy.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=RATE)
    reference = [log_probability(policy, texts) for texts in (chosen, rejected)]
    for _ in range(STEPS):
        ratios = [
            log_probability(weights, texts) - ref for texts, ref in zip((chosen, rejected), reference, strict=True)
        ]
        optimizer.zero_grad()
        dpo(ratios[0], ratios[1], p, BETA).mean().backward()
        optimizer.step()
    return weights.detach()


def toy(pairs: int, rounds: int, seeds: Sequence[int], accuracies: Sequence[float] = ACCURACIES) -> dict[float, Effect]:
    """Each accuracy's effect over the seeds."""
    found = {accuracy: np.array([loop(accuracy, pairs, rounds, seed) for seed in seeds]) for accuracy in accuracies}
    return {accuracy: Effect(values[:, 0], values[:, 1]) for accuracy, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the toy's figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dose", description=__doc__)
    parser.add_argument("--pairs", type=int, default=400, help="that are judged in a round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=6)
    options = parser.parse_args(arguments)
    effects = toy(options.pairs, options.rounds, range(options.seeds))
    tell(f"{options.pairs} pairs, {options.rounds} rounds", effects, "% wins", wins=True)


if __name__ == "__main__":
    main()
