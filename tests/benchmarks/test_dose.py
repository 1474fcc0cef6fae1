"""Judges of known accuracy: the toy's effect grows with the accuracy, labels are wrong as often as is said, tasks can be checked."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from benchmarks import dose_response, tasks
from benchmarks.dose import Effect, learnt, predicted, slope, toy
from constitution.checks.check import Check
from tests.benchmarks.commands import in_process, nothing
from tests.training.ppo_small import small_model


@pytest.mark.model
def test_a_policy_gets_better_as_its_judge_gets_better() -> None:
    effects = toy(pairs=160, rounds=1, seeds=range(6), accuracies=(0.5, 0.7, 1.0))
    lottery, middling, gold = (effect.outcomes for effect in effects.values())
    error = lottery.std(ddof=1) / np.sqrt(len(lottery))
    assert abs(lottery.mean() - 0.5) <= t.ppf(0.975, len(lottery) - 1) * error
    assert lottery.mean() < middling.mean() < gold.mean()
    assert gold.mean() > 0.75
    assert slope(effects)[1] < 0.05


def test_no_effect_has_no_slope() -> None:
    generator = np.random.default_rng(3)
    flat = {accuracy: Effect(generator.normal(0.5, 0.05, 5), np.ones(5)) for accuracy in (0.5, 0.7, 0.85, 1.0)}
    assert slope(flat)[1] > 0.05
    rising = {accuracy: Effect(effect.outcomes + 0.4 * accuracy, effect.kl) for accuracy, effect in flat.items()}
    rise, p = slope(rising)
    assert rise == pytest.approx(slope(flat)[0] + 0.2)
    assert p < 0.01


def test_the_predicted_curve_meets_its_ends() -> None:
    gold = Effect(np.array([0.8, 0.9]), np.array([3.0, 5.0]))
    assert predicted(1.0, 4.0, learnt(gold)) == pytest.approx(0.85)
    assert predicted(0.5, 4.0, learnt(gold)) == pytest.approx(0.5)
    assert 0.5 < predicted(0.7, 4.0, learnt(gold)) < 0.85


def test_a_judge_is_right_as_often_as_is_said() -> None:
    pair = {"prompt": "?", "chosen": "good", "rejected": "bad", "chosen_truncated": False, "rejected_truncated": True}
    found = dose_response.judged([pair] * 1000, 0.85, seed=1)
    assert {row["p_chosen"] for row in found} == {0.85}
    right = [row for row in found if row["chosen"] == "good"]
    assert len(right) == pytest.approx(850, abs=3 * np.sqrt(1000 * 0.85 * 0.15))
    assert all(row["rejected_truncated"] is (row["chosen"] == "good") for row in found)
    assert dose_response.judged([pair] * 9, 1.0, seed=1) == [{**pair, "p_chosen": 1.0}] * 9
    assert {row["p_chosen"] for row in dose_response.judged([pair], 0.5, seed=1)} == {0.6}


def test_tasks_can_be_checked_and_held_out_ones_are_others(tmp_path: Path) -> None:
    tasks.write(tmp_path, 60, 24)
    rows = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()] for path in tmp_path.glob("*.jsonl")
    }
    assert {name: len(found) for name, found in rows.items()} == {"train": 60, "held_out": 24, "other_kinds": 24}
    every = [row for found in rows.values() for row in found]
    assert len({row["prompt"] for row in every}) == len(every)
    for row in every:
        assert isinstance(row["answer"], int) if row["kind"] == tasks.SUM else Check.model_validate(row["rules"])
    kinds = {name: {row["kind"] for row in found} for name, found in rows.items()}
    assert kinds["train"] == kinds["held_out"] == {*tasks.TRAINED, tasks.SUM}
    assert kinds["other_kinds"].isdisjoint(kinds["train"])


@pytest.mark.model
def test_the_whole_runs_and_goes_on_from_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dose_response, "ACCURACIES", (0.5, 1.0))
    monkeypatch.setattr(dose_response, "HELD", {"other_kinds": "other kinds of instructions"})
    # what the replay engine writes keeps this rule now and then
    some = {"some": lambda dice: (f" Say it in {dice.randint(1, 10_000)} ways.", {"must_match": "(?i)^.{14}[a-m]"})}
    monkeypatch.setattr(tasks, "TRAINED", some)
    small = {"batch_size": 4, "micro_batch_size": 4, "epochs": 0.1, "precision": "fp32", "max_length": 256}
    given = ["--model", str(small_model(tmp_path / "model")), "--engine", "replay", "--out", str(tmp_path / "out")]
    given += ["--prompts", "48", "--held-out", "12", "--seeds", "2", "--max-tokens", "32"]
    given += [word for name, value in small.items() for word in ("--dpo", f"{name}={value}")]
    dose_response.main(given, in_process)
    said = capsys.readouterr().out
    assert said.count("policy 100-") == 2
    assert said.count("evaluation other_kinds") == 4
    assert "other kinds of instructions: from a lottery to gold's labels" in said
    dose_response.main(given, nothing)
    assert capsys.readouterr().out.count("done before") == 1 + 4 + 4
