"""Labels with a stated error, and win rates corrected by human labels, on recorded verdicts.

    python -m benchmarks.stated_error --votes FILE [--votes FILE ...] --wins FILE

Votes: columns as of `python -m evaluation judge --votes`; each set is halved 500 times, the threshold found on one half and the
error seen on the other. Log-odds are out of fold, of all pairs. Wins: rows of `policies`, `judge`, `id`, `human` and `judge_says`
(true, false, or null for a tie); draws with replacement, some of them labelled. The targets of votes are for LLMBar's at 5%, and
for JudgeBench's and PRD's at 10%; the cascade is for LLMBar's.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import show
from evaluation.judge.crossval import out_of_fold
from evaluation.judge.fitting import fitter
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.recorded import read_recorded, two_orders
from evaluation.risk.inference import interval, powered, rogan_gladen
from evaluation.risk.splits import DRAWS, halves
from evaluation.risk.thresholds import labels_by, loosest, rank_steps, step_scales
from evaluation.statistics import Floats

CUTS = 5
CHEAP = r"^(PaLM2|ChatGPT)/(Metrics|Reference|Metrics_Reference|Swap|CoT|Vanilla)$"
STRONG = r"^GPT-4/"
TARGETS = {
    ("llmbar", 0.05, None): "accepted >= 75%",
    ("llmbar", 0.05, 0.9): "accepted >= 45%, over it in <= 12% of halves",
    ("judgebench", 0.1, None): "accepted >= 65%",
    ("prd", 0.1, None): "accepted >= 55%",
}  # fmt: skip
LABELS = (30, 60)
WIN_DRAWS = 2_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stated_error", description=__doc__)
    parser.add_argument("--votes", type=Path, action="append", default=[], help="recorded votes; repeatable")
    parser.add_argument("--wins", type=Path, help="verdicts of people and judges on pairs of policies")
    options = parser.parse_args(arguments)
    for path in options.votes:
        matrix, _ = two_orders(read_recorded(path)[0], path)
        name = path.name.partition("_")[0]
        accepted(name, logits_of(matrix))
        if any(re.search(STRONG, voter) for voter in matrix.voters):
            cascade(name, matrix)
    if options.wins:
        for key, (human, judged) in read_wins(options.wins).items():
            wins(key, human, judged)
        for win, agree in ((0.5, 0.3), (0.5, 0.8), (0.75, 0.0), (0.75, 0.8), (0.9, 0.3), (0.9, 0.8)):
            wins(f"simulated, {win:.0%} wins, judge knows {agree:.0%}", *simulated(win, agree))


def logits_of(matrix: VoteMatrix) -> Floats:
    """[pairs] out of fold, the mean over cuts."""
    fit = fitter("logistic", np.array([]))
    mean: Floats = np.mean([out_of_fold(matrix, fit, 10, seed) for seed in range(CUTS)], axis=0)
    return mean


def accepted(name: str, logits: Floats) -> None:
    """Accepted shares and errors seen."""
    for error in (0.05, 0.1):
        for confidence, test in ((None, "mid-p"), (0.9, "mid-p"), (0.9, "exact")):
            found = halves(logits, error, confidence, "exact" if test == "exact" else "mid-p")
            how = "on average" if confidence is None else f"with 90% confidence, {test}"
            target = TARGETS.get((name, error, confidence), "-") if test == "mid-p" else "-"
            title = f"{name}: {error:.0%} stated {how}"
            show(title, 100 * found.accepted, "%", target, "accepted")
            show(title, 100 * found.error, "%", target, "wrong of them")
            show(title, 100 * found.exceeded, "%", target, "halves over it")


def cascade(name: str, matrix: VoteMatrix, error: float = 0.05) -> None:
    """Some cheap voters first, the strong ones where those are unsure, against asking every voter."""
    cheap = matrix.only([bool(re.search(CHEAP, voter)) for voter in matrix.voters])
    both = matrix.only([bool(re.search(f"{CHEAP}|{STRONG}", voter)) for voter in matrix.voters])
    logits = np.stack([logits_of(cheap), logits_of(both)], axis=1)
    asked = np.array([len(cheap.voters), len(both.voters) - len(cheap.voters)]) / len(matrix.voters)
    generator = np.random.default_rng(0)
    figures = []
    for _ in range(DRAWS):
        order = generator.permutation(len(logits))
        known, other = logits[order[: len(order) // 2]], logits[order[len(order) // 2 :]]
        scales = step_scales(known)
        least = loosest(rank_steps(known / scales), error, None).least
        said = labels_by(other / scales, least)
        wrong = (said[said != 0] < 0).mean() if said.any() else 0.0
        first = labels_by(other[:, :1] / scales[:1], least) != 0
        figures.append(((said != 0).mean(), wrong, asked[0] + asked[1] * (1 - first.mean())))
    share, wrong, calls = np.mean(figures, axis=0)
    whole = halves(logits_of(matrix), error, None).accepted
    title = (
        f"{name}: cascade of {len(cheap.voters)} cheap voters, then {len(both.voters) - len(cheap.voters)} strong ones"
    )
    target = f"calls <= 40% of asking every voter, which accepts {100 * whole:.1f}%"
    show(title, 100 * share, "%", target, "accepted")
    show(title, 100 * wrong, "%", target, "wrong of them")
    show(title, 100 * calls, "%", target, "calls")


def read_wins(path: Path) -> dict[str, tuple[Floats, Floats]]:
    """`policies, judge` -> (people's outcomes, the judge's)."""
    opened = gzip.open if path.suffix == ".gz" else open
    outcome = {True: 1.0, False: 0.0, None: 0.5}
    found = defaultdict(list)
    with opened(path, "rt") as file:
        for row in map(json.loads, file):
            found[f"{row['policies']}, {row['judge']}"].append((outcome[row["human"]], outcome[row["judge_says"]]))
    return {name: (np.array(rows)[:, 0], np.array(rows)[:, 1]) for name, rows in sorted(found.items())}


def simulated(win: float, agree: float, rows: int = 4000) -> tuple[Floats, Floats]:
    """People's outcomes, a tenth ties, and a judge's that knows them sometimes and else says either, 60% of the time A."""
    generator = np.random.default_rng(1)
    human = np.where(generator.random(rows) < 0.1, 0.5, (generator.random(rows) < win).astype(float))
    guess = (generator.random(rows) < 0.6).astype(float)
    return human, np.where(generator.random(rows) < agree, human, guess)


def wins(name: str, human: Floats, judged: Floats) -> None:
    """Coverage of the 95% interval, and the root mean square error against that of the labels alone."""
    truth, size = human.mean(), min(len(human), 400)
    for labels in LABELS:
        generator = np.random.default_rng(0)
        covered, mine, alone, raw, corrections = [], [], [], [], []
        for _ in range(WIN_DRAWS):
            drawn = generator.integers(len(human), size=max(size, labels + 50))
            few, rest = drawn[:labels], drawn[labels:]
            found = powered(human[few], judged[few], judged[rest])
            bounds = interval(found.value, found.variance, labels, labels - 1 - (found.weight > 0))
            covered.append(bounds.low <= truth <= bounds.high)
            mine.append(found.value - truth)
            alone.append(human[few].mean() - truth)
            raw.append(judged[drawn].mean() - truth)
            other = rogan_gladen(human[few], judged[few], judged[rest])
            corrections += [] if other is None else [other.low <= truth <= other.high]
        rms = [float(np.sqrt(np.mean(np.square(errors)))) for errors in (mine, alone, raw)]
        title, target = f"{name}, {labels} labels", "coverage 95 +- 2, error <= 1.00"
        show(title, 100 * float(np.mean(covered)), "%", target, "coverage")
        show(title, rms[0] / rms[1], "", target, "error, of the labels' own")
        show(title, rms[2] / rms[1], "", target, "the judge's own, likewise")
        if corrections:
            show(title, 100 * float(np.mean(corrections)), "%", target, "coverage of Rogan and Gladen, where given")


if __name__ == "__main__":
    main()
