"""The labelled pairs and fitted weights that the demo is shipped with."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from constitution.digest import file_digest
from constitution.loading import load
from critics.controls import load as load_controls
from critics.ranking.aggregate import rule_vote
from critics.ranking.weights import read_weights, refuse_other
from evaluation.audit.overlap import near_duplicates
from evaluation.judge.fitting import fit_logistic
from evaluation.judge.labelled import LabelledPair, read_labelled
from generation import settings
from generation.config import EXAMPLE, RunConfig
from generation.models.files import resolve

ROOT = Path(__file__).resolve().parents[2]
PRINCIPLES = ROOT / "principles"
FITTED, HELD_OUT = (PRINCIPLES / "labelled" / f"{name}.jsonl" for name in ("demo", "demo_held_out"))
VOTES = Path(__file__).parent / "demo_votes.json"
"""Voter -> its votes for the better response on each fitted pair, as the embedded model cast them."""


def pairs(path: Path) -> list[LabelledPair]:
    found, problems = read_labelled(path)
    assert problems == ()
    return found


def test_there_are_enough_pairs_of_every_kind_and_some_of_each_are_held_out() -> None:
    fitted, held_out = (Counter(pair.subset for pair in pairs(path)) for path in (FITTED, HELD_OUT))
    assert fitted.total() + held_out.total() == 238
    assert fitted.keys() == held_out.keys()
    assert all(held_out[kind] * 2 - fitted[kind] in (0, 1) for kind in fitted)
    ids = [pair.id for path in (FITTED, HELD_OUT) for pair in pairs(path)]
    assert len(set(ids)) == 238


@pytest.mark.parametrize("path", [FITTED, HELD_OUT], ids=lambda path: path.stem)
def test_length_does_not_tell_the_better_response(path: Path) -> None:
    longer = [len(pair.better.text) > len(pair.worse.text) for pair in pairs(path)]
    assert 0.4 < np.mean(longer) < 0.6


def test_no_prompt_is_asked_twice_nor_is_one_of_the_controls_or_the_demos() -> None:
    texts = [(pair.id, pair.prompt.messages[-1].content) for path in (FITTED, HELD_OUT) for pair in pairs(path)]
    texts += [(f"control-{i}", control.prompt[-1].content) for i, control in enumerate(load_controls())]
    for line in (PRINCIPLES / "prompts" / "demo.jsonl").read_text(encoding="utf-8").splitlines():
        prompt = json.loads(line)["prompt"]
        texts.append((line, prompt if isinstance(prompt, str) else prompt[-1]["content"]))
    assert len({text for _, text in texts}) == len(texts)
    assert near_duplicates(texts, near=0.9).number == 0


def test_the_shipped_weights_are_those_of_the_shipped_pairs() -> None:
    """The votes of the model are recorded; the rules' are cast here, and the fit is made again."""
    weights, constitution = read_weights(PRINCIPLES / "weights" / "demo.json"), load(PRINCIPLES / "demo.yaml")
    labelled, recorded = pairs(FITTED), json.loads(VOTES.read_text(encoding="utf-8"))
    assert (weights.fitted_on.data, weights.fitted_on.pairs) == (file_digest(FITTED), len(labelled))
    votes: dict[str, list[float]] = dict(recorded)
    for principle in constitution.principles:
        if not principle.judged:
            cast = [rule_vote(pair.prompt, pair.better, pair.worse, principle) for pair in labelled]
            votes[f"rule/{principle.id}"] = [vote.value if vote else math.nan for vote in cast]
    assert votes.keys() == weights.voters.keys()
    matrix = np.array([votes[voter] for voter in sorted(votes)]).T
    again = fit_logistic(matrix, [pair.group for pair in labelled])
    assert dict(zip(sorted(votes), again.weights / again.temperature, strict=True)) == pytest.approx(
        {voter: weight / weights.temperature for voter, weight in weights.voters.items()}, rel=1e-3
    )


def test_the_shipped_weights_fit_the_demos_settings() -> None:
    """What a run refuses, but for the judge, which the next test looks at."""
    path = PRINCIPLES / "weights" / "demo.json"
    weights = read_weights(path)
    config = settings.load(RunConfig, ROOT / "configs" / "demo.yaml", [], example=EXAMPLE)
    judges = weights.fitted_on.judges
    refuse_other(weights, path, load(PRINCIPLES / "demo.yaml").digest, judges, "any", config.plan.judging())
    asked = {"/".join(voter.split("/")[1:]) for voter in weights.voters if voter.startswith("judge/")}
    methods = config.plan.methods_of
    judged = [principle.id for principle in load(PRINCIPLES / "demo.yaml").principles if principle.judged]
    assert asked == {f"{method}/{name}" for name in judged for method in methods.get(name, config.plan.methods)}


@pytest.mark.model
def test_the_shipped_weights_are_the_embedded_models() -> None:
    assert read_weights(PRINCIPLES / "weights" / "demo.json").fitted_on.judges == {"judge": resolve("embedded").digest}
