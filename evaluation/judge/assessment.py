"""How far a panel can be trusted on labelled pairs: everything `python -m evaluation judge` reports, and its JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from pydantic import Field

from constitution.records import Strict
from critics.ranking.accept import Acceptance
from critics.ranking.pooling import Counted, pool
from critics.ranking.weights import Estimate, Quality
from evaluation.calibration import Calibration, calibration
from evaluation.judge.batching import BatchAgreement
from evaluation.judge.crossval import EarlyStopping, same_labels
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.panels import Panel
from evaluation.judge.recorded import ParsingSummary
from evaluation.statistics import Floats, accuracy, coverage, mcnemar, nll, quality, reliability, share

WIDE = 0.9
"""Share of the pairs that a voter must have voted on to stand for a voter that could label all of them: on fewer, it may owe its
accuracy to which pairs they are."""


class VoterFigures(Strict):
    """One voter alone."""

    name: str
    """`judge/method/principle`, without the parts that are empty."""
    accuracy: Estimate
    """Of its debiased votes, on the pairs on which it has one; a vote of 0 counts half."""
    weight: float
    """What its vote is multiplied by in the panel's logit."""
    position_inconsistent: float | None
    """Share of its votes, 0 to 1, that chose the same position in both orders; None where it has no vote."""
    bias: float | None
    """Mean log-odds by which it favours the first place; None where it has no vote."""
    votes: int
    """Pairs on which it has a vote."""
    by_subset: dict[str, Estimate] = Field(default_factory=dict)
    """Subset -> its accuracy there, where it has a vote there; empty where there is only one subset."""


class Baseline(Strict):
    """A panel's rival, on the pairs that it has an answer for."""

    accuracy: Estimate
    """A vote of 0 counts half."""
    pairs: int
    """Those that it has an answer for."""
    panel: Estimate
    """Accuracy of the panel on the same pairs."""
    voter: str = ""
    """Name of the voter, where it is one."""


class Comparison(Strict):
    """McNemar's test of the panel against another, on the pairs that both decide."""

    only_panel: int
    """Pairs that only the panel has right."""
    only_other: int
    """Pairs that only the other has right."""
    p: float
    """Two-sided, exact."""
    pairs: int
    """Pairs that both decide: neither logit is 0."""


class Sequential(Strict):
    """Voters asked one after the other, until the rest would not change the label."""

    error: float
    """Largest probability, 0 to 0.5, with which the voters left out may change a label."""
    min_log_odds: float
    """Distance from 0 under which a pair is a tie."""
    queried_share: float
    """Of the voters, on average."""
    pairs: int
    """Those whose full log-odds are at least `min_log_odds` away from 0."""
    same_label: Estimate
    """Share of those pairs that get the same label from the voters asked."""


class Assessment(Strict):
    """Everything that is reported of a panel; logits are for the better response."""

    source: str
    """File of the labelled pairs, or of the recorded votes."""
    data: tuple[str, ...]
    """Digests of the files that the pairs are from."""
    panel: str
    """Whose figures these are."""
    accuracy: Estimate
    """Share of pairs that the panel has right; a logit of 0 counts half."""
    calibration: Calibration
    """Whether the panel is as often right as it says, beside what chance alone would show."""
    nll: float
    """Mean negative log-likelihood of the right answer, in nats."""
    unfitted: Quality
    """As in a run without a fit: the mean vote by the YAML's weights, or by equal ones, pooled."""
    position_inconsistent: float | None
    """Share of votes that chose a position; None where no voter was asked in both orders."""
    mean_bias: float | None
    """Mean log-odds for the first place."""
    by_subset: dict[str, Estimate]
    """Subset -> accuracy in it; empty where there is only one."""
    by_order: dict[str, Estimate]
    """Accuracy of single answers, before debiasing, where the better response is listed `better_first` and `better_second`."""
    coverage: tuple[tuple[float, float], ...]
    """(share of pairs kept, accuracy among them), the surest first."""
    reliability: tuple[tuple[float, float, int], ...]
    """(mean confidence, accuracy, pairs) of each bin of confidence."""
    voters: tuple[VoterFigures, ...]
    """The heaviest first."""
    baselines: dict[str, Baseline]
    """Each on its own pairs. `longer_reply` is left out where the texts are not known. `best_single_voter` is chosen in hindsight,
    which favours it."""
    comparisons: dict[str, Comparison]
    """The panel against each baseline and, with --versus, against another panel."""
    sequential: Sequential | None
    """Early stopping on these pairs; None where the panel has no order of voters."""
    parsing: ParsingSummary | None
    """How the file of recorded votes was read; None where a panel was asked."""
    failures: dict[str, int]
    """Reason -> votes, rows of the file, or voters that are missing for it."""
    acceptance: Acceptance | None = None
    """What can be promised of labels that are sure enough; None where no error is stated."""
    warnings: tuple[str, ...] = ()
    """What makes the figures doubtful."""
    batch: BatchAgreement | None = None
    """Where several principles shared a call: its agreement with one call a principle."""
    pairs: dict[str, float]
    """Pair's name -> log-odds for the better response."""


