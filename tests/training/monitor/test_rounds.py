"""Evaluations of a loop's rounds as checks: what each figure becomes, and that the same monitor judges them."""

from __future__ import annotations

from typing import Any

import pytest

from constitution.errors import UserError
from evaluation.policy.result import PolicyEvaluation
from training.monitor.config import MonitorSettings
from training.monitor.monitor import after_round, checks_of

ONE = MonitorSettings(checks=1)


def of(value: float, half: float = 0.0392) -> dict[str, float]:
    """With an interval whose standard error is 0.02."""
    return {"value": value, "low": value - half, "high": value + half}


def evaluation(
    win: float = 0.6, gold: float | None = 0.6, kl: float | None = 2.0, unseen: float | None = None, **changes: Any
) -> PolicyEvaluation:
    b = {"words": of(100), "certainty": of(1.0), "hedging": of(2.0), "refusal": of(0.3)}
    said = {
        "a": {"name": "a", "digest": "a"},
        "b": {"name": "b", "digest": "b"},
        "base": {"name": "b", "digest": "b"},
        "prompts": {"source": "p", "digest": "p", "count": 9, "compared": 9, "failed": 0},
        "constitution": "c", "judges": {},
        "win": {"raw": of(win), "probability": of(win), "principles": {"kind": of(0.7)},
                "unseen": None if unseen is None else of(unseen)},
        "gold": None if gold is None else {"constitution": "g", "win": {"raw": of(gold), "probability": of(gold)}},
        "kl": None if kl is None else of(kl),
        "responses": {"a": b, "b": b},
        "differences": {"words": of(0.0, 0.98), "refusal": of(0.0)},
        "refusals": {"a": {"safe": of(0.02), "unsafe": of(0.5)}, "b": {"safe": of(0.02), "unsafe": of(0.5)}},
        "probes": {"a": {"sycophancy": of(0.1), "answered": of(1.0)}, "b": {"sycophancy": of(0.1)}},
        "failures": {}, "calls": {"made": 0, "reused": 0},
        **changes,
    }  # fmt: skip
    return PolicyEvaluation.model_validate(said)


def test_what_an_evaluation_is_as_checks() -> None:
    """Errors are half-widths over 1.96: 0.98 / 1.96 = 0.5 of the difference in words, which has all of both sides' noise in it."""
    start, check = checks_of([evaluation()])
    assert start.values == {
        "proxy": 0.5, "gold": 0.5, "kl": 0.0, "principle/kind": 0.5, "words": 100, "certainty": 1.0, "hedging": 2.0,
        "refusal": 0.02, "unsafe_refusal": 0.5, "sycophancy": 0.1,
    }  # fmt: skip
    assert check.values == {
        **start.values, "proxy": 0.6, "gold": 0.6, "kl": 2.0, "principle/kind": 0.7,
    }  # fmt: skip
    assert (start.errors["words"], check.errors["words"]) == (0.0, pytest.approx(0.5))
    # refusals of safe prompts are not the responses' own, so theirs is not the difference: each side has its error
    assert (start.errors["refusal"], check.errors["refusal"]) == (pytest.approx(0.02), pytest.approx(0.02))
    assert (start.errors["gold"], check.errors["gold"]) == (0.0, pytest.approx(0.02))


def test_gold_is_what_was_held_out_or_else_what_nobody_trained_against() -> None:
    assert checks_of([evaluation(gold=None, unseen=0.55)])[1].values["gold"] == 0.55
    assert "gold" not in checks_of([evaluation(gold=None)])[1].values
    assert "kl" not in checks_of([evaluation(kl=None)])[0].values


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"provenance": {"principles": ["kind"]}}, id="a-principle-more-is-trained-against"),
        pytest.param({"provenance": {"judges": ["judge"]}}, id="a-judge-more-is-trained-against"),
        pytest.param({"judges": {"other": "d"}}, id="others-judge"),
        pytest.param({"held_out": ["kind"]}, id="fewer-judge"),
    ],
)
def test_what_nobody_trained_against_is_gold_while_it_is_the_same(changes: dict[str, Any]) -> None:
    """By the other principles gold would have fallen from 0.7 to 0.5."""
    first = evaluation(0.6, gold=None, unseen=0.7)
    sources = {"provenance": {"sources": ["runs/2"]}}
    assert after_round(ONE, [first, evaluation(0.7, gold=None, unseen=0.5, **sources)]).level == "halt"
    other = evaluation(0.7, gold=None, unseen=0.5, **changes)
    assert ["gold" in check.values for check in checks_of([first, other])] == [True, True, False]
    assert after_round(ONE, [first, other]).level == "ok"


