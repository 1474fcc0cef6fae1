"""Gates: each on hand-made figures, passed at its limit, failed beyond it, and failed with a reason where the figure is missing."""

import math
from typing import Any

import pytest

from critics.ranking.weights import Estimate
from tests.training.evaluations import evaluation, of, win
from training.loop.gates import Evidence, Gate, Gates, figures, judge


def one(evidence: Evidence | None = None, **gates: Any) -> Gate:
    """The verdict of the one gate that is set."""
    found = evidence or Evidence(evaluation(), evaluation(win=win(0.55)), 0.8, (3, 4))
    (verdict,) = judge(Gates.model_validate({"win": None, "unanswered": None, **gates}), found)
    return verdict


@pytest.mark.parametrize(
    ("name", "limit", "beyond", "reason"),
    [
        pytest.param("win", 0.6, 0.61, "win rate over the base: 60.0% (55.0% to 65.0%); allowed: at least 60.0%", id="win"),
        pytest.param("controlled", 0.5, 0.51, "win rate over the base at equal length: 50.0% (45.0% to 55.0%); allowed: at least 50.0%", id="controlled"),
        pytest.param("gold", 0.7, 0.71, "win rate over the base by the gold constitution: 70.0% (65.0% to 75.0%); allowed: at least 70.0%", id="gold"),
        pytest.param("previous", 0.55, 0.56, "win rate over the round's starting policy: 55.0% (50.0% to 60.0%); allowed: at least 55.0%", id="previous"),
        pytest.param("kl", 2, 1.9, "KL from the base: 2.00 nats (1.50 to 2.50); allowed: at most 2 nats", id="kl"),
        # 50 words against 100
        pytest.param("longest", 0.5, 0.4, "words: 50.0 against 100.0, 0.50 times as many; allowed: at most 0.5 times as many", id="longest"),
        pytest.param("shortest", 0.5, 0.6, "words: 50.0 against 100.0, 0.50 times as many; allowed: at least 0.5 times as many", id="shortest"),
        # 5% - 2% is 0.030000000000000002 in floating point, and three points all the same
        pytest.param("refusal_up", 0.03, 0.02, "refusals of harmless prompts: 5.0% against the base's 2.0%, +3.0 points; allowed: at most 3.0 points more", id="refusal"),
        pytest.param("unsafe_refusal_down", 0.1, 0.09, "refusals of harmful prompts: 50.0% against the base's 60.0%, -10.0 points; allowed: at most 10.0 points fewer", id="unsafe"),
        pytest.param("repetition_up", 0.05, 0.04, "repeated text: 9.0% against the base's 4.0%, +5.0 points; allowed: at most 5.0 points more", id="repetition"),
        # 1 - 0.72 / 0.8
        pytest.param("distinct_down", 0.1, 0.09, "different pairs of words: 0.720 against the base's 0.800, 10.0% lost; allowed: at most 10.0% lost", id="distinct"),
        pytest.param("truncated", 0.1, 0.09, "responses cut at the limit: 10.0%; allowed: at most 10.0%", id="truncated"),
        pytest.param("unanswered", 0.05, 0.04, "responses that are empty or missing: 5.0%; allowed: at most 5.0%", id="unanswered"),
        pytest.param("agreement", 0.8, 0.81, "agreement of reward model and judge on fresh pairs: 80.0%; allowed: at least 80.0%", id="agreement"),
        pytest.param("controls", 0.3, 0.31, "pairs with a known answer that the judge got right: 3 of 4 (30.1% to 95.4%); allowed: at least 30.0%", id="controls"),
    ],
)  # fmt: skip
def test_a_gate_passes_at_its_limit_and_fails_beyond_it(name: str, limit: float, beyond: float, reason: str) -> None:
    found = one(**{name: limit})
    assert (found.name, found.passed, found.reason) == (name, True, reason)
    assert not one(**{name: beyond}).passed


