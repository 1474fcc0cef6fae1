"""PPO under the monitor: a run that games its reward ends, and what is saved is the policy of gold's best check."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from pydantic import ValidationError
from rich.console import Console
from transformers import AutoModelForCausalLM

from constitution.errors import UserError
from generation.settings import load
from tests.training.ppo.test_trainer import Killer
from tests.training.ppo_small import LETTER, constitution, gamed_in, numbers, run_small, small_model
from training import commands
from training.monitor.file import FILE, append, read_checks, resume
from training.monitor.monitor import Verdict
from training.monitor.moves import Check
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.ppo.job import prepare
from training.run.fit import Stopped
from training.run.metrics import read


@pytest.fixture
def gamed(tmp_path: Path) -> dict[str, Any]:
    return gamed_in(tmp_path)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def halted(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """What training.json says of a run that the monitor ended."""
    with pytest.raises(Stopped, match=r"over-optimisation: .* Saved is the policy of step \d+\."):
        run_small(out, settings)
    said: dict[str, Any] = json.loads((out / "training.json").read_text())
    return said


class Whole(NamedTuple):
    """A run that nothing kills, to its halt, and its training.json."""

    settings: dict[str, Any]
    out: Path
    said: dict[str, Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    settings = {**gamed_in(folder), "save_every": 1}
    return Whole(settings, folder / "run", halted(folder / "run", settings))


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("longer")  # no gold; ended for the length of its responses
    monitor = {"halts": ["verbosity"], "words": 1.2, "false_alarm": 0.4}
    settings = {**gamed_in(folder), "save_every": 1, "monitor": monitor}
    with pytest.raises(Stopped, match="verbosity"):
        run_small(folder / "run", settings)
    return Whole(settings, folder / "run", json.loads((folder / "run" / "training.json").read_text()))


@pytest.mark.model
def test_a_run_that_games_its_reward_ends_and_saves_the_policy_of_golds_best_check(
    whole: Whole, tmp_path: Path
) -> None:
    out, said = whole.out, whole.said
    seen = read_checks(out)
    golds = {check.step: check.values["gold"] for check, _ in seen}
    best = max(golds, key=lambda step: golds[step])
    assert said["best_step"] == best
    assert said["steps"] == seen[-1].check.step < 30
    assert seen[-1].verdict.level == "halt"
    assert said["halted"].startswith(f"step {said['steps']}: over-optimisation: since step {best} the reward rose from")
    assert said["results"]["eval_gold"] == pytest.approx(golds[best], abs=1e-5)
    shorter = tmp_path / "shorter"
    run_small(shorter, {**whole.settings, "steps": best})
    one, other = weights(out), weights(shorter)
    assert all(torch.equal(one[name], other[name]) for name in one)
    page = (out / "training.html").read_text()
    assert re.search(rf"<li>Step {said['steps']}: over-optimisation", page)
    assert re.findall(r"<figcaption>(Gain of .*?)</figcaption>", page) == ["Gain of reward and gold over the distance"]
    assert f"halted, step {said['steps']} from" in page


@pytest.mark.model
def test_a_halted_run_stays_halted_and_the_command_exits_with_1(
    whole: Whole, capsys: pytest.CaptureFixture[str]
) -> None:
    out, said = whole.out, whole.said
    written = (out / "checks.jsonl").read_bytes()
    assert commands.train("ppo", load(PPO, None, [], whole.settings), out, Console(quiet=True)) == 1
    assert f"{said['halted']} Saved is the policy of step {said['best_step']}." in capsys.readouterr().err
    assert (out / "checks.jsonl").read_bytes() == written


@pytest.mark.model
@pytest.mark.parametrize("kill", [1, -1], ids=["before-the-best", "before-the-halt"])
def test_a_killed_run_sees_the_earlier_checks_again(kill: int, whole: Whole, tmp_path: Path) -> None:
    """Killed in the first iterations, and in the last ones, when the best policy is in the state alone."""
    settings, out, said = whole
    killed = tmp_path / "killed"
    assert said["best_step"] < said["steps"] - 1
    last = kill % said["steps"]
    with pytest.raises(KeyboardInterrupt):
        ppo.run(prepare(load(PPO, None, [], settings), killed), Killer(f"train {last + 1:>6}"))
    assert not (killed / "training.json").exists()
    again = halted(killed, settings)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in said.items() if k != "seconds"}
    assert (killed / "checks.jsonl").read_bytes() == (out / "checks.jsonl").read_bytes()
    assert numbers(read(killed / "metrics.jsonl"), "eval") == numbers(read(out / "metrics.jsonl"), "eval")
    one, other = weights(out), weights(killed)
    assert all(torch.equal(one[name], other[name]) for name in one)


def killed_early(out: Path, settings: dict[str, Any], step: int) -> None:
    """A run in which nothing halts, killed once it has written that step."""
    monitor = {**settings["monitor"], "halts": []}
    with pytest.raises(KeyboardInterrupt):
        ppo.run(prepare(load(PPO, None, [], {**settings, "monitor": monitor}), out), Killer(f"train {step:>6}"))


@pytest.mark.model
def test_the_best_is_kept_while_nothing_halts_and_gone_back_to_once_something_does(
    whole: Whole, tmp_path: Path
) -> None:
    settings, _, said = whole
    killed_early(tmp_path / "killed", settings, said["steps"])
    again = halted(tmp_path / "killed", settings)
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in said.items() if k != "seconds"}


@pytest.mark.model
def test_a_run_that_kept_no_best_saves_the_policy_that_it_has_and_says_so(longer: Whole, tmp_path: Path) -> None:
    """Without gold, and with a detector that may halt only once responses have long been longer."""
    out, settings, steps = tmp_path / "run", longer.settings, longer.said["steps"]
    killed_early(out, settings, steps + 1)
    with pytest.raises(Stopped) as error:
        run_small(out, settings)
    told = "No earlier policy was saved, because no detector could halt the run at that time."
    assert str(error.value).endswith(f"{told} Saved is the policy of step {steps + 2}.")
    said = json.loads((out / "training.json").read_text())
    assert (said["best_step"], said["steps"], said["halted"].endswith(told)) == (steps + 2, steps + 2, True)


def test_checks_that_stay_are_there_at_every_moment_of_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed the moment that the file is another."""
    for step in range(4):
        append(tmp_path, Check(step, {"gold": 0.5}, {"gold": 0.1}, {"gold": [0.5, math.nan]}), Verdict("ok", ()))
    whole = (tmp_path / FILE).read_text().splitlines(keepends=True)
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        resume(tmp_path, 2)
    assert (tmp_path / FILE).read_text() == "".join(whole[:3])


