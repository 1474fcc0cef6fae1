"""Weights from votes: laws of the fit, what it recovers of a simulated panel, and when asking can stop."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from critics.ranking.kinds import Method
from evaluation.judge.crossval import calibrated_stopping, cross_validated, out_of_fold, same_labels, stop_early
from evaluation.judge.fitting import Fit, fit_agreement, fit_logistic, fit_temperature, fitter, folds, stopping
from evaluation.judge.matrix import VoteMatrix
from evaluation.statistics import accuracy, ece, nll

PAIRS = 300


def panel(pairs: int = PAIRS, seed: int = 0) -> NDArray[np.float64]:
    """Votes for the better response: a good voter, one that is reliably wrong, noise, and a good one on a scale a hundredth as large."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(pairs, 4))
    return np.stack([1 + noise[:, 0], -1 + noise[:, 1], noise[:, 2], 0.01 * (1 + noise[:, 3])], axis=1)


def matrix(votes: NDArray[np.float64], groups: tuple[str, ...] | None = None) -> VoteMatrix:
    pairs = tuple(f"pair {i}" for i in range(len(votes)))
    voters = tuple(f"voter {k}" for k in range(votes.shape[1]))
    nothing = np.full(len(votes), np.nan)
    return VoteMatrix(pairs, voters, votes, -votes, groups or pairs, ("",) * len(pairs), nothing, nothing)


GROUPS = [str(i) for i in range(PAIRS)]


def test_a_voter_that_is_reliably_wrong_has_a_negative_weight() -> None:
    found = fit_logistic(panel(), GROUPS)
    good, wrong, noise, small = found.weights / found.temperature
    # the likelihood ratio of normal votes with means +-1 and variance 1 is 2 v
    assert good == pytest.approx(2, abs=0.6)
    assert wrong == pytest.approx(-2, abs=0.6)
    assert abs(noise) < 0.4
    assert small == pytest.approx(200, abs=60), "the scale of a vote is no measure of its worth"


@pytest.mark.model
def test_the_panel_is_better_than_its_voters_and_calibrated() -> None:
    votes = panel()
    logits = cross_validated(matrix(votes), fit_logistic, 10, seed=0).logits
    best = max(accuracy(votes[:, k]).value for k in range(4))
    assert accuracy(logits).value > best + 0.05
    assert ece(logits) < 0.06


def test_a_panel_that_says_nothing_true_is_not_sure() -> None:
    """20 voters of noise on 60 pairs, which an unpenalised fit would be sure of."""
    noise = np.random.default_rng(1).normal(size=(2, 60, 20))
    found = fit_logistic(noise[0], GROUPS[:60]).logits(noise[1])
    assert (1 / (1 + np.exp(-np.abs(found)))).mean() < 0.6


@pytest.mark.parametrize("method", ["logistic", "temperature", "agreement", "agreement_by_judge"])
def test_exchanging_the_replies_changes_only_the_sign(method: Method) -> None:
    votes = panel()
    found = fitter(method, np.ones(4))(votes, GROUPS)
    np.testing.assert_allclose(found.logits(-votes), -found.logits(votes))


@pytest.mark.parametrize("method", ["logistic", "temperature", "agreement", "agreement_by_judge"])
def test_missing_votes_say_nothing(method: Method) -> None:
    votes = panel()
    votes[::3, 0] = np.nan
    votes[1::3, 1] = np.nan
    votes[:, 2] = np.nan
    found = fitter(method, np.ones(4))(votes, GROUPS)
    assert np.isfinite(found.weights).all()
    assert np.isfinite(found.logits(votes)).all()
    np.testing.assert_allclose(found.logits(votes), found.logits(np.nan_to_num(votes)))


def test_a_pair_turned_round_weighs_the_same() -> None:
    """Which pairs the solver turns round, to see both classes, is of no account."""
    votes = panel(40)
    turned = fit_logistic(votes[::-1], GROUPS[:40][::-1])
    found = fit_logistic(votes, GROUPS[:40])
    np.testing.assert_allclose(turned.weights, found.weights, rtol=1e-2, atol=1e-2)


def test_temperature_keeps_the_weights() -> None:
    votes = panel()
    weights = np.array([50.0, -50.0, 0.0, 0.0])
    found = fit_temperature(votes, GROUPS, weights)
    np.testing.assert_array_equal(found.weights, weights)
    assert found.temperature == pytest.approx(25, rel=0.25), "two voters of likelihood ratio 2 v each"
    assert nll(found.logits(votes)) < min(nll(Fit(weights, t).logits(votes)) for t in (10.0, 60.0))