def test_no_gate_is_forgotten() -> None:
    """All that can be set are judged, and none is that is not set."""
    names = sorted({*Gates.model_fields} - {"bound"})
    everything = judge(Gates.model_validate(dict.fromkeys(names, 0.5)), Evidence(evaluation(), None, None, None))
    assert sorted(gate.name for gate in everything) == names
    assert judge(Gates(win=None, unanswered=None), Evidence(evaluation(), None, None, None)) == ()
    assert [gate.name for gate in judge(Gates(), Evidence(evaluation(), None, None, None))] == ["win", "unanswered"]


EMPTY = {"a": {}, "b": {}}
NOTHING = Evidence(
    evaluation(
        win=win(0.6, controlled=None), gold=None, kl=None, kl_missing="a chat server tells no likelihoods",
        responses=EMPTY, refusals=EMPTY,
    ),
    None,
    None,
    (0, 0),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("controlled", "win rate over the base at equal length: is missing (the evaluation could not control for length)"),
        ("gold", "win rate over the base by the gold constitution: is missing (the evaluation has no gold constitution)"),
        ("previous", "win rate over the round's starting policy: is missing (the two policies were not compared)"),
        ("kl", "KL from the base: is missing (a chat server tells no likelihoods)"),
        ("longest", "words: is missing (no words were counted)"),
        ("refusal_up", "refusals of harmless prompts: is missing (no harmless prompts were asked)"),
        ("unsafe_refusal_down", "refusals of harmful prompts: is missing (no harmful prompts were asked)"),
        ("repetition_up", "repeated text: is missing (no repetition was measured)"),
        ("distinct_down", "different pairs of words: is missing (distinct_2 was not measured)"),
        ("truncated", "responses cut at the limit: is missing (cut responses were not counted)"),
        ("unanswered", "responses that are empty or missing: is missing (missing responses were not counted)"),
        ("agreement", "agreement of reward model and judge on fresh pairs: is missing (the round has no reward model with held-out pairs)"),
        ("controls", "pairs with a known answer that the judge got right: is missing (the round has no fresh pairs with control pairs)"),
    ],
)  # fmt: skip
def test_what_is_missing_fails_and_says_why(name: str, reason: str) -> None:
    found = one(NOTHING, **{name: 0.5})
    assert (found.passed, found.value, found.reason) == (False, None, reason)


@pytest.mark.parametrize("name", ["kl", "win"])
def test_a_figure_that_is_no_number_fails(name: str) -> None:
    worst = {"value": math.nan, "low": math.nan, "high": math.nan}
    changes = {"kl": worst} if name == "kl" else {"win": win(0.6, raw=worst)}
    assert not one(Evidence(evaluation(**changes), None, None, None), **{name: 0.5}).passed


def test_a_policy_that_mostly_says_nothing_is_not_kept() -> None:
    """Whatever the rest of its responses win."""
    silent = {"unanswered": of(0.94)}
    found = judge(Gates(), Evidence(evaluation(responses={"a": silent, "b": {}}), None, None, None))
    assert [(gate.name, gate.passed) for gate in found] == [("win", True), ("unanswered", False)]


def test_the_lower_bound_of_a_win_rate() -> None:
    """60% with an interval from 55%: a limit of 56% is passed by the share and not by its bound."""
    assert one(win=0.56).passed
    assert not one(win=0.56, bound="low").passed
    assert one(win=0.55, bound="low").value == pytest.approx(0.55)


def test_fewer_refusals_and_less_repetition_pass_whatever_the_limit() -> None:
    better = {"safe": of(0.0), "unsafe": of(0.9)}
    base = {"safe": of(0.02), "unsafe": of(0.6)}
    evidence = Evidence(evaluation(refusals={"a": better, "b": base}), None, None, None)
    assert one(evidence, refusal_up=0).passed
    assert one(evidence, unsafe_refusal_down=0).passed


def test_figures_have_a_name_each() -> None:
    found = figures(Evidence(evaluation(), evaluation(win=win(0.55)), None, None))
    assert {"win", "controlled", "gold", "previous", "kl", "words", "repetition", "safe_refusal", "unsafe_refusal"} <= {
        *found
    }
    assert found["previous"] == Estimate(**of(0.55))
    assert found["safe_refusal"].value == 0.05
    assert "gold" not in figures(NOTHING)
