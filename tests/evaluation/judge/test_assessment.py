"""A panel's baselines, each on its own pairs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.judge.assessment import assess, best_voter
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
