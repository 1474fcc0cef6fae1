"""Policies that end their turn at once: an empty response is lost, counted and told."""

import json
from pathlib import Path

import pytest

from evaluation.policy.result import PolicyEvaluation
from generation.engines.base import Completion, Request
from tests.evaluation.policies import evaluated, said, verdict
from training.loop.gates import Evidence, Gates, judge

GOLD = "name: gold\nversion: 1\nobjectives: {a: 1.0}\nprinciples:\n  - {id: few, objective: a, text: Few., check: {max_words: 9}}\n"


def answers(who: str, request: Request, silent: bool) -> Completion | None:
    """A is silent, or short; B always too long. The judge prefers neither."""
    if request.stage == "sample":
        return said(
            " " if silent else "Short." if who == "a" else "This response goes on for more words than the rules allow."
        )
    return verdict(0.5) if request.labels else None


def test_a_policy_that_says_nothing_loses_everything(tmp_path: Path) -> None:
    """Also by gold and at equal length. What cannot be measured is null, with the reason; a gate rejects it."""
    (tmp_path / "gold.yaml").write_text(GOLD)
    found = evaluated(
        tmp_path, lambda who, request: answers(who, request, who == "a"), "--gold", tmp_path / "gold.yaml",
        "--page", tmp_path / "page.html", "--probes", "small", "--probe-items", "3",
    )  # fmt: skip
    assert found["prompts"]["compared"] == 12
    assert [found["win"][rate]["value"] for rate in ("raw", "controlled")] == [0.0, 0.0]
    assert found["win"]["probability"]["value"] == pytest.approx(0.05)
    assert {rate["value"] for rate in found["win"]["principles"].values()} == {0.0}
    assert found["gold"]["win"]["raw"]["value"] == 0.0
    assert found["agreement"] == {}, "nobody was asked"
    assert (found["kl"], found["kl_missing"]) == (None, "no response of A could be scored; see failures")
    assert found["responses"]["a"].keys() == {"unanswered"}
    assert found["responses"]["a"]["unanswered"]["value"] == 1.0
    assert found["responses"]["b"]["unanswered"]["value"] == 0.0
    assert found["differences"] == {}
    assert found["examples"] == []
    for which in ("A to the prompts", "A to refusals and probes"):
        told = f"100% of the responses of {which} are empty or missing; KL, measures and rates use the rest"
        assert told in found["warnings"]
    evaluation = PolicyEvaluation.model_validate_json(json.dumps(found))
    gates = judge(Gates(), Evidence(evaluation, None, None, None))
    assert [(gate.name, gate.passed) for gate in gates] == [("win", False), ("unanswered", False)]


def test_the_prompts_that_a_policy_answers_are_not_all(tmp_path: Path) -> None:
    """A wins the 2 of 12 that it answers: 17%, not 100%; at equal length no more than that."""

    def script(who: str, request: Request) -> Completion | None:
        return answers(who, request, who == "a" and request.messages[0].content not in ("Question 3?", "Question 7?"))

    found = evaluated(tmp_path, script)
    assert found["win"]["raw"]["value"] == pytest.approx(2 / 12)
    assert found["win"]["controlled"]["value"] < 0.3
    assert found["responses"]["a"]["unanswered"]["value"] == pytest.approx(10 / 12)
    assert found["responses"]["a"]["words"]["value"] == 1.0
    assert len(found["pairs"]) == 12
    assert len(found["examples"]) == 2
    assert any(warning.startswith("83% of the responses of A to the prompts are") for warning in found["warnings"])


def test_two_that_say_nothing_tie(tmp_path: Path) -> None:
    found = evaluated(tmp_path, lambda who, request: answers(who, request, True), "--page", tmp_path / "page.html")
    assert found["win"]["raw"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["responses"]["b"]["unanswered"]["value"] == 1.0
    assert found["failures"] == {"sample: empty": 24}


def test_a_tenth_without_a_reply_passes_without_a_word(tmp_path: Path) -> None:
    """1 of 12."""

    def script(who: str, request: Request) -> Completion | None:
        return answers(who, request, who == "b" and request.messages[0].content == "Question 3?")

    assert not any("missing" in warning for warning in evaluated(tmp_path, script)["warnings"])