def test_agreement_needs_no_label() -> None:
    """Turning pairs round at random, which hides the labels, changes no weight."""
    rng = np.random.default_rng(2)
    truth = rng.choice([-1.0, 1.0], size=PAIRS)
    skill = np.array([1.2, 0.8, 0.5, 0.0, -0.6, 1.0])
    votes = skill + rng.normal(size=(PAIRS, 6))
    found, hidden = fit_agreement(votes), fit_agreement(votes * truth[:, None])
    np.testing.assert_allclose(hidden.weights, found.weights)
    assert hidden.temperature == pytest.approx(found.temperature)
    assert accuracy(found.logits(votes)).value > accuracy(votes.sum(1)).value
    assert found.weights[4] < 0 < found.weights[0]
    assert np.argmax(found.weights) == 0


def test_where_the_majority_is_wrong_so_is_agreement() -> None:
    rng = np.random.default_rng(3)
    votes = np.array([1.0, -1.0, -1.0, -1.0]) + 0.7 * rng.normal(size=(PAIRS, 4))
    assert accuracy(fit_agreement(votes).logits(votes)).value < 0.1


def test_agreement_is_no_surer_than_its_voters_agree() -> None:
    """One judge asked by ten methods: an error of its is an error of all."""
    rng = np.random.default_rng(4)
    votes = (0.6 + rng.normal(size=(PAIRS, 1))) + 0.1 * rng.normal(size=(PAIRS, 10))
    found = fit_agreement(votes).logits(votes)
    confidence = (1 / (1 + np.exp(-np.abs(found)))).mean()
    sided = (np.sign(votes) == np.sign(found)[:, None]).mean()
    assert confidence == pytest.approx(sided, abs=0.02)


def test_voters_that_say_nothing_at_all() -> None:
    nothing = np.full((30, 3), np.nan)
    for method in get_args(Method):
        found = fitter(method, np.ones(3))(nothing, GROUPS[:30])
        assert (found.logits(nothing) == 0).all()
    assert len(stopping(nothing, Fit(np.ones(3)), "abc").order) == 3


