"""A panel on pairs whose better response nobody named: how its voters agree, and weights from that."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.console import Console

from constitution.records import Strict
from constitution.terminal import printable
from critics.ranking.kinds import Method
from critics.ranking.weights import Estimate
from evaluation.judge.assessment import mean_of, named
from evaluation.judge.fitting import Fit
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.table import bias, interval, share_or_dash
from evaluation.pages.section import LISTED
from evaluation.statistics import share


class AgreeingVoter(Strict):
    """One voter."""

    name: str
    """`judge/method/principle`, without the parts that are empty."""
    weight: float
    """What its vote is multiplied by in the panel's logit."""
    agreement: Estimate
    """Share of the pairs in which it sides with the panel of the others, by their weights; where it or they take no side, half."""
    position_inconsistent: float | None
    """Share of its votes, 0 to 1, that chose the same position in both orders; None where it has no vote."""
    bias: float | None
    """Mean log-odds by which it favours the first place; None where it has no vote."""


class AgreementReport(Strict):
    """What can be said without labels: nothing here tells how often the panel is right."""

    source: str
    """File of the recorded votes."""
    failures: dict[str, int]
    """Reason -> voters that are missing for it."""
    method: Method
    """How the weights were come by."""
    warnings: tuple[str, ...]
    """What makes the weights doubtful."""
    position_inconsistent: float | None
    """Share of votes that chose a position."""
    mean_bias: float | None
    """Mean log-odds for the first place."""
    voters: tuple[AgreeingVoter, ...]
    """The heaviest first."""
    pairs: dict[str, float]
    """Pair's name -> log-odds of the file's first response."""


def weighed(
    matrix: VoteMatrix, fitted: Fit, source: str, failures: dict[str, int], warnings: Sequence[str], method: Method
) -> AgreementReport:
    """The figures of voters under these weights."""
    votes, logits = np.nan_to_num(matrix.votes), fitted.logits(matrix.votes)
    weights = fitted.weights / fitted.temperature
    voters = []
    for k in np.argsort(-np.abs(weights), kind="stable").tolist():
        both = votes[:, k] * (logits - votes[:, k] * weights[k])
        voters.append(
            AgreeingVoter(
                name=matrix.voters[k],
                weight=float(weights[k]),
                agreement=share(float((both > 0).sum() + 0.5 * (both == 0).sum()), len(both)),
                position_inconsistent=mean_of(matrix.inconsistent[:, k]),
                bias=mean_of(matrix.biases[:, k]),
            )
        )
    return AgreementReport(
        source=source,
        failures=failures,
        method=method,
        warnings=tuple(warnings),
        position_inconsistent=mean_of(matrix.inconsistent),
        mean_bias=mean_of(matrix.biases),
        voters=tuple(voters),
        pairs=named(matrix.pairs, logits),
    )


def show(found: AgreementReport, console: Console) -> None:
    """Print every figure, at most LISTED voters."""
    for reason, count in found.failures.items():
        console.print(f"missing: {printable(reason)} {count}", markup=False)
    for warning in found.warnings:
        console.print(f"warning: {printable(warning)}", markup=False)
    console.print(
        f"{len(found.pairs)} pairs without labels, {len(found.voters)} voters: fitted ({found.method})", markup=False
    )
    console.print(f"position-inconsistent votes: {share_or_dash(found.position_inconsistent)}", markup=False)
    console.print(f"mean position bias, log-odds: {bias(found.mean_bias)}", markup=False)
    console.print("the heaviest voters: agreement with the others, weight, position-inconsistent, bias", markup=False)
    for voter in found.voters[:LISTED]:
        console.print(f"  {printable(voter.name)}", markup=False)
        cells = (
            interval(voter.agreement),
            f"{voter.weight:+.3f}",
            share_or_dash(voter.position_inconsistent),
            bias(voter.bias),
        )
        console.print(
            "".join(f"{cell:>{width}}" for cell, width in zip(cells, (24, 10, 8, 8), strict=True)), markup=False
        )
