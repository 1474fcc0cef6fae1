"""What could only fail once a round is computed, or would mislead: told before anything loads."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from constitution.errors import UserError
from generation.output.files import write_sealed
from tests.training.ppo_small import small_model
from tests.training.small_loop import DPO, LAWS, small_settings
from tests.training.small_run import write_run
from training.loop.config import LoopConfig
from training.loop.inputs import read

CLASSIFIER = "LlamaForSequenceClassification"
PPO = {"recipe": "ppo", "training": {}, "reward": {}}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings whose files are named as they lie, in the current folder."""
    monkeypatch.chdir(tmp_path)
    small_model(Path("model"))
    small_model(Path("reward"), CLASSIFIER, num_labels=1)
    write("none.jsonl", '{"prompt": ""}\n')
    write("labels.jsonl", '{"prompt": "Why?", "label": "maybe"}\n')
    write("rules.yaml", {**LAWS, "name": "rules", "objectives": {"form": 1.0}, "principles": [LAWS["principles"][1]]})
    write("words.yaml", {**LAWS, "name": "words", "objectives": {"good": 1.0}, "principles": [LAWS["principles"][0]]})
    write("renamed.yaml", {**LAWS, "name": "renamed", "principles": [
        {"id": "kindly", "objective": "good", "text": "be  KIND."}, {"id": "brief", "objective": "form", "text": "x", "check": {"max_words": 9}},
    ]})  # fmt: skip
    write("gold.yaml", {**LAWS, "name": "gold", "objectives": {"form": 1.0}, "principles": [
        {"id": "long", "objective": "form", "text": "Be long.", "check": {"min_words": 12}},
    ]})  # fmt: skip
    write("tagged.yaml", {**LAWS, "name": "tagged", "principles": [
        {**LAWS["principles"][0], "applies_to": {"tags": ["red-team"]}}, LAWS["principles"][1],
    ]})  # fmt: skip
    on = {"constitution": "d1", "judges": {"judge": "d2"}, "templates": "d3", "data": "d4", "pairs": 9}
    voters = {"method": "logistic", "fitted_on": on, "voters": {"kind": 1.0}, "temperature": 1.0}
    write("weights.json", json.dumps(voters))
    return small_settings(Path())


def write(name: str, content: object) -> None:
    text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    Path(name).write_text(text, encoding="utf-8")


def evaluated(**changes: Any) -> dict[str, Any]:
    """Changes of the evaluation."""
    return {"evaluation": changes}


def rewarded(**sources: Any) -> dict[str, Any]:
    """Phases of best_of by these sources."""
    return {"phases": [{"recipe": "best_of", "training": {"reward": sources, "sampler": {"engine": "replay"}}}]}


JUDGED = {"constitution": "words.yaml", "engine": "replay"}
LEARNT = "is trained against too, by its rule or its text; name principles that no phase is rewarded or labelled by"
BY_RULES = rewarded(rules={"constitution": "rules.yaml"})["phases"][0]
OTHER = "weights.json: fitted on another constitution d1 (this run has "


