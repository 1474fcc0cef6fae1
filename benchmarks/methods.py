"""Each judging method alone, all together by the YAML's weights, and all together by fitted weights, on labelled pairs.

    python -m benchmarks.methods --data LABELLED.jsonl --constitution FILE --config configs/judge.yaml

By the YAML's weights a method is the mean over its principles; the temperature that calibrates it is found on the other folds.
Fitted weights, their order and their stopping are learnt on the other folds too. Calls are kept in --out, as those of
`python -m evaluation judge`, which shows the same panel voter by voter.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

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
    parser.add_argument("--accuracy", default="-", help="what all together, fitted, should reach")
    add_options(parser, PanelSettings)
    options = parser.parse_args(arguments)
    asked = asking.ask(read_options(options, PanelSettings), options.data)
    matrix = asked.matrix
    show("pairs", len(matrix.pairs), f"{len(matrix.voters)} voters", "-")
    show("calls made", asked.calls.made, f"{asked.calls.reused} kept", "-")
    for reason, count in asked.failures.items():
        show(f"missing: {reason}", count, "votes", "0")
    for name, votes in baselines(matrix).items():
        line(name.replace("_", " "), votes[~np.isnan(votes)], "-", calibrated=False)
    methods = {voter.split("/")[-2] for voter in matrix.voters}
    parts = {
        method: matrix.only([voter.split("/")[-2] == method for voter in matrix.voters]) for method in sorted(methods)
    }
    for method, part in {**parts, "all": matrix}.items():
        plain = np.array([asked.yaml_weights[voter] for voter in part.voters])
        line(f"{method}, {len(part.voters)} voters, YAML", crossed(part, fitter("temperature", plain)), "-")
        target = options.accuracy if method == "all" else "-"
        line(f"{method}, {len(part.voters)} voters, fitted", crossed(part, fitter("logistic", plain)), target)
    stop_early(matrix)


def crossed(matrix: VoteMatrix, fit: Fitter) -> Floats:
    """[pairs] logits from the other folds' fit."""
    return cross_validated(matrix, fit, FOLDS, 0).logits


def line(name: str, logits: Floats, target: str, calibrated: bool = True) -> None:
    """One panel's accuracy, its interval and its calibration error."""
    found = accuracy(logits)
    show(name, 100 * found.value, f"% [{100 * found.low:.1f}, {100 * found.high:.1f}]", target)
    if calibrated:
        show("  expected calibration error", ece(logits), "", "<= 0.05")


def stop_early(matrix: VoteMatrix) -> None:
    """What sequential judging saves of the fitted panel's calls, and what it changes."""
    found = cross_validated(matrix, fitter("logistic", np.array([])), FOLDS, 0)
    for error in ERRORS:
        turns = found.early_stopping(matrix, error, 0.0)
        pairs, same = same_labels(found.logits, turns.logits, 0.0)
        show(f"early stopping, error {error}: voters queried", 100 * float(turns.queried.mean()), "%", "-")
        show(f"early stopping, error {error}: same label", 100 * same / max(1, pairs), "%", "-")


if __name__ == "__main__":
    main()