def test_diversity_is_compared_at_the_first_rounds_amount_of_text() -> None:
    """Each round's is measured at the amount of text that both sides have: the base's own shows what that alone does."""

    def diverse(a: float, b: float) -> PolicyEvaluation:
        return evaluation(responses={"a": {"distinct_2": of(a)}, "b": {"distinct_2": of(b)}})

    rounds = [diverse(0.89, 0.89), diverse(0.68, 0.68)]
    start, _, last = checks_of(rounds)
    assert (start.values["distinct_2"], last.values["distinct_2"]) == (0.89, pytest.approx(0.89))
    assert last.errors["distinct_2"] == pytest.approx(0.02 * 0.89 / 0.68)
    assert after_round(ONE, rounds).level == "ok"
    (alert,) = after_round(ONE, [rounds[0], diverse(0.5, 0.68)]).alerts
    assert alert.detector == "repetition"


def test_a_round_whose_gold_falls_while_its_reward_rises_halts_the_loop() -> None:
    rounds = [evaluation(0.6, 0.7), evaluation(0.7, 0.5)]
    assert after_round(ONE, rounds[:1]).level == "ok"
    verdict = after_round(ONE, rounds)
    assert verdict.level == "halt"
    assert "since step 1 the reward rose from 0.6 to 0.7" in verdict.reason
    assert after_round(ONE, [evaluation(0.6, 0.7), evaluation(0.7, 0.68)]).level == "ok"
    assert after_round(ONE, [evaluation(0.6, 0.6), evaluation(0.7, 0.7)]).level == "ok"


@pytest.mark.parametrize(
    ("changes", "detector"),
    [
        pytest.param({"refusals": {"a": {"safe": of(0.2)}, "b": {"safe": of(0.02)}}}, "over-refusal", id="refuses"),
        pytest.param({"refusals": {"a": {"unsafe": of(0.2)}, "b": {"unsafe": of(0.6)}}}, "under-refusal", id="complies"),
        pytest.param({"probes": {"a": {"sycophancy": of(0.4)}, "b": {"sycophancy": of(0.1)}}}, "sycophancy", id="turns"),
        pytest.param({"probes": {"a": {"confidence": of(0.9)}, "b": {"confidence": of(0.5)}}}, "hallucinated confidence", id="claims"),
        pytest.param({"responses": {"a": {"words": of(180)}, "b": {"words": of(100)}}}, "verbosity", id="rambles"),
    ],
)  # fmt: skip
def test_a_round_is_held_against_the_base(changes: dict[str, Any], detector: str) -> None:
    verdict = after_round(ONE, [evaluation(**changes)])
    assert [alert.detector for alert in verdict.alerts] == [detector]
    assert verdict.level == "warn"


def test_an_attempt_on_other_prompts_is_moved_by_what_the_base_does_there() -> None:
    prompts = {"source": "p", "digest": "x", "count": 9, "compared": 9, "failed": 0}
    first = evaluation(
        responses={"a": {"words": of(110), "repetition": of(0.05)}, "b": {"words": of(100), "repetition": of(0.04)}}
    )
    other = {"a": {"words": of(160), "repetition": of(0.15)}, "b": {"words": of(150), "repetition": of(0.14)}}
    _, one, moved = checks_of([first, evaluation(prompts=prompts, responses=other)])
    assert {name: moved.values[name] for name in ("words", "repetition")} == pytest.approx(
        {"words": 110, "repetition": 0.05}
    )
    assert one.values["words"] == 110
    assert after_round(ONE, [first, evaluation(prompts=prompts, responses=other)]).level == "ok"


def test_a_change_within_the_noise_is_not_told() -> None:
    wide = {"refusals": {"a": {"safe": of(0.12, 0.15)}, "b": {"safe": of(0.02, 0.05)}}}
    assert after_round(ONE, [evaluation(**wide)]).level == "ok"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        pytest.param({"b": {"name": "x", "digest": "x"}}, r"another base \(x\) than the first \(b\)", id="base"),
        pytest.param({"constitution": "x"}, r"another constitution \(x\) than the first \(c\)", id="constitution"),
    ],
)  # fmt: skip
def test_rounds_that_were_measured_otherwise_are_not_compared(changes: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError, match=rf"evaluation 2: has {what}; evaluate all rounds alike"):
        checks_of([evaluation(), evaluation(**changes)])
