"""Judges of known accuracy: the toy's effect grows with the accuracy, labels are wrong as often as is said, tasks can be checked."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from scipy.stats import t

from benchmarks import dose_arms, dose_response, dose_reward, tasks
from benchmarks.dose import Effect, learnt, picture, predicted, slope, toy
from benchmarks.dose_arms import judged
from benchmarks.dose_policy import Batch, Policy, batches, learn
from benchmarks.dose_response import passes
from constitution.checks.check import Check
from tests.drawn import DRAW
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


def test_the_picture_has_a_line_for_each_set_and_for_what_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Axes, "draw", DRAW)
    effects = {a: Effect(np.array([0.5, 0.3 + a / 2]), np.array([1.0, 2.0])) for a in (0.5, 0.7, 1.0)}
    drawn = picture({"held-out prompts": effects, "other kinds": effects})
    assert drawn.startswith(("<?xml", "<svg"))
    assert drawn.count('id="line2d_') > picture({"held-out prompts": effects}).count('id="line2d_')
    for name in ("held-out prompts, predicted", "other kinds, 2 standard errors above"):
        assert name in drawn


def test_a_judge_is_right_as_often_as_is_said() -> None:
    given = [Batch(None, None, torch.zeros(size, 2)) for size in (8, 8, 4)]  # type: ignore[arg-type]
    found = {accuracy: judged(given, accuracy, seed=1) for accuracy in (0.5, 0.85, 1.0)}
    assert [int((signs > 0).sum()) for signs in found.values()] == [10, 17, 20]
    assert not ((found[0.5] > 0) & (found[0.85] < 0)).any()
    assert not torch.equal(found[0.85], judged(given, 0.85, seed=2))


def test_tasks_can_be_checked_and_held_out_ones_are_others(tmp_path: Path) -> None:
    tasks.write(tmp_path, 60, 24)
    rows = {path.stem: dose_response.read_rows(path) for path in tmp_path.glob("*.jsonl")}
    assert {name: len(found) for name, found in rows.items()} == {"train": 60, "held_out": 24, "other_kinds": 24}
    every = [row for found in rows.values() for row in found]
    assert len({row["prompt"] for row in every}) == len(every)
    for row in every:
        assert isinstance(row["answer"], int) if row["kind"] == tasks.SUM else Check.model_validate(row["rules"])
    kinds = {name: {row["kind"] for row in found} for name, found in rows.items()}
    assert kinds["train"] == kinds["held_out"] == {*tasks.TRAINED}
    assert kinds["other_kinds"] == {*tasks.HELD, tasks.SUM}
    asks = {"prompt": "?", "rules": {"min_words": 4, "ends_with": "?"}}
    assert passes(asks, "Do you like it?")
    assert not passes(asks, "Really?")
    assert passes({"prompt": "2 + 2", "answer": 4}, "It is 4.")


@pytest.mark.model
def test_a_packed_prompt_gives_what_each_response_gives_alone_and_the_better_one_is_learnt(tmp_path: Path) -> None:
    policy = Policy(str(small_model(tmp_path / "model", num_hidden_layers=3)), upper=1, rank=4)
    prompts = ["Say it.", "Say a longer thing."]
    replies = policy.sample(prompts, 2, 6, seed=3)
    rows = policy.rows(prompts, replies)
    for name, weight in policy.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = policy.above(policy.below(rows), rows).tolist()
    alone = []
    for text, two in zip(prompts, replies, strict=True):
        for reply in two:
            asked = policy.prompt(text)
            ids = torch.tensor([[*asked, *reply.tokens]])
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                logits = policy.model(ids).logits[0, len(asked) - 1 : -1].float()
            alone.append(float(logits.log_softmax(-1)[range(len(reply.tokens)), list(reply.tokens)].sum()))
    assert found == pytest.approx(alone, rel=0.01)
    given = batches(policy, prompts, replies, size=2)
    for sign in (1.0, -1.0):
        learn(policy, given * 12, torch.full((24,), sign), 1.0, rate=0.05, beta=0.1, seed=0)
        with torch.no_grad():
            ratios = policy.above(given[0].hidden, given[0].rows).view(-1, 2) - given[0].reference
        assert (sign * (ratios[:, 0] - ratios[:, 1]) > 0.5).all()


@pytest.mark.model
def test_the_whole_learns_and_goes_on_from_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dose_arms, dose_response):
        monkeypatch.setattr(module, "ACCURACIES", (0.5, 1.0))
    # what a random model writes keeps this rule now and then
    some = {"some": lambda dice, _: (f" Say it in {dice.randint(1, 10_000)} ways.", {"must_match": "(?i)^.{0,9}[a-m]"})}
    monkeypatch.setattr(tasks, "TRAINED", some)
    monkeypatch.setattr(tasks, "LEAST_WORDS", 1)
    given = ["--model", str(small_model(tmp_path / "model")), "--out", str(tmp_path / "out"), "--prompts", "24"]
    given += ["--held-out", "8", "--seeds", "2", "--max-tokens", "8", "--layers", "1", "--rate", "0.03"]
    dose_response.main(given)
    said = capsys.readouterr().out
    assert said.count("arm 100%") == said.count("arm 50%") == 2
    assert "other kinds of instructions (wins): from a lottery to gold's labels" in said
    right, lottery = (json.loads((tmp_path / "out" / f"arm-{n}-0.json").read_text())["held_out"] for n in (100, 50))
    assert right["base"] == lottery["base"]
    assert right["kl"] != lottery["kl"]
    dose_response.main(given)
    assert "arm 100%" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="choose another --out"):
        dose_response.main([*given, "--beta", "0.2"])


def human(path: Path) -> Path:
    """Pairs that people labelled, two of each conversation's beginning."""
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Ask {i}?"}],
            "chosen": [{"role": "assistant", "content": f"Kind answer {i} {side}."}],
            "rejected": [{"role": "assistant", "content": f"No {i}."}],
        }
        for i in range(12)
        for side in "ab"
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_gold_learns_nothing_of_the_prompts_that_are_held_out(tmp_path: Path) -> None:
    found = dose_reward.divided(human(tmp_path / "human.jsonl"), 6, 4)
    assert (len(found.train), len(found.held)) == (16, 8)
    assert found.held_prompts == [f"Ask {i}?" for i in range(8, 12)]
    assert found.prompts == [f"Ask {i}?" for i in range(6)]
    assert not {row["prompt"][0]["content"] for row in found.train} & {*found.held_prompts}


@pytest.mark.model
def test_a_reward_model_of_human_labels_is_gold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (dose_arms, dose_reward):
        monkeypatch.setattr(module, "ACCURACIES", (0.5, 1.0))
    given = [
        "--data",
        str(human(tmp_path / "human.jsonl")),
        "--model",
        str(small_model(tmp_path / "model")),
        "--prompts",
        "6",
    ]
    given += ["--out", str(tmp_path / "out"), "--held-out", "4", "--seeds", "2", "--max-tokens", "6", "--layers", "1"]
    dose_reward.main(given)
    said = capsys.readouterr().out
    assert said.count("arm 100%") == said.count("arm 50%") == 2
    assert "gold: agrees with people on held-out pairs" in said
    assert "held-out prompts (wins by reward): from a lottery to gold's labels" in said
    found = [json.loads((tmp_path / "out" / f"arm-{n}-0.json").read_text())["held_out"] for n in (50, 100)]
    assert all(0 <= one["wins"] <= 1 and one["kl"] == one["kl"] for one in found)
    rewards = json.loads((tmp_path / "out" / "rewards-train.json").read_text())
    assert [len(one) for one in rewards] == [4] * 6
    dose_reward.main(given)
    assert "arm 100%" not in capsys.readouterr().out
