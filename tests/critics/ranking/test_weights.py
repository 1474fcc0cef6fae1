"""Fitted weights: what they make of votes, when asking can stop, and which files are refused."""

import json
import math
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from constitution.errors import UserError
from critics.ranking.weights import (
    Estimate,
    JudgingForm,
    Origin,
    Quality,
    Stopping,
    Weights,
    read_weights,
    refuse_other,
    refuse_other_form,
)

ORIGIN = Origin(constitution="law", judges={"judge": "abc"}, templates="words", judging="soft", data="file", pairs=50)
QUALITY = Quality(accuracy=Estimate(value=0.9, low=0.8, high=0.95), ece=0.02, nll=0.3)
# two independent voters of variance 1, with weights 2 and 1: after the first vote v the full logit is 2 v, give or take 1
TWO = Stopping(order=("strong", "weak"), coefficients=((2.0,), (2.0, 1.0)), spread=(1.0, 1e-6))


def weights(**voters: float) -> Weights:
    return Weights(method="logistic", fitted_on=ORIGIN, voters=voters, temperature=2.0, quality=QUALITY)


def test_the_logit_is_the_weighted_sum_over_the_temperature() -> None:
    panel = weights(good=3.0, wrong=-1.0)
    assert panel.logit({"good": 1.0, "wrong": 2.0}) == pytest.approx((3.0 - 2.0) / 2)
    assert panel.logit({"good": 1.0}) == pytest.approx(1.5), "a missing vote says nothing"
    assert panel.logit({"good": 1.0, "unknown": 9.0}) == pytest.approx(1.5), "nor does a voter without a weight"
    assert panel.share("wrong", 2.0) == pytest.approx(-1.0)


@given(st.dictionaries(st.sampled_from(["good", "wrong", "unknown"]), st.floats(-20, 20)))
def test_exchanging_the_replies_changes_the_sign(votes: dict[str, float]) -> None:
    panel = weights(good=3.0, wrong=-1.0)
    assert panel.logit({name: -vote for name, vote in votes.items()}) == pytest.approx(-panel.logit(votes))


def test_asking_stops_when_the_rest_cannot_change_the_label() -> None:
    # the label changes when the other vote is beyond -2 v: with v = 1.2 that is 2.4 spreads, 0.8% of cases
    assert TWO.settled([1.2], error=0.01)
    assert TWO.settled([-1.2], error=0.01)
    assert not TWO.settled([1.2], error=0.005)
    assert not TWO.settled([0.0], error=0.4)
    assert not TWO.settled([], error=0.4)
    assert TWO.settled([0.0, 0.0], error=0.001), "nobody is left to ask"


def test_under_min_log_odds_there_is_no_label_and_that_can_be_settled_too() -> None:
    # the full logit is 0 give or take 1; with min_log_odds 3 it stays with 99.7%
    assert TWO.settled([0.0], error=0.01, min_log_odds=3.0)
    assert not TWO.settled([0.0], error=0.001, min_log_odds=3.0)
    assert not TWO.settled([1.5], error=0.01, min_log_odds=3.0), "on the border it may go either way"
    assert TWO.settled([3.0], error=0.01, min_log_odds=3.0)


@given(st.floats(-5, 5), st.floats(0.001, 0.49), st.floats(0, 3))
def test_stopping_does_not_see_which_response_is_first(vote: float, error: float, min_log_odds: float) -> None:
    assert TWO.settled([vote], error, min_log_odds) == TWO.settled([-vote], error, min_log_odds)


def test_the_expected_logit_is_linear_in_the_votes() -> None:
    assert TWO.expected([0.5]) == (1.0, 1.0)
    assert TWO.expected([0.5, -1.0]) == (0.0, 1e-6)


def test_a_pair_asked_in_turn_has_the_logit_that_was_expected() -> None:
    panel = weights(strong=4.0, weak=2.0).model_copy(update={"stopping": TWO})
    assert panel.sequential_logit({"strong": 1.2}, error=0.01) == pytest.approx(2.4)
    assert panel.sequential_logit({"strong": 1.2, "weak": -9.0}, error=0.01) == pytest.approx(2.4), "settled before"
    assert panel.sequential_logit({"strong": 0.1, "weak": -1.0}, error=0.01) == pytest.approx(-0.8)
    assert panel.sequential_logit({"weak": -1.0}, error=0.01) == pytest.approx(-1.0), "one that failed counts as 0"
    assert weights(strong=4.0).sequential_logit({"strong": 1.2}, error=0.01) == pytest.approx(2.4), (
        "without an order: all"
    )


