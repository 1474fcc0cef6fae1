"""A panel of recorded judges: how their texts are read, what fitting their votes is worth, and what early stopping saves.

    python -m benchmarks.panel --votes FILE

The columns are those of `python -m evaluation judge --votes`; the targets are for LLMBar's recorded votes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import show
from evaluation.judge.assessment import baselines, own_accuracy, unfitted
from evaluation.judge.crossval import cross_validated, same_labels
from evaluation.judge.fitting import fitter
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.recorded import read_recorded
from evaluation.statistics import accuracy, ece

ERRORS = (0.02, 0.01, 0.005, 0.002)
"""Probabilities of another label at which querying voters stops early."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.panel", description=__doc__)
    parser.add_argument("--votes", type=Path, required=True, help="recorded votes, as JSONL, plain or .gz")
    parser.add_argument("--cuts", type=int, default=5, help="cuts into ten folds (default: %(default)s)")
    parser.add_argument("--weaker", default="GPT-4", help="also without these voters (default: %(default)s)")
    options = parser.parse_args(arguments)
    matrix, parsing = read_recorded(options.votes)
    show("texts read as recorded", 100 * parsing.agreed / max(1, parsing.recorded), "%", ">= 99.3")
    show("texts read otherwise (evaluation judge lists them)", len(parsing.differing), "texts", "listed")
    show("texts without a verdict", parsing.unread, "texts", "-")
    for name, votes in baselines(matrix).items():
        show(name.replace("_", " "), 100 * own_accuracy(votes).value, "%", "-")
    equal = np.full(len(matrix.voters), 1 / len(matrix.voters))
    show("unfitted mean", 100 * accuracy(unfitted(matrix, equal)).value, "%", "-")
    panel("fitted", matrix, options.cuts, ">= 90")
    panel(f"fitted without {options.weaker}", matrix.without(options.weaker), options.cuts, ">= 80")


def panel(name: str, matrix: VoteMatrix, cuts: int, target: str) -> None:
    """Ten-fold cross-validation: the first cut, which is the command's default, then the spread over all cuts."""
    crossed = [cross_validated(matrix, fitter("logistic", np.array([]), seed), 10, seed) for seed in range(cuts)]
    right = [100 * accuracy(found.logits).value for found in crossed]
    errors = [ece(found.logits) for found in crossed]
    show(f"{name}: accuracy", right[0], "%", target)
    show(f"{name}: mean of {cuts} cuts", float(np.mean(right)), f"{min(right):.1f} to {max(right):.1f}", target)
    show(f"{name}: expected calibration error", errors[0], "", "<= 0.05")
    show(f"{name}: mean of {cuts} cuts", float(np.mean(errors)), f"{min(errors):.3f} to {max(errors):.3f}", "<= 0.05")
    for error in ERRORS:
        turns = [found.early_stopping(matrix, error, 0.0) for found in crossed]
        counts = [same_labels(c.logits, t.logits, 0.0) for c, t in zip(crossed, turns, strict=True)]
        same = 100 * sum(same for _, same in counts) / sum(pairs for pairs, _ in counts)
        show(
            f"{name}: early stopping, error {error}: calls",
            100 * float(np.mean([t.queried.mean() for t in turns])),
            "%",
            "<= 40",
        )
        show(f"{name}: early stopping, error {error}: same label", same, "%", ">= 99")


if __name__ == "__main__":
    main()