def baselines(matrix: VoteMatrix) -> dict[str, Floats]:
    """[pairs] of each baseline: above 0 where it has the pair right, 0 where it cannot tell, NaN where it has no answer."""
    found = {"always_first": 2 * matrix.recorded_first - 1}
    if not np.isnan(matrix.longer).all():
        found["longer_reply"] = matrix.longer
    silent = np.isnan(matrix.votes).all(1)
    majority: Floats = np.where(silent, np.nan, np.sign(np.nan_to_num(matrix.votes)).sum(1))
    return found | {"majority_of_voters": majority, "best_single_voter": matrix.votes[:, best_voter(matrix)]}


def best_voter(matrix: VoteMatrix) -> int:
    """Place of the voter with the highest accuracy on its own pairs, among those that voted on at least WIDE of the pairs.

    Where none did, of all, by the lower end of its interval: few pairs are easily all right.
    """
    cast = (~np.isnan(matrix.votes)).mean(0)
    own = [own_accuracy(matrix.votes[:, k]) for k in range(len(matrix.voters))]
    wide = [k for k in range(len(own)) if cast[k] >= WIDE]
    return max(wide, key=lambda k: own[k].value) if wide else max(range(len(own)), key=lambda k: own[k].low)


def own_accuracy(votes: Floats) -> Estimate:
    """Of the votes that there are."""
    return accuracy(votes[~np.isnan(votes)])


def _beside(panel: Floats, other: Floats, voter: str) -> Baseline:
    known = ~np.isnan(other)
    return Baseline(accuracy=accuracy(other[known]), pairs=int(known.sum()), panel=accuracy(panel[known]), voter=voter)


def unfitted(matrix: VoteMatrix, weights: Floats) -> Floats:
    """[pairs] log-odds as of a run without a fit: the mean vote by these weights over the voters that voted, with rules as sure as
    the judged votes beside them, times the effective number of voters."""
    votes = np.nan_to_num(matrix.votes)
    rules = np.array([name.startswith("rule/") for name in matrix.voters])
    shares = ~np.isnan(matrix.votes) * np.abs(weights)
    shares = shares / np.maximum(shares.sum(1, keepdims=True), 1e-12)
    judged = shares * ~rules
    size = (np.abs(votes) * judged).sum(1) / np.maximum(judged.sum(1), 1e-12)
    votes = np.where(rules & (size > 0)[:, None], np.sign(votes) * size[:, None], votes)
    mean: Floats = (shares * votes).sum(1)
    taken = [
        [Counted(w, z) for w, z in zip(*both, strict=True) if w]
        for both in zip(shares[size > 0], votes[size > 0], strict=True)
    ]
    pooling = pool(taken)
    if pooling:
        voters = 1 / np.maximum((shares[size > 0] ** 2).sum(1), 1e-12)
        mean[size > 0] = pooling.log_odds(mean[size > 0], voters)
    return mean


def compared(panel: Mapping[str, float], other: Mapping[str, float]) -> Comparison:
    """Both by the pair's name."""
    names = [name for name in panel if name in other]
    a, b = (np.array([logits[name] for name in names]) for logits in (panel, other))
    decided = (a != 0) & (b != 0)
    only_panel, only_other, p = mcnemar(a[decided], b[decided])
    return Comparison(only_panel=only_panel, only_other=only_other, p=p, pairs=int(decided.sum()))