@pytest.mark.parametrize(
    "change",
    [{"coefficients": ((1.0,), (1.0,))}, {"coefficients": ((1.0,),)}, {"spread": (1.0,)}, {"spread": (1.0, 0.0)}],
    ids=["short row", "row missing", "spread missing", "no spread"],
)
def test_a_rule_for_stopping_has_a_row_for_each_voter(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"one row of coefficients and one spread|greater than 0"):
        Stopping.model_validate({**TWO.model_dump(), **change})


def test_weights_survive_the_file(tmp_path: Path) -> None:
    panel = weights(good=1 / 3, wrong=-math.pi).model_copy(update={"stopping": TWO})
    path = tmp_path / "weights.json"
    path.write_text(panel.model_dump_json())
    assert read_weights(path) == panel


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 0}, "temperature: got 0; allowed: greater than 0"),
        ({"voters": {}}, "voters: got {}; allowed: 1 or more items"),
        ({"voters": {"x": "NaN"}}, r"voters.x: got 'NaN'; allowed: a finite number"),
        ({"method": "guess"}, "method: got 'guess'; allowed: logistic, temperature, agreement"),
        ({"version": 2}, "version: got 2; allowed: 1"),
        ({"extra": 1}, "extra: unknown key; allowed: fitted_on, method"),
    ],
)
def test_a_file_that_is_no_weights_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({**weights(x=1.0).model_dump(mode="json"), **change}))
    with pytest.raises(UserError, match=message) as caught:
        read_weights(path)
    assert caught.value.problems[0].place == str(path)
    assert str(caught.value).endswith(f"is no file of weights; `python -m evaluation judge --fit {path}` writes one")


def test_every_problem_of_a_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps({**weights(x=1.0).model_dump(mode="json"), "temperature": -1, "version": 3}))
    with pytest.raises(UserError) as caught:
        read_weights(path)
    assert [problem.key for problem in caught.value.problems] == ["version", "temperature", ""]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.json: cannot be read \(No such file or directory\); `python -m"):
        read_weights(tmp_path / "none.json")


def test_weights_of_this_run_are_taken() -> None:
    refuse_other(weights(x=1.0), Path("w.json"), "law", {"judge": "abc"}, "words", "soft")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (("new law", {"judge": "abc"}, "words", "soft"), r"fitted on another constitution law \(this run has new law\); fit again"),
        (("law", {"judge": "xyz"}, "words", "soft"), r"fitted on another judge 'judge' abc \(this run has xyz\)"),
        (("law", {"other": "abc"}, "words", "soft"), r"judge 'judge' abc \(this run has none\), another judge 'other' none"),
        (("law", {"judge": "abc"}, "new", "soft"), r"fitted on another prompt templates words \(this run has new\)"),
        (("law", {"judge": "abc"}, "words", "hard"), r"fitted on another counting of votes \(plan.position_inconsistent, .*\) soft"),
        (("new", {"judge": "x"}, "y", "soft"), r"another constitution .*, another prompt templates .*, another judge 'judge'"),
    ],
    ids=["constitution", "judge", "panel", "templates", "judging", "all"],
)  # fmt: skip
def test_weights_of_another_run_are_refused(run: tuple[str, dict[str, str], str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        refuse_other(weights(x=1.0), Path("w.json"), *run)
    assert "or leave --weights out" in str(caught.value)


@pytest.mark.parametrize(
    ("voters", "refused"),
    [
        (("judge/likelihood/kind", "rule/short"), False),
        (("judge/relevance/kind", "judge/score/kind"), True),
        (("x",), True),
    ],
)
def test_templates_count_where_a_voter_is_asked_by_one(voters: tuple[str, ...], refused: bool) -> None:
    fitted = weights(**dict.fromkeys(voters, 1.0))
    with pytest.raises(UserError, match="prompt templates") if refused else nullcontext():
        refuse_other(fitted, Path("w.json"), "law", {"judge": "abc"}, "other words", "soft")


def test_weights_of_another_form_of_judging_are_refused() -> None:
    forms: dict[str, JudgingForm] = {"judge/compare": "exact", "judge/score": "listed"}
    known = weights(x=1.0)
    fitted = known.model_copy(update={"fitted_on": ORIGIN.model_copy(update={"forms": forms})})
    refuse_other_form(fitted, Path("w.json"), {"judge/compare": "exact"})
    with pytest.raises(
        UserError, match=r"w.json: .*judge/score by a server's list of log-probabilities \(here by what it writes\)"
    ):
        refuse_other_form(fitted, Path("w.json"), {"judge/compare": "exact", "judge/score": "text"})
    with pytest.raises(UserError, match=r"judge/compare by no form that it names \(here by exact log-probabilities\)"):
        refuse_other_form(known, Path("w.json"), {"judge/compare": "exact"})
