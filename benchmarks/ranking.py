"""How well 16 candidates are ordered, against the number of comparisons, for each schedule.

    python -m benchmarks.ranking [--tournaments 400] [--plot FILE.png|svg]

True strengths are standard normal. A simulated judge is asked in both orders; with d the difference in strength it answers

    z_ab = SCALE (d + error + noise + BIAS)    z_ba = SCALE (-d - error + other noise + BIAS)

and the vote is (z_ab - z_ba) / 2, as in a run. Every judge's votes are right about 75% of random pairs; SCALE calibrates them.
They differ in where their mistakes come from:

- `half taste`, the headline: half of the variance of the error belongs to the responses (the judge likes one of them more than
  it deserves, whomever it meets, as models like long responses), half to the comparison. A model's log-probabilities do
  not change when it is asked again, so its mistakes are in good part traits of what it reads, not fresh noise. No number of
  comparisons mends taste, so even a random half of them comes close to all: the table shows that beside the schedules.
- `no taste`: every comparison errs on its own. Then n comparisons of one candidate leave the variance 2/n whichever they
  are: halving their number doubles it, and a schedule can win back only what it saves on pairs that are certain. No
  schedule here reaches 0.95 with half for such a judge, nor for the next.
- `constant`: right in 75% of comparisons, however far apart the candidates are; its log-odds are log 3 and noise.

`all` is the full round robin, its comparisons taken in random order. The same votes are given to every schedule, so
differences are paired. The two goals: 0.95 of the round robin's Kendall tau with 60 of its 120 comparisons, and the right best
and worst as often as it with 40.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from benchmarks.common import show
from constitution.records import Message, Response
from critics.ranking.aggregate import Score
from critics.ranking.kinds import Schedule, Strategy
from critics.ranking.select import Pair, propose, strengths

CANDIDATES = [Response(f"r{i:02}", "p", Message(role="assistant", content=str(i)), "given", "") for i in range(16)]
PAIRS = list(combinations([c.id for c in CANDIDATES], 2))
FIRST, SECOND = np.triu_indices(len(CANDIDATES), 1)
MARKS = (8, 16, 22, 32, 40, 48, 60, 80, 120)
LIMIT = 80
"""Where the schedules stop that are not the round robin."""
BIAS = 1.0
SCALE = 0.8
JUDGES = ("half taste", "no taste", "constant")
SCHEDULES: dict[str, tuple[Schedule, Strategy]] = {
    "all, random order": ("all", "all_pairs"),
    "knockout": ("knockout", "all_pairs"),
    "swiss": ("swiss", "all_pairs"),
    "adaptive": ("adaptive", "all_pairs"),
    "adaptive, best-worst": ("adaptive", "best_worst"),
}

Floats = NDArray[np.float64]


class Outcome(NamedTuple):
    """One tournament: of each schedule at each mark."""

    tau: Floats
    """(schedules, marks); NaN where a schedule has stopped."""
    named: Floats
    """1 where the right best and the right worst are named."""
    right: float
    """Share of all votes that are right."""
    flips: float
    """Share of all pairs in which the same position is chosen twice."""


def votes(judge: str, truth: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """The judge's log-odds for the first response shown, of all pairs in both orders."""
    gap = truth[FIRST] - truth[SECOND]
    if judge == "constant":
        seen = np.log(3) * np.sign(gap) * np.where(rng.random(len(gap)) < 0.75, 1, -1)
        noise = 0.5 * rng.standard_normal((2, len(gap)))
        return seen + noise[0] + BIAS, -seen + noise[1] + BIAS
    share = 0.5 if judge == "half taste" else 0.0
    taste = np.sqrt(share) * rng.standard_normal(len(truth))
    seen = gap + taste[FIRST] - taste[SECOND]
    noise = np.sqrt(4 * (1 - share)) * rng.standard_normal((2, len(gap)))
    return SCALE * (seen + noise[0] + BIAS), SCALE * (-seen + noise[1] + BIAS)


def comparisons(scores: dict[Pair, Score], schedule: Schedule, strategy: Strategy, seed: int) -> list[Pair]:
    """The pairs in the order they are asked."""
    if schedule == "all":
        return [PAIRS[i] for i in np.random.default_rng(seed).permutation(len(PAIRS))]
    asked: dict[Pair, Score] = {}
    while len(asked) < LIMIT and (batch := propose(CANDIDATES, asked, strategy, schedule, LIMIT, seed)):
        asked |= {(a.id, b.id): scores[a.id, b.id] for a, b in batch}
    return list(asked)