def sequential(logits: Floats, turns: EarlyStopping, error: float, min_log_odds: float) -> Sequential:
    """logits: [pairs] when every voter is asked."""
    pairs, same = same_labels(logits, turns.logits, min_log_odds)
    asked = float(turns.queried.mean())
    return Sequential(
        error=error, min_log_odds=min_log_odds, queried_share=asked, pairs=pairs, same_label=share(same, pairs)
    )


def voter_figures(matrix: VoteMatrix, weights: Floats) -> tuple[VoterFigures, ...]:
    """The heaviest first, by how far it moves a pair's logit."""
    moved = np.abs(np.nan_to_num(matrix.votes) * weights).mean(0)
    return tuple(
        VoterFigures(
            name=matrix.voters[k],
            accuracy=own_accuracy(matrix.votes[:, k]),
            weight=float(weights[k]),
            position_inconsistent=mean_of(matrix.inconsistent[:, k]),
            bias=mean_of(matrix.biases[:, k]),
            votes=int((~np.isnan(matrix.votes[:, k])).sum()),
            by_subset=by_subset(matrix, matrix.votes[:, k], own_accuracy),
        )
        for k in np.argsort(-moved, kind="stable").tolist()
    )


def by_subset(
    matrix: VoteMatrix, logits: Floats, figure: Callable[[Floats], Estimate] = accuracy
) -> dict[str, Estimate]:
    """Accuracy in each subset that has one; nothing where there is only one subset."""
    names = sorted(set(matrix.subsets))
    if len(names) == 1:
        return {}
    found = {name or "(none)": figure(logits[[subset == name for subset in matrix.subsets]]) for name in names}
    return {name: estimate for name, estimate in found.items() if not np.isnan(estimate.value)}


def by_order(matrix: VoteMatrix) -> dict[str, Estimate]:
    """Each pair counts once, as the mean of its answers: answers on one pair are not independent."""
    right = {"better_first": matrix.better_first, "better_second": -matrix.better_second}
    return {name: _answers(odds) for name, odds in right.items()}


def _answers(odds: Floats) -> Estimate:
    hits = np.where(np.isnan(odds), np.nan, (np.sign(odds) + 1) / 2)
    answered = ~np.isnan(hits).all(1)
    return share(float(np.nanmean(hits[answered], axis=1).sum()) if answered.any() else 0.0, int(answered.sum()))


def assess(matrix: VoteMatrix, panel: Panel, plain: Floats, error: float, min_log_odds: float) -> dict[str, object]:
    """All fields of an Assessment that follow from the votes. plain: [voters] the YAML's weights, or equal ones."""
    others = baselines(matrix)
    logits, pairs = panel.logits, named(matrix.pairs, panel.logits)
    tests = {name: compared(pairs, named(matrix.pairs, other)) for name, other in others.items()}
    names = {"best_single_voter": matrix.voters[best_voter(matrix)]}
    return {
        "accuracy": accuracy(logits),
        "nll": nll(logits),
        "calibration": calibration(logits),
        "panel": panel.title,
        "unfitted": quality(unfitted(matrix, plain)),
        "position_inconsistent": mean_of(matrix.inconsistent),
        "mean_bias": mean_of(matrix.biases),
        "by_subset": by_subset(matrix, logits),
        "by_order": by_order(matrix),
        "coverage": coverage(logits),
        "reliability": reliability(logits),
        "voters": voter_figures(matrix, panel.weights),
        "baselines": {name: _beside(logits, other, names.get(name, "")) for name, other in others.items()},
        "comparisons": {name: test for name, test in tests.items() if test.pairs},
        "sequential": sequential(logits, panel.turns, error, min_log_odds) if panel.turns else None,
        "pairs": pairs,
    }


def named(pairs: Sequence[str], logits: Floats) -> dict[str, float]:
    """Pair's name -> logit."""
    return dict(zip(pairs, np.nan_to_num(logits).tolist(), strict=True))


def mean_of(values: Floats) -> float | None:
    """Of what is there."""
    return None if np.isnan(values).all() else float(np.nanmean(values))