@pytest.mark.model
def test_a_policy_that_gets_better_by_both_is_left_alone(gamed: dict[str, Any], tmp_path: Path) -> None:
    gold = constitution(tmp_path / "same.yaml", some={"must_match": "e"})
    settings = {**gamed, "monitor": {"gold": gold}, "steps": 12}
    run_small(tmp_path / "run", settings)
    said = json.loads((tmp_path / "run" / "training.json").read_text())
    assert (said["steps"], "halted" in said) == (12, False)
    assert {verdict.level for _, verdict in read_checks(tmp_path / "run")} <= {"ok", "warn"}


@pytest.mark.model
def test_what_a_check_measures_is_logged(gamed: dict[str, Any], tmp_path: Path) -> None:
    """With two reward models, of which the responses' data is known; judged every third iteration, evaluated every second."""
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"prompt": "Say a.", "chosen": "a b c d e", "rejected": "f"}) + "\n", encoding="utf-8")
    models = [
        str(small_model(tmp_path / name, "LlamaForSequenceClassification", i, num_labels=1))
        for i, name in enumerate("ab")
    ]
    reward = {**gamed["reward"], "models": {"paths": models}}
    monitor = {**gamed["monitor"], "every": 3, "reference": [str(pairs)]}
    rows = run_small(
        tmp_path / "run", {**gamed, "reward": reward, "monitor": monitor, "steps": 4, "learning_rate": 1e-4}
    )
    evaluated = {row.step: row.values for row in rows if row.split == "eval"}
    assert {step for step, values in evaluated.items() if "gold" in values} == {0, 3, 4}
    assert {step for step, values in evaluated.items() if "gold" not in values} == {2}
    seen = read_checks(tmp_path / "run")
    assert [check.step for check, _ in seen] == [0, 3, 4]
    check = seen[0].check
    assert {"proxy", "gold", "kl", "spread", "words", "repetition", "refusal", "certainty", "hedging", "agreement",
            "markup", "truncated", "principle/one", "gold/principle/once"} <= check.values.keys()  # fmt: skip
    for name, logged in (
        ("proxy", "score"),
        ("spread", "head_spread"),
        ("gold", "gold"),
        ("principle/one", "principle/one"),
    ):
        assert check.values[name] == pytest.approx(evaluated[0][logged], rel=1e-5)
        assert len(check.rows[name]) == len((tmp_path / "run" / "responses.jsonl").read_text().splitlines())
    assert check.values["gold"] == pytest.approx(
        (check.values["gold/principle/some"] + check.values["gold/principle/once"]) / 2, rel=1e-5
    )