def unread(settings: dict[str, Any]) -> list[str]:
    """What is said of settings that cannot be."""
    with pytest.raises(UserError) as error:
        read(LoopConfig.model_validate(settings), Path("out"))
    return str(error.value).split("\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"prompts": "none.jsonl"}, "prompts: none.jsonl: none of 1 rows is a prompt (1 empty_prompt); mend them", id="no-prompt"),
        pytest.param(evaluated(prompts="none.jsonl"), "evaluation.prompts: none.jsonl: none of 1 rows is a prompt (1 empty_prompt); mend them", id="none-held-out"),
        pytest.param(evaluated(refusals="labels.jsonl", probes=True), "evaluation.refusals: labels.jsonl:1: label: got 'maybe'; allowed: safe, unsafe", id="refusals"),
        pytest.param({"weights": "weights.json"}, f"feedback: {OTHER}", id="weights-of-others"),
        pytest.param(evaluated(weights="weights.json"), f"evaluation: {OTHER}", id="evaluations-weights-of-others"),
        pytest.param({"feedback": {"engine": "replay", "plan": {"early_stop_error": 0.1}}}, "feedback.plan.early_stop_error: got 0.1 without fitted weights; give fitted weights, or leave it 0", id="no-weights"),
        pytest.param(evaluated(judge="./gone", settings={"engine": "transformers"}), "evaluation: model './gone': no such folder", id="judge"),
        pytest.param(evaluated(held_out=["trained"]), "evaluation.held_out: judge,kind,short leaves no judge; hold out fewer", id="nobody-judges"),
        pytest.param({**evaluated(held_out=["trained"], constitution="renamed.yaml"), "phases": [BY_RULES, DPO]}, "evaluation.held_out: `trained` stands for none in phases.0 and for judge, kindly in phases.1, and rounds are compared by the same judges; name them: [judge, kindly]", id="held-out-by-round"),
        pytest.param({**evaluated(held_out=["trained"], constitution="renamed.yaml"), "phases": [DPO, BY_RULES], "stop": False}, "evaluation.held_out: `trained` stands for judge, kindly in phases.0 and for none in phases.1, and rounds are compared by the same judges; name them: [judge, kindly]", id="held-out-where-a-phase-may-be-given-up"),
        pytest.param(evaluated(gold="laws.yaml"), f"evaluation.gold: kind, short of small {LEARNT}", id="gold-labels"),
        pytest.param(evaluated(gold="renamed.yaml"), f"evaluation.gold: kindly of renamed {LEARNT}", id="gold-by-another-name"),
        pytest.param({**evaluated(gold="laws.yaml"), "phases": [BY_RULES]}, f"evaluation.gold: short of small {LEARNT}", id="gold-rewards"),
        pytest.param(rewarded(rules={"constitution": "gone.yaml"}), "phases.0.training.reward.rules.constitution: gone.yaml:1: cannot be read", id="rules"),
        pytest.param(rewarded(rules={"constitution": "words.yaml"}), "phases.0.training.reward.rules.constitution: words has no principle with a `check`", id="no-rules"),
        pytest.param(rewarded(judge={**JUDGED, "constitution": "gone.yaml"}), "phases.0.training.reward.judge.constitution: gone.yaml:1: cannot be read", id="judged-by"),
        pytest.param(rewarded(judge={**JUDGED, "engine": "transformers", "model": "./gone"}), "phases.0.training.reward.judge: model './gone': no such folder", id="reward-judge"),
        pytest.param(rewarded(models={"paths": ["reward", "./gone"]}), "phases.0.training.reward.models.paths: model './gone': no such folder", id="reward-model"),
        pytest.param(rewarded(models={"paths": ["model"]}), "phases.0.training.reward.models.paths: model model: is no reward model (got LlamaForCausalLM", id="no-reward-model"),
        pytest.param({"phases": [{**PPO, "reward": {"model": "./gone"}}]}, "phases.0.reward.model: model './gone': no such folder", id="rewards-start"),
        pytest.param({"phases": [{**PPO, "training": {"critic": "./gone"}}]}, "phases.0.training.critic: model './gone': no such folder", id="critic"),
        pytest.param({"phases": [{**PPO, "training": {"eval_every": 1, "monitor": {"gold": {"rules": {"constitution": "gone.yaml"}}}}}]}, "phases.0.training.monitor.gold.rules.constitution: gone.yaml:1: cannot be read", id="monitors-gold"),
        pytest.param({"phases": [PPO], "gates": {"agreement": 0.5}, "feedback": {"engine": "replay", "test_fraction": 0}}, "gates.agreement: needs pairs that are held out; set feedback.test_fraction above 0, or leave the gate out", id="agreement"),
        pytest.param({"constitution": "rules.yaml", "gates": {"controls": 0.5}}, "gates.controls: rules has no principle by which a model judges them; add one that applies to all prompts, or leave the gate out", id="controls"),
        pytest.param({"constitution": "tagged.yaml", "gates": {"controls": 0.5}}, "gates.controls: tagged has no principle by which a model judges them", id="controls-have-no-tags"),
    ],
)  # fmt: skip
def test_what_could_only_fail_later_is_told_beforehand(
    changes: dict[str, Any], message: str, here: dict[str, Any]
) -> None:
    evaluation = {**here["evaluation"], **changes.get("evaluation", {})}
    said = unread({**here, **changes, "evaluation": evaluation})
    assert len(said) == 1
    assert said[0].startswith(message)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(evaluated(gold="gold.yaml"), id="gold"),
        pytest.param({**evaluated(gold="words.yaml"), "phases": [BY_RULES]}, id="gold-that-rewards-nothing"),
        pytest.param(evaluated(held_out=["trained"], constitution="renamed.yaml"), id="held-out"),
        pytest.param({**evaluated(held_out=["trained"], constitution="renamed.yaml"), "phases": [DPO, BY_RULES]}, id="held-out-from-the-first-round"),
        pytest.param({"constitution": "rules.yaml"}, id="rules-alone"),
        pytest.param(rewarded(judge=JUDGED, rules={"constitution": "rules.yaml"}, models={"paths": ["reward"]}), id="all-rewards"),
    ],
)  # fmt: skip
def test_what_is_sound_is_let_through(changes: dict[str, Any], here: dict[str, Any]) -> None:
    evaluation = {**here["evaluation"], **changes.get("evaluation", {})}
    read(LoopConfig.model_validate({**here, **changes, "evaluation": evaluation}), Path("out"))


def test_gold_is_not_what_a_run_was_labelled_by(here: dict[str, Any]) -> None:
    write_run(Path("run"))
    write_sealed(Path("run/run.yaml"), "{}\n")
    write("run/constitution.yaml", {**LAWS, "name": "older", "objectives": {"form": 1.0}, "principles": [
        {"id": "length", "objective": "form", "text": "y", "check": {"min_words": 12}},
    ]})  # fmt: skip
    gold = {**here["evaluation"], "gold": "gold.yaml"}
    assert unread({**here, "data": {"run": 1.0}, "evaluation": gold}) == [f"evaluation.gold: long of gold {LEARNT}"]


def test_an_edit_of_what_rewards_or_is_trained_on_changes_a_digest(here: dict[str, Any]) -> None:
    write_run(Path("run"))
    sources = {"rules": {"constitution": "rules.yaml"}, "judge": JUDGED, "models": {"paths": ["reward"]}}
    config = LoopConfig.model_validate({**here, "data": {"run": 1.0}, "phases": [DPO, *rewarded(**sources)["phases"]]})
    before = read(config, Path("out")).digests
    write("rules.yaml", {**LAWS, "name": "rules", "version": 2})
    write("words.yaml", {**LAWS, "name": "words", "version": 2})
    small_model(Path("reward"), CLASSIFIER, seed=2, num_labels=1)
    write_run(Path("run"), prompts=10)
    after = read(config, Path("out")).digests
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {
        "data.run.preferences",
        "phases.1.training.reward.rules",
        "phases.1.training.reward.judge",
        "phases.1.training.reward.models.reward",
    }
