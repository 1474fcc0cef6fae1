"""Panels of recorded judges: what fitting is worth, whether it is calibrated, what early stopping saves, and what agreement tells.

    python -m benchmarks.panel --votes FILE... [--splits 500]

The columns are those of `solon evaluate judge --votes`. Weights, temperature, order and stopping of a pair come from other folds. A
file whose voters match --weaker only in part is shown without them too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.common import show
from constitution.errors import UserError
from evaluation.calibration import calibration
from evaluation.judge.assessment import baselines, best_voter, own_accuracy, unfitted
from evaluation.judge.crossval import cross_validated, out_of_fold, same_labels
from evaluation.judge.fitting import fit_logistic, fitter
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.panels import UNLABELLED, doubtful
from evaluation.judge.recorded import read_recorded
from evaluation.statistics import Floats, accuracy, nll

FOLDS = 10
ERRORS = (0.005, 0.02, 0.05)
"""Probabilities of another label at which asking stops early."""
TARGETS = {"llmbar": ">= 90.5", "llmbar without GPT-4": ">= 80"}
"""Accuracy of the fitted panel, by column."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel", description=__doc__)
    parser.add_argument("--votes", type=Path, nargs="+", default=[], help="recorded votes, as JSONL, plain or .gz")
    parser.add_argument("--cuts", type=int, default=10, help="cuts into ten folds (default: %(default)s)")
    parser.add_argument("--splits", type=int, default=0, help="splits into halves (default: %(default)s)")
    parser.add_argument("--weaker", default="GPT-4", help="also without these voters (default: %(default)s)")
    options = parser.parse_args(arguments)
    for path in options.votes:
        name = path.name.partition(".")[0].removesuffix("_votes")
        matrix, parsing = read_recorded(path)
        show("texts read as recorded", 100 * parsing.agreed / max(1, parsing.recorded), "%", "-", name)
        every(name, matrix, options.cuts, options.splits)
        weaker = matrix.without(options.weaker)
        if 0 < len(weaker.voters) < len(matrix.voters):
            every(f"{name} without {options.weaker}", weaker, options.cuts, options.splits)


def every(name: str, matrix: VoteMatrix, cuts: int, splits: int) -> None:
    """All figures of one panel. name: of their column."""
    show("pairs", len(matrix.pairs), "", "-", name)
    show("voters", len(matrix.voters), "", "-", name)
    rivals(name, matrix)
    fitted(name, matrix, cuts)
    if splits:
        halves(name, matrix, splits)
    stopped(name, matrix, cuts)
    agreeing(name, matrix)


def rivals(name: str, matrix: VoteMatrix) -> None:
    """Those that need no fit, each on its own pairs."""
    found = baselines(matrix)
    best = best_voter(matrix)
    cast = int((~np.isnan(matrix.votes[:, best])).sum())
    percent("best single voter, on its own pairs, in hindsight", found["best_single_voter"], "-", name)
    show("pairs of the best single voter", cast, "", "-", name)
    percent("majority of voters", found["majority_of_voters"], "-", name)
    equal = np.full(len(matrix.voters), 1 / len(matrix.voters))
    percent("unfitted mean", unfitted(matrix, equal), "-", name)


def fitted(name: str, matrix: VoteMatrix, cuts: int) -> None:
    """Ten-fold cross-validation: the first cut, which is the command's default, then the mean over all cuts and their range."""
    logits = [out_of_fold(matrix, partial(fit_logistic, seed=seed), FOLDS, seed) for seed in range(cuts)]
    target = TARGETS.get(name, "-")
    percent("fitted panel: accuracy", logits[0], target, name)
    right = [100 * accuracy(found).value for found in logits]
    show(f"fitted panel: mean and range of {cuts} cuts", float(np.mean(right)), "%", target, name, _range(right))
    show("fitted panel: negative log-likelihood, mean of cuts", float(np.mean([nll(f) for f in logits])), "", "-", name)
    first = calibration(logits[0])
    show("calibration error", first.ece, "", f"<= {first.high:.3f}", name)
    show("calibration error of a calibrated panel: mean", first.expected, "", "-", name)
    show("calibration error of a calibrated panel: 95% quantile", first.high, "", "-", name)
    show("calibration error without what chance adds (RMS)", first.debiased, "", "-", name)
    slope = first.slope
    show("calibration slope", slope.value, "", "1 in the interval", name, (slope.low, slope.high))
    within = [(found := calibration(one)).ece <= found.high for one in logits]
    show("cuts whose calibration error is within that quantile", 100 * float(np.mean(within)), "%", ">= 95", name)


def halves(name: str, matrix: VoteMatrix, splits: int) -> None:
    """Fitted on one random half of the groups, tested on the other; the interval is the middle 95% of the splits."""
    right = []
    groups = np.array(matrix.groups)
    names = np.unique(groups)
    for seed in range(splits):
        chosen = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
        train = np.isin(groups, chosen)
        found = fit_logistic(matrix.votes[train], groups[train].tolist(), seed)
        right.append(100 * accuracy(found.logits(matrix.votes[~train])).value)
    low, high = np.percentile(right, (2.5, 97.5))
    show(f"fitted on one half, {splits} splits", float(np.mean(right)), "%", "-", name, (float(low), float(high)))


def stopped(name: str, matrix: VoteMatrix, cuts: int) -> None:
    """Labels that early stopping changes, on pairs of other folds, over some of the cuts."""
    crossed = [cross_validated(matrix, partial(fit_logistic, seed=s), FOLDS, s) for s in range(min(3, cuts))]
    for error in ERRORS:
        turns = [found.early_stopping(matrix, error, 0.0) for found in crossed]
        counts = [same_labels(c.logits, t.logits, 0.0) for c, t in zip(crossed, turns, strict=True)]
        changed = 100 * (1 - sum(same for _, same in counts) / sum(pairs for pairs, _ in counts))
        asked = 100 * float(np.mean([found.queried.mean() for found in turns]))
        show(f"early stopping, error {error}: labels changed", changed, "%", f"<= {100 * error:g}", name)
        show(f"early stopping, error {error}: voters asked", asked, "%", "-", name)


def agreeing(name: str, matrix: VoteMatrix) -> None:
    """Weights without labels: what they would be worth, and whether they are warned of or refused."""
    for method in UNLABELLED:
        found = fitter(method, np.array([]), 0, matrix.judges)(matrix.votes, matrix.groups)
        percent(f"{method}: accuracy", found.logits(matrix.votes), "majority, a warning or refused", name)
        try:
            warnings = len(doubtful(matrix, method))
        except UserError:
            show(f"{method}: refused", 1, "", "-", name)
        else:
            show(f"{method}: warnings", warnings, "", "-", name)


def percent(figure: str, logits: Floats, target: str, column: str) -> None:
    """One accuracy with its interval, of the pairs that have an answer."""
    found = own_accuracy(logits)
    show(figure, 100 * found.value, "%", target, column, (100 * found.low, 100 * found.high))


def _range(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


if __name__ == "__main__":
    main()