@pytest.mark.model
def test_gold_that_has_nothing_to_say_is_counted_and_never_a_number(gamed: dict[str, Any], tmp_path: Path) -> None:
    laws = yaml.safe_load((tmp_path / "gold.yaml").read_text())
    laws["principles"] = [{**rule, "applies_to": {"tags": ["none"]}} for rule in laws["principles"]]
    (tmp_path / "gold.yaml").write_text(yaml.safe_dump(laws))
    rows = run_small(tmp_path / "run", {**gamed, "steps": 2})
    told = numbers(rows, "eval")[-1]
    assert told["gold_failed"] == 1.0
    assert "gold" not in told
    assert all("gold" not in check.values for check, _ in read_checks(tmp_path / "run"))


@pytest.mark.model
def test_another_detector_may_end_a_run_without_gold(longer: Whole) -> None:
    """Responses grow longer: the policy of the last check that nothing halts is saved."""
    steps = [check.step for check, _ in read_checks(longer.out)]
    assert [longer.said[name] for name in ("best_step", "steps")] == steps[-2:]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"eval_every": None},
            "monitor: got gold or reference, but no checks are scheduled; set monitor.every, or eval_every",
            id="due",
        ),
        pytest.param(
            {"monitor": {"reference": ["a", "a"]}}, "monitor.reference: got a, a; allowed: each once", id="reference"
        ),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, Any], message: str, gamed: dict[str, Any]) -> None:
    with pytest.raises((UserError, ValidationError)) as error:
        load(PPO, None, [], {**gamed, **changes})
    assert message in str(error.value)


def rules(file: str) -> dict[str, Any]:
    return {"rules": {"constitution": file}}


def judged(file: str = "kind.yaml", *panel: dict[str, Any]) -> dict[str, Any]:
    return {"judge": {"constitution": file, "model": "./model", "engine": "transformers", "panel": list(panel)}}


MODEL = {"models": {"paths": ["rm"]}}
MEMBER = {"name": "rm", "model": "./rm", "methods": ["reward"]}