def tournament(judge: str, seed: int) -> Outcome:
    """All schedules on the same candidates and votes."""
    rng = np.random.default_rng([seed, JUDGES.index(judge)])
    truth = rng.standard_normal(len(CANDIDATES))
    z_ab, z_ba = votes(judge, truth, rng)
    vote = (z_ab - z_ba) / 2
    scores = {pair: Score(float(z), {}, ()) for pair, z in zip(PAIRS, vote, strict=True)}
    order = np.sign(truth[FIRST] - truth[SECOND])
    tau, named = np.full((2, len(SCHEDULES), len(MARKS)), np.nan)
    for row, (schedule, strategy) in enumerate(SCHEDULES.values()):
        asked = comparisons(scores, schedule, strategy, seed)
        for column, mark in enumerate(MARKS):
            if mark <= len(asked):
                ranked = strengths(CANDIDATES, {pair: scores[pair] for pair in asked[:mark]})
                found = np.array([ranked.get(c.id, 0.0) for c in CANDIDATES])
                tau[row, column] = np.mean(order * np.sign(found[FIRST] - found[SECOND]))
                named[row, column] = found.argmax() == truth.argmax() and found.argmin() == truth.argmin()
    return Outcome(tau, named, float(np.mean(np.sign(vote) == order)), float(np.mean(z_ab * z_ba > 0)))


def mean_error(values: Floats) -> tuple[Floats, Floats]:
    """Mean over tournaments (the first axis) and its standard error."""
    return values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))


def report(judge: str, outcomes: Sequence[Outcome]) -> tuple[Floats, Floats]:
    """Print one judge's table and goals; the arrays of (tournaments, schedules, marks)."""
    tau, named = np.stack([o.tau for o in outcomes]), np.stack([o.named for o in outcomes])
    right, flips = np.mean([o.right for o in outcomes]), np.mean([o.flips for o in outcomes])
    print(
        f"\njudge `{judge}`: votes right {right:.1%}, the same position twice {flips:.1%}, {len(outcomes)} tournaments"
    )
    for title, values in (("Kendall tau", tau), ("best and worst named", named)):
        means, errors = mean_error(values)
        print(f"{title:22}" + "".join(f"{mark:>13}" for mark in MARKS))
        for name, mean, error in zip(SCHEDULES, means, errors, strict=True):
            cells = (" " * 13 if np.isnan(m) else f"{m:7.3f} ±{e:.3f}" for m, e in zip(mean, error, strict=True))
            print(f"{name:22}" + "".join(cells))
    half, third = MARKS.index(60), MARKS.index(40)
    full_tau, full_named = tau[:, 0, -1], named[:, 0, -1]
    for row in (3, 2, 0):
        name = [*SCHEDULES][row]
        ratio = tau[:, row, half].mean() / full_tau.mean()
        error = mean_error(tau[:, row, half] - ratio * full_tau)[1] / full_tau.mean()
        show(f"{judge}: tau of {name}, 60 of 120 comparisons", ratio, f"of all ±{error:.3f}", ">= 0.95")
    ahead, error = mean_error(named[:, 4, third] - full_named)
    show(f"{judge}: best-worst by adaptive, 40, less all 120", float(ahead), f"±{error:.3f}", ">= 0")
    return tau, named


def plot(results: dict[str, tuple[Floats, Floats]], path: Path) -> None:
    """One column for each judge: tau above, best and worst below, with two standard errors."""
    figure, axes = plt.subplots(
        2, len(results), figsize=(5 * len(results), 8), sharex=True, sharey="row", squeeze=False
    )
    for column, (judge, arrays) in enumerate(results.items()):
        axes[0, column].set_title(f"judge: {judge}")
        axes[1, column].set_xlabel("comparisons of 16 candidates")
        for axis, values, title in zip(
            axes[:, column], arrays, ("Kendall tau with the truth", "best and worst named"), strict=True
        ):
            means, errors = mean_error(values)
            for name, mean, error in zip(SCHEDULES, means, errors, strict=True):
                axis.errorbar(MARKS, mean, 2 * error, label=name, marker="o", markersize=3, capsize=2)
            goal = means[0, -1] * (0.95 if axis is axes[0, column] else 1.0)
            axis.axhline(goal, color="grey", linestyle=":", label="goal")
            axis.set_ylabel(title)
    axes[0, 0].legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Parse and measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tournaments", type=int, default=400)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    results = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for judge in JUDGES:
            outcomes = pool.map(partial(tournament, judge), range(args.tournaments), chunksize=10)
            results[judge] = report(judge, [*outcomes])
    if args.plot:
        plot(results, args.plot)


if __name__ == "__main__":
    main()
