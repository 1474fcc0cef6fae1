"""A reward model that is trained once, and one that is renewed on the policy's own responses: what each is worth by gold, and how
far the policy's texts are from those that the reward model has seen.

    python -m benchmarks.renewed [--seeds 5]

Policies of `benchmarks.phrases` are trained by REINFORCE against a linear Bradley-Terry model (facts that are wanted, other facts,
repetition, how often each other phrase stands there), fitted to pairs that gold labels. Most of these phrases are rare before
training, so the model knows little of them, and the policy finds those that it likes by chance. Renewed, it is fitted anew to pairs
of the present policy, with those before. A text is outlying where its Mahalanobis distance from the model's training texts is
beyond that of 95% of them, in the same features (Lee et al. 2018, arXiv:1807.03888). Half a minute of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks import phrases
from benchmarks.common import show
from evaluation.policy.winrate import fit
from evaluation.statistics import Floats

STEPS, EVERY = 120, 20
PAIRS = 80
"""Labelled before training, and each time that the model is renewed."""
PROMPTS, SAMPLES = 32, 8
RATE, KL = 0.08, 0.02
FRESH = 1_000
USUAL = 0.95


class Course(NamedTuple):
    """At the start, and after each EVERY steps."""

    gold: list[float]
    proxy: list[float]
    outlying: list[float]
    """Share of texts that are unlike the reward model's."""


def features(tokens: phrases.Tokens, wanted: phrases.Wanted) -> Floats:
    """[n, m]: what the reward model reads."""
    facts, others = phrases.counted(tokens)
    mine = (facts * wanted).sum(1), (facts * ~wanted).sum(1), phrases.amount("repetition", tokens)
    return np.column_stack([*mine, others])


class RewardModel:
    """Linear in the features of its pairs, and what it has seen."""

    def __init__(self) -> None:
        self._differences, self._won, self.seen = list[Floats](), list[Floats](), list[Floats]()
        self.weights: Floats = np.zeros(0)

    def learn(self, policy: phrases.Policy, asked: phrases.Prompts, chance: np.random.Generator) -> None:
        """Label PAIRS of the policy's responses by gold, and fit all pairs so far."""
        wanted = asked.wanted[chance.integers(0, len(asked.topics), PAIRS)]
        sides = [policy.sample(chance.random((PAIRS, phrases.LENGTH))) for _ in range(2)]
        read = [features(side, wanted) for side in sides]
        better = np.sign(phrases.gold(sides[0], wanted) - phrases.gold(sides[1], wanted))
        self._differences.append(read[0] - read[1])
        self._won.append(0.5 + 0.5 * better)
        self.seen += read
        differences = np.concatenate(self._differences)
        found = fit(np.concatenate(self._won), differences, np.ones((1, len(differences))))
        self.weights = found[0, 1:]

    def outlying(self, read: Floats) -> float:
        """Share of texts further from those seen than USUAL of these are."""
        seen = np.concatenate(self.seen)
        spread = np.linalg.pinv(np.cov(seen.T) + 1e-6 * np.eye(seen.shape[1]))
        far, usual = (np.einsum("ij,jk,ik->i", x - seen.mean(0), spread, x - seen.mean(0)) for x in (read, seen))
        return float((far > np.quantile(usual, USUAL)).mean())


def train(seed: int, renewed: bool) -> Course:
    """One policy."""
    chance = np.random.default_rng(seed)
    policy, adam, model = phrases.Policy(chance), phrases.Adam(RATE), RewardModel()
    asked, fresh = (phrases.prompts(count, chance) for count in (200, FRESH))
    model.learn(policy, asked, chance)
    course = Course([], [], [])
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            written = policy.sample(chance.random((FRESH, phrases.LENGTH)))
            read = features(written, fresh.wanted)
            course.gold.append(float(phrases.gold(written, fresh.wanted).mean()))
            course.proxy.append(float((read @ model.weights).mean()))
            course.outlying.append(model.outlying(read))
            if renewed and step:
                model.learn(policy, asked, chance)
        places = chance.integers(0, len(asked.topics), PROMPTS).repeat(SAMPLES)
        tokens = policy.sample(chance.random((len(places), phrases.LENGTH)))
        paid = features(tokens, asked.wanted[places]) @ model.weights
        paid = (paid / max(1e-9, float(paid.std())) - KL * policy.nats(tokens)).reshape(PROMPTS, SAMPLES)
        adam.step(policy, tokens, (paid - paid.mean(1, keepdims=True)).reshape(-1))
    return course


def main(given: Sequence[str] | None = None) -> None:
    """Both on the same seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args(given).seeds)
    last: dict[bool, list[float]] = {}
    for renewed, name in ((False, "frozen"), (True, "renewed")):
        runs = [train(seed, renewed) for seed in seeds]
        last[renewed] = [run.gold[-1] for run in runs]
        for what, of in (("gold", "gold"), ("texts unlike the reward model's", "outlying")):
            every = np.array([getattr(run, of) for run in runs])
            course = " ".join(f"{value:.2f}" for value in every.mean(0))
            title = f"{name} reward model: {what} at the end, {len(runs)} seeds"
            show(
                title,
                float(every[:, -1].mean()),
                "",
                "report",
                interval=_interval(every[:, -1]),
                note=f"every {EVERY} steps: {course}",
            )
            print(f"  every {EVERY} steps: {course}")
    gain = np.subtract(last[True], last[False])
    show("gold of the renewed less that of the frozen", float(gain.mean()), "", "> 0", interval=_interval(gain))


def _interval(values: Floats) -> tuple[float, float]:
    """By Student's t over seeds."""
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return float(values.mean()) - half, float(values.mean()) + half


if __name__ == "__main__":
    main()
