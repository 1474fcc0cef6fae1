"""Votes as arrays."""

import numpy as np
import pytest

from constitution.records import Vote
from evaluation.judge.matrix import VoteMatrix, from_votes


def matrix() -> VoteMatrix:
    votes = [
        Vote("p1", "better", "worse", "kind", 2.0, -1.0),
        Vote("p2", "better", "worse", "kind", 1.0, 1.0),
        Vote("p1", "better", "worse", "kind", -0.5, 0.5, "yesno", "other"),
    ]
    return from_votes(votes, ["p1", "p2"], ["g", "g"], ["s", ""], [1.0, np.nan])


def test_a_vote_is_free_of_the_position() -> None:
    found = matrix()
    assert found.voters == ("judge/compare/kind", "other/yesno/kind")
    np.testing.assert_allclose(found.votes, [[1.5, -0.5], [0.0, np.nan]])
    np.testing.assert_allclose(found.biases, [[0.5, 0.0], [1.0, np.nan]])
    np.testing.assert_allclose(found.inconsistent, [[0.0, 0.0], [1.0, np.nan]])


def test_voters_are_left_out_by_name() -> None:
    left = matrix().without("^other/")
    assert left.voters == ("judge/compare/kind",)
    assert left.votes.shape == left.inconsistent.shape == (2, 1)
    assert left.pairs == ("p1", "p2")
    assert matrix().without("nobody").voters == matrix().voters


def test_whose_votes_a_voter_s_are_is_known() -> None:
    """A rule has no judge behind it: it is one of its own."""
    rule = Vote("p1", "better", "worse", "short", 1.0, -1.0, "rule", "")
    found = from_votes([Vote("p1", "better", "worse", "kind", 2.0, -1.0), rule], ["p1"], ["g"], [""], [0.0])
    assert found.judges == ("judge", "rule/short")
    assert matrix().without("^judge/").judges == ("other",)


def test_who_is_not_there_has_no_vote() -> None:
    found = from_votes([], ["p"], ["g"], [""], [0.0])
    assert found.votes.shape == (1, 0)
    with pytest.raises(KeyError):
        from_votes([Vote("q", "a", "b", "kind", 1.0, -1.0)], ["p"], ["g"], [""], [0.0])
