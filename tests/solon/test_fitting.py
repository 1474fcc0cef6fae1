"""Weights fitted from Python are those of the command, and judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import solon
from critics.ranking.weights import read_weights
from solon.__main__ import main

ROWS = [
    {"prompt": f"What is {n} and {n}?", "chosen": f"It is {2 * n}.", "rejected": "Ask someone else."} for n in range(14)
]
SETTINGS: dict[str, Any] = {"engine": "replay", "plan": {"methods": ["compare", "score"]}}


@pytest.fixture(scope="module")
def weights() -> solon.Weights:
    return solon.run_sync(solon.fit_weights("concise", iter(ROWS), **SETTINGS))


@pytest.mark.model
def test_the_command_fits_the_same(weights: solon.Weights, tmp_path: Path) -> None:
    data, fitted = tmp_path / "pairs.jsonl", tmp_path / "weights.json"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    arguments = [
        "--constitution",
        "concise",
        "--data",
        str(data),
        "--engine",
        "replay",
        "--out",
        str(tmp_path / "calls"),
    ]
    methods = ["--set", "plan.methods=[compare,score]"]
    assert main(["evaluate", "judge", *arguments, *methods, "--fit", str(fitted)]) == 0
    assert read_weights(fitted) == weights
    assert solon.run_sync(solon.fit_weights("concise", data, calls=tmp_path / "calls", **SETTINGS)) == weights


@pytest.mark.model
def test_a_judge_votes_by_them(weights: solon.Weights) -> None:
    asked = ("Say hello.", "Hello!", "No.")
    judgment = solon.run_sync(solon.judge("concise", *asked, weights=weights, **SETTINGS))
    expected = sum(weights.share(vote.voter, vote.value) for vote in judgment.votes)
    assert judgment.log_odds == pytest.approx(expected)


def test_a_run_is_made_with_them(weights: solon.Weights, tmp_path: Path) -> None:
    making = solon.generate_feedback(
        "concise", ["Say hello.", "Say no."], tmp_path / "x", weights=weights, report=False, **SETTINGS
    )
    assert solon.run_sync(making).manifest.digests.weights
    assert read_weights(tmp_path / "x" / "weights.json") == weights


@pytest.mark.parametrize(
    ("constitution", "settings", "message"),
    [
        ("hhh", {}, "fitted on another constitution"),
        ("concise", {"plan": {"methods": ["compare"]}}, "voters have a weight but are not asked"),
    ],
)
def test_they_are_refused_for_something_else(
    constitution: str, settings: dict[str, Any], message: str, weights: solon.Weights
) -> None:
    with pytest.raises(solon.UserError, match=message):
        solon.run_sync(solon.judge(constitution, "Hi.", "a", "b", weights=weights, **{**SETTINGS, **settings}))


def test_too_few_prompts_are_refused() -> None:
    with pytest.raises(solon.UserError, match="3 different prompts are too few to fit weights on"):
        solon.run_sync(solon.fit_weights("concise", ROWS[:3], **SETTINGS))
