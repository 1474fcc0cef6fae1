"""Each judging method alone, all together by the YAML's weights, and all together by fitted weights, on labelled pairs.

    python -m benchmarks.methods --data LABELLED.jsonl --constitution FILE --config configs/judge.yaml [--name HHH]

By the YAML's weights a method is the mean over its principles; the temperature that calibrates it is found on the other folds.
Fitted weights, their order and their stopping are learnt on the other folds too. Calls are kept in --out, as those of
`python -m evaluation judge`, which shows the same panel voter by voter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import show
from constitution.options import add_options, read_options
from evaluation.judge import asking
from evaluation.judge.assessment import baselines
from evaluation.judge.crossval import cross_validated, same_labels
from evaluation.judge.fitting import Fitter, fitter
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.settings import PanelSettings
from evaluation.statistics import Floats, accuracy, ece

FOLDS = 10
ERRORS = (0.05, 0.02, 0.01, 0.005)
"""Probabilities of another label at which querying voters stops early."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, or take what is kept, and print every figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--data", required=True, help="labelled pairs")
    parser.add_argument("--name", help="of the pairs, in the table's columns (default: that of the file)")
    parser.add_argument("--accuracy", default="-", help="what all together, fitted, should reach")
    add_options(parser, PanelSettings)
    options = parser.parse_args(arguments)
    asked = asking.ask(read_options(options, PanelSettings), options.data)
    matrix, data = asked.matrix, options.name or Path(options.data).name.partition(".")[0]
    yaml, fitted = f"{data}, YAML", f"{data}, fitted"
    show("pairs", len(matrix.pairs), "", "-", yaml)
    show("voters", len(matrix.voters), "", "-", yaml)
    for reason, count in asked.failures.items():
        show(f"missing: {reason}", count, "votes", "0", yaml)
    for name, votes in baselines(matrix).items():
        line(name.replace("_", " "), votes[~np.isnan(votes)], "-", yaml, calibrated=False)
    methods = {voter.split("/")[-2] for voter in matrix.voters}
    parts = {
        method: matrix.only([voter.split("/")[-2] == method for voter in matrix.voters]) for method in sorted(methods)
    }
    for method, part in {**parts, "all": matrix}.items():
        plain = np.array([asked.yaml_weights[voter] for voter in part.voters])
        name = "all together" if method == "all" else method
        line(name, crossed(part, fitter("temperature", plain)), "-", yaml)
        target = options.accuracy if method == "all" else "-"
        line(name, crossed(part, fitter("logistic", plain)), target, fitted)
    stop_early(matrix, fitted)


def crossed(matrix: VoteMatrix, fit: Fitter) -> Floats:
    """[pairs] logits from the other folds' fit."""
    return cross_validated(matrix, fit, FOLDS, 0).logits


def line(name: str, logits: Floats, target: str, column: str, calibrated: bool = True) -> None:
    """One panel's accuracy, its interval and its calibration error."""
    found = accuracy(logits)
    show(name, 100 * found.value, "%", target, column, (100 * found.low, 100 * found.high))
    if calibrated:
        show(f"{name}: calibration error", ece(logits), "", "<= 0.05", column)


def stop_early(matrix: VoteMatrix, column: str) -> None:
    """What sequential judging saves of the fitted panel's calls, and what it changes."""
    found = cross_validated(matrix, fitter("logistic", np.array([])), FOLDS, 0)
    for error in ERRORS:
        turns = found.early_stopping(matrix, error, 0.0)
        pairs, same = same_labels(found.logits, turns.logits, 0.0)
        show(f"early stopping, error {error}: voters queried", 100 * float(turns.queried.mean()), "%", "-", column)
        show(f"early stopping, error {error}: same label", 100 * same / max(1, pairs), "%", "-", column)


if __name__ == "__main__":
    main()