def test_a_prompt_is_on_one_side_of_every_cut() -> None:
    groups = [str(i // 3) for i in range(60)]
    cut = folds(groups, 10, seed=0)
    assert len(cut) == 10
    assert sorted(i for _, test in cut for i in test) == list(range(60))
    for train, test in cut:
        assert {groups[i] for i in train}.isdisjoint(groups[i] for i in test)
    assert folds(groups, 10, seed=1) != cut


def test_cross_validation_sees_no_label_of_the_prompt_it_judges() -> None:
    """Each of 20 voters speaks on one prompt only, which has two pairs: its worth can be learnt from nothing but these."""
    signs = np.random.default_rng(5).choice([-1.0, 1.0], size=20)
    votes = np.repeat(np.diag(signs), 2, axis=0)
    prompts = tuple(str(i // 2) for i in range(40))

    def mean(votes: NDArray[np.float64], groups: Sequence[str]) -> Fit:
        return Fit(votes.mean(0))

    assert accuracy(cross_validated(matrix(votes, prompts), mean, 10, seed=0).logits).value == 0.5
    assert accuracy(cross_validated(matrix(votes), mean, 10, seed=0).logits).value > 0.8, (
        "as it would be without groups"
    )


def test_the_most_telling_voter_is_asked_first() -> None:
    votes = panel()
    rule = stopping(votes, Fit(np.array([1.0, 0.0, 0.2, 0.0])), ("strong", "mute", "weak", "small"))
    assert rule.order[:2] == ("strong", "weak")
    assert list(rule.spread) == sorted(rule.spread, reverse=True)
    assert rule.spread[-1] < 1e-3, "nothing is open once all are asked"
    last = dict(zip(rule.order, rule.coefficients[-1], strict=True))
    assert last == pytest.approx({"strong": 1.0, "mute": 0.0, "weak": 0.2, "small": 0.0}, abs=1e-3)


def test_what_is_asked_next_is_by_what_it_adds_to_those_asked() -> None:
    """A voter that shares 0.8 with the first leaves 0.36 of its own variance open: 0.36 of the logit's, against 0.2 of another's."""
    rng = np.random.default_rng(3)
    strong, own, other = rng.normal(size=(3, 4000))
    votes = np.stack([strong, 0.8 * strong + 0.6 * own, other], axis=1)
    rule = stopping(votes, Fit(np.array([1.2, 1.0, 0.45])), ("strong", "akin", "other"))
    assert rule.order == ("strong", "akin", "other")
    votes[:, 1] = strong + 0.01 * own
    assert stopping(votes, Fit(np.array([1.2, 1.0, 0.45])), ("strong", "echo", "other")).order == (
        "strong",
        "other",
        "echo",
    )


def test_asking_in_turn_saves_calls_and_errs_no_more_than_stated() -> None:
    """Also on votes of +1, -1 and 0, which are not Gaussian."""
    for votes in (panel(1000), np.sign(np.round(panel(1000)))):
        many = np.concatenate([votes, votes + 0.1 * panel(1000, seed=9)], axis=1)
        crossed = cross_validated(matrix(many), lambda v, g: fit_temperature(v, g, v.mean(0)), 10, seed=0)
        asked, logits = crossed.early_stopping(matrix(many), 0.02, 0.0)
        pairs, same = same_labels(crossed.logits, logits, 0.0)
        assert pairs == 1000
        assert same / pairs >= 0.97
        assert asked.mean() < 0.9


def test_a_voter_of_the_rule_that_did_not_vote_counts_as_asked() -> None:
    votes = panel(20)
    rule = stopping(votes, Fit(np.array([1.0, 1.0, 1.0, 100.0])), "abcd")
    found = stop_early(votes[:, :1], "a", rule, error=1e-9, min_log_odds=0.0)
    np.testing.assert_allclose(found.queried, 1.0)
    np.testing.assert_allclose(found.logits, votes[:, 0], rtol=1e-3, atol=1e-3)


def test_the_same_label_is_asked_beyond_min_log_odds() -> None:
    full = np.array([2.0, -2.0, 0.5, 2.0, 0.0])
    turned = np.array([1.5, 1.5, -3.0, 0.5, 1.0])
    assert same_labels(full, turned, 1.0) == (3, 1)
    assert same_labels(full, turned, 0.0) == (4, 2)


@pytest.mark.parametrize("min_log_odds", [0.0, 0.7])
def test_stopping_early_here_is_what_a_run_does(min_log_odds: float) -> None:
    votes = panel(60)
    rule = stopping(votes, fit_logistic(votes, GROUPS[:60]), "abcd")
    found = stop_early(votes, "abcd", rule, 0.05, min_log_odds)
    for i, row in enumerate(votes.tolist()):
        cast = dict(zip("abcd", row, strict=True))
        values = [cast[voter] for voter in rule.order]
        stop = next(t for t in range(1, 5) if rule.settled(values[:t], 0.05, min_log_odds))
        assert found.queried[i] == stop / 4
        assert found.logits[i] == pytest.approx(rule.expected(values[:stop])[0])


def heavy(pairs: int, seed: int) -> NDArray[np.float64]:
    """68 voters whose votes have heavy tails, and who share a part of their error."""
    rng = np.random.default_rng(seed)
    shared, skill = np.sqrt(0.3) * rng.normal(size=(pairs, 1)), np.random.default_rng(8).normal(0.3, 0.3, 68)
    return skill + shared + 0.6 * rng.standard_t(2.5, size=(pairs, 68))


def test_no_more_labels_change_than_is_stated_where_voters_are_nearly_as_many_as_pairs() -> None:
    """The normal model states too little there, which fresh pairs show."""
    changed: dict[str, list[float]] = {"normal": [], "calibrated": []}
    for seed in range(2):
        votes, fresh, voters = heavy(120, seed), heavy(2000, 50 + seed), [str(k) for k in range(68)]
        found = fit_logistic(votes, GROUPS[:120])
        rules = {
            "normal": stopping(votes, found, voters),
            "calibrated": calibrated_stopping(votes, GROUPS[:120], voters, fit_logistic, found, 0),
        }
        for name, rule in rules.items():
            pairs, same = same_labels(found.logits(fresh), stop_early(fresh, voters, rule, 0.005, 0.0).logits, 0.0)
            changed[name].append(1 - same / pairs)
    assert np.mean(changed["normal"]) > 0.007
    assert np.mean(changed["calibrated"]) <= 0.005


def test_what_a_pair_gets_from_the_other_folds_is_what_cross_validation_says() -> None:
    votes = matrix(panel(60))
    np.testing.assert_array_equal(
        out_of_fold(votes, fit_logistic, 5, 3), cross_validated(votes, fit_logistic, 5, 3).logits
    )


def test_the_seed_decides_the_cut() -> None:
    def plain(votes: NDArray[np.float64], groups: Sequence[str]) -> Fit:
        return fit_temperature(votes, groups, np.ones(4))

    found = [cross_validated(matrix(panel(60)), plain, 5, seed).logits for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_voters_may_be_left_out() -> None:
    whole = matrix(panel(60))
    part = whole.without("[23]$")
    assert part.voters == ("voter 0", "voter 1")
    assert len(fit_logistic(part.votes, part.groups).weights) == 2
