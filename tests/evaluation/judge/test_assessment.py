"""A panel's baselines, each on its own pairs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from constitution.checks.check import Check
from constitution.principles import Constitution, Principle
from constitution.records import Vote
from critics.ranking.aggregate import RULE_LOG_ODDS, pooled, score
from critics.ranking.pooling import pool
from evaluation.judge.assessment import assess, best_voter, unfitted
from evaluation.judge.matrix import VoteMatrix
from evaluation.judge.panels import Panel

NAN = np.nan


def matrix(votes: NDArray[np.float64]) -> VoteMatrix:
    pairs = tuple(f"pair {i}" for i in range(len(votes)))
    voters = tuple(f"voter {k}" for k in range(votes.shape[1]))
    unknown = np.full(len(votes), NAN)
    return VoteMatrix(pairs, voters, votes, -votes, pairs, ("",) * len(pairs), unknown, unknown)


def partly() -> NDArray[np.float64]:
    """A voter right on 14 of 20 pairs, one right on all of the 10 that it saw, one that saw 1 pair, and was right."""
    votes = np.full((20, 3), NAN)
    votes[:, 0] = [1.0] * 14 + [-1.0] * 6
    votes[10:, 1] = 1.0
    votes[0, 2] = 1.0
    return votes


def test_a_voter_is_measured_on_its_own_pairs() -> None:
    votes = partly()
    panel = Panel("a panel", np.where(np.arange(20) < 12, 1.0, -1.0), np.ones(3), None)
    found = assess(matrix(votes), panel, np.ones(3), 0.01, 0.0)
    voters = {voter.name: voter for voter in found["voters"]}  # type: ignore[attr-defined]
    assert [voters[f"voter {k}"].accuracy.value for k in range(3)] == [0.7, 1.0, 1.0]
    assert [voters[f"voter {k}"].votes for k in range(3)] == [20, 10, 1]


def test_the_best_single_voter_could_label_nearly_all_pairs() -> None:
    assert best_voter(matrix(partly())) == 0
    nearly = partly()
    nearly[2:, 1] = 1.0
    assert best_voter(matrix(nearly)) == 1, "18 of 20 are enough"


def test_where_no_voter_saw_nearly_all_the_panel_is_compared_on_the_best_one_s_pairs() -> None:
    votes = partly()
    votes[:4, 0] = NAN
    assert best_voter(matrix(votes)) == 1, "10 of 10 say more than 1 of 1"
    panel = Panel("a panel", np.where(np.arange(20) < 12, 1.0, -1.0), np.ones(3), None)
    found = assess(matrix(votes), panel, np.ones(3), 0.01, 0.0)
    best, test = found["baselines"]["best_single_voter"], found["comparisons"]["best_single_voter"]  # type: ignore[index]
    assert (best.voter, best.accuracy.value, best.pairs) == ("voter 1", 1.0, 10)
    assert best.panel.value == pytest.approx(0.2), "of the same ten pairs"
    assert (test.only_panel, test.only_other, test.pairs) == (0, 8, 10)


def test_without_a_fit_log_odds_are_those_of_a_run() -> None:
    """Two judged principles and a rule, on 40 pairs: votes are missing, and on one pair the rule is alone."""
    random = np.random.default_rng(1)
    votes = np.column_stack([random.normal(0.3, 0.8, (40, 2)), random.choice([RULE_LOG_ODDS, -RULE_LOG_ODDS, NAN], 40)])
    votes[:9, 0] = NAN
    votes[0] = NAN, NAN, RULE_LOG_ODDS
    names = ("judge/compare/kind", "judge/compare/true", "rule/short")
    unknown, pairs = np.full(40, NAN), tuple(map(str, range(40)))
    found = unfitted(VoteMatrix(pairs, names, votes, -votes, pairs, ("",) * 40, unknown, unknown), np.full(3, 1 / 3))
    laws = Constitution(
        name="laws",
        version=1,
        objectives={"good": 1.0},
        principles=(
            Principle(id="kind", objective="good", text="Be kind."),
            Principle(id="true", objective="good", text="Be true."),
            Principle(id="short", objective="good", text="Be short.", check=Check(max_words=3)),
        ),
    )

    def cast(row: NDArray[np.float64]) -> list[Vote]:
        said = zip(("kind", "true", "short"), ("compare", "compare", "rule"), row.tolist(), strict=True)
        return [Vote("p", "a", "b", name, z, -z, method) for name, method, z in said if z == z]

    scores = [score(cast(row), laws) for row in votes]
    pooling = pool([one.counted for one in scores if one.counted])
    assert pooling
    assert found.tolist() == pytest.approx([pooled(one, pooling).logit for one in scores])
