"""Mean votes become probabilities without a label, on panels whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from critics.ranking.pooling import Counted, PooledVotes, Pooling, factor, kish, pool
from tests.properties import examples

Floats = NDArray[np.float64]


def panel(
    pairs: int, voters: int, rho: float, strength: float, seed: int = 0, sure: float = 1.0
) -> tuple[Floats, Floats]:
    """(truth [pairs], votes [pairs, voters]) of voters that are each calibrated, times `sure`: normal votes, errors correlated."""
    random = np.random.default_rng(seed)
    truth = random.choice([-1.0, 1.0], pairs)
    errors = np.sqrt(rho) * random.standard_normal((pairs, 1)) + np.sqrt(1 - rho) * random.standard_normal(
        (pairs, voters)
    )
    return truth, sure * (truth[:, None] * strength + np.sqrt(2 * strength) * errors)


def counted(votes: Floats) -> list[list[Counted]]:
    return [[Counted(1 / len(row), float(z)) for z in row] for row in votes]


def pooled(votes: Floats) -> Pooling:
    found = pool(counted(votes))
    assert found
    return found


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("voters", [2, 8, 32])
def test_the_correlation_of_errors_is_found_although_the_truth_is_shared(voters: int, rho: float) -> None:
    found = pooled(panel(4000, voters, rho, 0.4)[1])
    assert found.rho == pytest.approx(rho, abs=0.05)
    assert (found.temperature, found.voters) == (1.0, voters)
    assert found.voters_effective == pytest.approx(factor(float(voters), found.rho))


@pytest.mark.parametrize(("voters", "rho"), [(1, 0.0), (8, 0.0), (8, 0.5), (32, 0.1)])
def test_what_is_said_is_what_comes_true(voters: int, rho: float) -> None:
    truth, votes = panel(8000, voters, rho, 0.3)
    logits = pooled(votes).log_odds(votes.mean(1), np.full(len(votes), float(voters)))
    right, said = np.sign(logits) == truth, 1 / (1 + np.exp(-np.abs(logits)))
    for part in np.array_split(np.argsort(said), 5):
        assert right[part].mean() == pytest.approx(said[part].mean(), abs=0.05)


def test_one_voter_is_taken_at_its_word() -> None:
    found = pooled(panel(100, 1, 0.0, 1.0)[1])
    assert (found.rho, found.temperature) == (0.0, 1.0)
    assert found.log_odds(1.25, 1.0) == 1.25


def test_no_pair_is_no_estimate_and_few_say_little() -> None:
    assert pool([]) is None
    assert pool([[], []]) is None
    voters = 16
    few = pooled(np.full((1, voters), 0.1))
    assert 1 < few.voters_effective <= voters**0.5, "agreement on one pair is no proof that they err apart"


def test_voters_that_contradict_each_other_more_than_their_sureness_allows_are_less_sure() -> None:
    _, votes = panel(400, 4, 0.0, 0.5, sure=8.0)
    found = pooled(votes)
    assert found.temperature == pytest.approx(8.0, rel=0.4)
    assert pooled(panel(400, 4, 0.0, 0.5)[1]).temperature == 1.0


@examples(20)
@given(st.integers(0, 1000), st.floats(0, 0.8), st.integers(2, 12))
def test_neither_order_nor_naming_of_the_responses_matters(seed: int, rho: float, voters: int) -> None:
    _, votes = panel(60, voters, rho, 0.5, seed)
    found = pooled(votes)
    random = np.random.default_rng(seed)
    signs = random.choice([-1.0, 1.0], (60, 1))
    other = pooled((signs * votes)[random.permutation(60)][:, random.permutation(voters)])
    assert other.rho == pytest.approx(found.rho, abs=1e-6)
    assert found.log_odds(-1.0, 3.0) == -found.log_odds(1.0, 3.0)
    assert 0 <= found.rho <= 1


@examples(20)
@given(st.integers(0, 1000), st.integers(2, 8))
def test_a_voter_that_repeats_the_others_changes_little(seed: int, voters: int) -> None:
    """As many repeats of the whole panel as there are voters: the mean is the same, and so is what it is worth."""
    _, votes = panel(600, voters, 0.2, 0.4, seed)
    once, twice = pooled(votes), pooled(np.concatenate([votes, votes], axis=1))
    mean = 0.5
    assert twice.log_odds(mean, 2.0 * voters) == pytest.approx(once.log_odds(mean, float(voters)), rel=0.02)


def test_more_of_a_panel_counts_for_more_and_unequal_weights_for_less() -> None:
    assert kish([0.25] * 4) == pytest.approx(4)
    assert kish([0.97, 0.01, 0.01, 0.01]) == pytest.approx(1.06, abs=0.01)
    assert kish([]) == 0
    found = Pooling(0.25, 1.0, 4.0, 2.0, 100)
    assert found.log_odds(1.0, 1.0) == 1.0
    assert found.log_odds(1.0, 2.0) < found.log_odds(1.0, 8.0) < 4.0


def test_memory_is_bounded_and_what_is_kept_is_spread_over_the_run() -> None:
    _, votes = panel(1000, 4, 0.3, 0.4)
    some = PooledVotes(most=300)
    for row in counted(votes):
        some.add(row)
    found = some.pooling()
    assert found
    assert found.pairs == 250
    assert found == pool(counted(votes)[::4])