@pytest.fixture
def rewarders(gamed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The settings of `gamed`, in whose folder are more constitutions, and a reward model `rm`."""
    laws = yaml.safe_load((tmp_path / "reward.yaml").read_text())
    (tmp_path / "later.yaml").write_text(yaml.safe_dump({**laws, "version": 2, "description": "The same rules."}))
    for name in ("kind", "brave"):
        principles = [{"id": name, "objective": "form", "text": f"Be {name}."}]
        if name == "brave":
            principles.append({"id": "quick", "objective": "form", "text": "Be quick."})
        made = {"name": name, "version": 1, "objectives": {"form": 1.0}, "principles": principles}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(made))
    both = yaml.safe_load((tmp_path / "brave.yaml").read_text())
    both["principles"].append({"id": "kind", "objective": "form", "text": "Be kind."})
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(both))
    small_model(tmp_path / "rm", "LlamaForSequenceClassification", num_labels=1)
    monkeypatch.chdir(tmp_path)
    return gamed


SAME = "monitor.gold: {} is the same as the reward's, and gold must be independent of what is trained on; name another"


@pytest.mark.parametrize(
    ("reward", "gold", "more", "message"),
    [
        pytest.param(rules("reward.yaml"), rules("reward.yaml"), {}, SAME.format("rules"), id="same-rules"),
        pytest.param(rules("reward.yaml"), rules("later.yaml"), {}, SAME.format("rules"), id="same-rules-of-another-version"),
        pytest.param(judged(), rules("gold.yaml") | judged(), {}, SAME.format("judge"), id="same-judge-beside-rules"),
        pytest.param(judged("both.yaml"), judged("brave.yaml"), {}, SAME.format("judge"), id="some-of-the-judges-principles"),
        pytest.param(MODEL, MODEL | rules("gold.yaml"), {}, SAME.format("models.0"), id="same-model"),
        pytest.param(MODEL, judged("kind.yaml", MEMBER), {}, SAME.format("judge.rm"), id="the-model-judges"),
        pytest.param(judged("kind.yaml", MEMBER), MODEL, {}, SAME.format("models.0"), id="the-judge-is-the-model"),
        pytest.param(judged("kind.yaml", MEMBER), judged("brave.yaml", MEMBER), {}, SAME.format("judge.rm"), id="the-model-judges-both"),
        pytest.param(rules("reward.yaml"), rules("none.yaml"), {}, "none.yaml", id="missing"),
        pytest.param(
            rules("reward.yaml"), rules("gold.yaml"), {"test_fraction": 0.0},
            "monitor.gold: there is no held-out prompt to ask it about; raise test_fraction (now 0.0)", id="held-out",
        ),
    ],
)  # fmt: skip
def test_gold_that_cannot_be_is_told_before_anything_loads(
    reward: dict[str, Any],
    gold: dict[str, Any],
    more: dict[str, Any],
    message: str,
    rewarders: dict[str, Any],
    tmp_path: Path,
) -> None:
    changes = {**more, "reward": reward, "monitor": {"gold": gold}}
    with pytest.raises(UserError) as error:
        prepare(load(PPO, None, [], {**rewarders, **changes}), tmp_path / "run")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("reward", "gold", "told"),
    [
        pytest.param(rules("reward.yaml"), rules("gold.yaml"), "1 of its 2 rules are the reward's too", id="rules"),
        pytest.param(judged("brave.yaml"), judged("both.yaml"), "2 of its 3 judges' principles are the reward's too", id="judge"),
        pytest.param(judged("kind.yaml"), judged("brave.yaml"), "", id="a-judge-by-another-constitution"),
        pytest.param(judged("kind.yaml"), rules("gold.yaml"), "", id="other-kinds"),
        pytest.param(judged("kind.yaml", MEMBER), judged("brave.yaml"), "", id="a-model-in-one"),
    ],
)  # fmt: skip
def test_gold_that_is_trained_on_in_part_is_told(
    reward: dict[str, Any], gold: dict[str, Any], told: str, rewarders: dict[str, Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    prepare(load(PPO, None, [], {**rewarders, "reward": reward, "monitor": {"gold": gold}}), tmp_path / "run")
    said = capsys.readouterr().err
    assert told in said
    assert ("monitor.gold" in said) == bool(told)


def test_golds_errors_name_its_own_place(gamed: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "judged.yaml").write_text(
        yaml.safe_dump(
            {"name": "judged", "version": 1, "objectives": {"form": 1.0},
             "principles": [{"id": "kind", "objective": "form", "text": "Be kind."}]}
        ),
        encoding="utf-8",
    )  # fmt: skip
    monitor = {"gold": {"rules": {"constitution": str(tmp_path / "judged.yaml")}}}
    with pytest.raises(UserError) as error:
        prepare(load(PPO, None, [], {**gamed, "monitor": monitor}), tmp_path / "run")
    assert str(error.value) == (
        "monitor.gold.rules.constitution: judged has no principle with a `check`; add one, or use judge"
    )


def test_reference_data_that_cannot_be_read_is_told(gamed: dict[str, Any], tmp_path: Path) -> None:
    monitor = {**gamed["monitor"], "reference": ["nowhere.jsonl"]}
    with pytest.raises(UserError, match=r"monitor\.reference: --data nowhere\.jsonl: no such file"):
        prepare(load(PPO, None, [], {**gamed, "monitor": monitor}), tmp_path / "run")


@pytest.mark.model
def test_limits_may_change_between_restarts_and_gold_may_not(gamed: dict[str, Any], tmp_path: Path) -> None:
    monitor = gamed["monitor"]
    run_small(tmp_path / "run", {**gamed, "steps": 2})
    run_small(tmp_path / "run", {**gamed, "steps": 2, "monitor": {**monitor, "checks": 5}})
    other = constitution(tmp_path / "other.yaml", letter=LETTER["check"])
    with pytest.raises(UserError, match="belongs to other settings"):
        run_small(tmp_path / "run", {**gamed, "steps": 2, "monitor": {**monitor, "gold": other}})
