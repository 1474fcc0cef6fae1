"""The loop's settings and what they name: every problem at once, before anything loads; whose folder it is."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from constitution.errors import UserError
from generation.data import prompts
from generation.output.reading import split_files
from tests.training.ppo_small import small_model
from tests.training.small_loop import DPO, small_settings, write_settings
from tests.training.small_run import write_run
from training.loop.config import RETRAINED, LoopConfig, PPOPhase
from training.loop.folder import SETTINGS, claim
from training.loop.inputs import draw, judged_by, load, prompt_lines, read

PPO = {"recipe": "ppo", "training": {}, "reward": {}}
SERVER = {"engine": "endpoint", "endpoints": [{"url": "http://host:8000", "model": "base"}]}
NO_SERVER = (
    "got a server, and none has the policy, which is a new folder after each round; leave it out, or set engine to vllm or transformers "
    "(servers that judge are named in"
)
NO_ADAPTER = "got false, and the next step needs an ordinary checkpoint; leave it out"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    small_model(tmp_path / "model")
    return small_settings(tmp_path)


def wrong(folder: Path, settings: dict[str, Any], *overrides: str) -> list[str]:
    """What is said of settings that cannot be, without the file's name."""
    path = write_settings(folder, settings)
    with pytest.raises(UserError) as error:
        load(path, overrides)
    return [line.removeprefix(f"{path}: ") for line in str(error.value).split("\n")]


def unread(folder: Path, settings: dict[str, Any]) -> list[str]:
    """What is said of settings that name what is not there."""
    with pytest.raises(UserError) as error:
        read(LoopConfig.model_validate(settings), folder / "out")
    return str(error.value).split("\n")


def test_each_attempt_has_held_out_prompts(settings: dict[str, Any], tmp_path: Path) -> None:
    given = {**settings["evaluation"], "prompts_per_attempt": 3}
    config = LoopConfig.model_validate({**settings, "evaluation": given, "retry": {"times": 1}})
    inputs = read(config, tmp_path / "out")
    assert len(inputs.held_out) == 8
    assert [judged_by(inputs, config, n) for n in (1, 2)] == [inputs.held_out[:3], inputs.held_out[3:6]]
    told = unread(tmp_path, {**settings, "evaluation": given, "retry": {"times": 2}})
    assert told == [
        f"evaluation.prompts_per_attempt: got 3, and {given['prompts']} has 8 prompts for 3 attempts at a round; set at most 2, or a smaller "
        "retry.times"
    ]


def test_every_problem_of_the_settings_is_told_at_its_place(settings: dict[str, Any], tmp_path: Path) -> None:
    phases = [
        {"recipe": "dpo", "training": {"learning_rate": "fast"}},
        {"recipe": "ppo", "training": {"reward": {"models": {"paths": [RETRAINED]}}}},
        {"recipe": "sft", "training": {"beta": 1}},
        {"recipe": "spo"},
    ]
    said = wrong(tmp_path, {**settings, "phases": phases, "gates": {"wins": 1}, "retry": {"lr_factor": 1}})
    assert [line.split(";")[0][:110] for line in said] == [
        "phases.0.training.learning_rate: got 'fast'",
        "phases.1.training.reward.models.paths: got retrained, which stands for the reward model of `reward`",
        "phases.2.training.beta: unknown key (did you mean bucket?)",
        "phases.3: got 'recipe' 'spo'",
        "gates.wins: unknown key (did you mean win?)",
        "retry.lr_factor: got 1",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"phases": []}, "phases: got none; name one, as in `- {recipe: dpo}`", id="no-phase"),
        pytest.param({"phases": [{**DPO, "training": {"model": "x"}}]}, "phases.0.training.model: the loop sets it for each round; leave it out", id="model"),
        pytest.param({"phases": [{**PPO, "reward": {"data": {"x": 1}}}]}, "phases.0.reward.data: the loop sets it for each round; leave it out", id="data"),
        pytest.param({"phases": [{**DPO, "fresh": False}]}, "phases.0.fresh: got false, and there are no pairs yet; set it true, or name runs in data", id="fresh"),
        pytest.param({"phases": [{"recipe": "ppo", "older": 1, "training": {"reward": {"rules": {"constitution": "c"}}}}]}, "phases.0.older: says which pairs are trained on, and without `reward` none are; leave it out", id="unread"),
        pytest.param({"phases": [{**PPO, "training": {"reward": {"rules": {"constitution": "c"}}}}]}, "phases.0.reward: a reward model is trained, but not used as a reward; add retrained to training.reward.models.paths, or leave it out", id="unused"),
        pytest.param({"feedback": {"policy": "x"}}, "feedback.policy: the loop sets it; leave it out", id="policy"),
        pytest.param({"evaluation": {"prompts": "p", "settings": {"judge": "x"}}}, "evaluation.settings.judge: the loop sets it; name it in evaluation.judge", id="judge"),
        pytest.param({"evaluation": {"prompts": "p", "probes": False, "refusals": "x"}}, "evaluation.refusals: is not read with probes: false; leave one of them out", id="refusals"),
        pytest.param({"feedback": SERVER}, f"feedback.endpoints: {NO_SERVER} feedback.judge_endpoints)", id="feedback-server"),
        pytest.param({"evaluation": {"prompts": "p", "settings": SERVER}}, f"evaluation.settings.endpoints: {NO_SERVER} settings.judge_endpoints)", id="evaluation-server"),
        pytest.param({"phases": [{"recipe": "best_of", "training": {"reward": {"rules": {"constitution": "c"}}, "sampler": SERVER}}]}, f"phases.0.training.sampler.endpoints: {NO_SERVER} training.reward.judge.endpoints)", id="best-of-server"),
        pytest.param({"phases": [{**DPO, "training": {"lora": {"merge": False}}}]}, f"phases.0.training.lora.merge: {NO_ADAPTER}", id="adapter"),
        pytest.param({"phases": [{**PPO, "reward": {"lora": {"merge": False}}}]}, f"phases.0.reward.lora.merge: {NO_ADAPTER}", id="reward-adapter"),
        pytest.param({"phases": [DPO, {"recipe": "sft"}], "feedback": {"plan": {"rounds": 0}, "sft": {"targets": "revised"}}}, "phases.1: feedback.sft.targets is revised, and with feedback.plan.rounds: 0 there are no revisions; set rounds to 1 or more, or name runs in data", id="nothing-to-imitate"),
        pytest.param({"data": {"runs/x": -1}}, "data.runs/x: got weight -1.0; allowed: a positive number", id="weight"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(
    changes: dict[str, Any], message: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    assert wrong(tmp_path, {**settings, **changes}) == [message]


def test_an_override_reaches_within(settings: dict[str, Any], tmp_path: Path) -> None:
    path = write_settings(tmp_path, settings)
    assert load(path, ["retry.times=3", "feedback.plan.samples=5"]).feedback.plan.samples == 5
    with pytest.raises(UserError, match=r"--set retry: allowed: key=value, as in --set retry\.times=2"):
        load(path, ["retry"])


def test_the_reward_model_of_the_round_is_the_reward_where_none_is_named(settings: dict[str, Any]) -> None:
    (phase,) = LoopConfig.model_validate({**settings, "phases": [PPO]}).phases
    assert isinstance(phase, PPOPhase)
    assert phase.training.reward.models
    assert phase.training.reward.models.paths == (RETRAINED,)


def test_everything_that_is_named_is_looked_at_together(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    rules = {"recipe": "ppo", "training": {"reward": {"rules": {"constitution": "gone.yaml"}}}}
    said = unread(
        tmp_path,
        {
            **settings,
            "model": str(tmp_path / "gone"),
            "constitution": str(tmp_path / "gone.yaml"),
            "prompts_per_round": 41,
            "weights": str(tmp_path / "weights.json"),
            "data": {"runs/gone": 1.0},
            "phases": [rules],
            "evaluation": {**settings["evaluation"], "prompts": "gone.jsonl", "gold": "gone.yaml"},
            "gates": {"gold": 0.5, "refusal_up": 0.02, "controls": 0.5, "agreement": 0.5},
            "launch": ["no-such-program"],
        },
    )
    assert [line.split(";")[0] for line in said] == [
        f"{tmp_path / 'out'}: is not empty and no run of ours (no loop.yaml)",
        f"model: model '{tmp_path / 'gone'}': no such folder",
        f"constitution: {tmp_path / 'gone.yaml'}:1: cannot be read (No such file or directory)",
        "evaluation.gold: gone.yaml:1: cannot be read (No such file or directory)",
        f"weights: {tmp_path / 'weights.json'}: cannot be read (No such file or directory)",
        "evaluation.prompts: gone.jsonl: no such file or folder",
        "data.runs/gone: runs/gone: is no folder",
        f"prompts_per_round: got 41, and {tmp_path / 'prompts.jsonl'} has 40 prompts",
        "phases.0.training.reward.rules.constitution: gone.yaml:1: cannot be read (No such file or directory)",
        "launch: no-such-program: no such program",
        "gates.refusal_up: needs refusals to be counted",
        "gates.controls: phases.0 labels no control pairs",
        "gates.agreement: phases.0 trains no reward model",
    ]


def test_principles_that_are_not_there(settings: dict[str, Any], tmp_path: Path) -> None:
    evaluation = {**settings["evaluation"], "held_out": ["kin", "judge"]}
    said = unread(
        tmp_path,
        {**settings, "feedback": {"engine": "replay", "plan": {"methods_of": {"kin": ["score"]}}}, "evaluation": evaluation, "gates": {"gold": 0.5}},
    )  # fmt: skip
    assert said == [
        "feedback.plan.methods_of.kin: 'kin' is no principle of small that a model judges; allowed: kind",
        "evaluation.held_out: 'kin' is no principle of small and no judge (did you mean kind?); allowed: kind, short, judge",
        "gates.gold: needs a constitution that nothing is trained against; name it in evaluation.gold",
    ]


def test_held_out_prompts_are_not_trained_on(settings: dict[str, Any], tmp_path: Path) -> None:
    """Nor those of a run's rows, but for the ones that the run holds out itself."""
    run = write_run(tmp_path / "run")
    asked = {
        split: sorted({row["prompt"][0]["content"] for row in pq.read_table(file).to_pylist()})
        for split, file in split_files(run, "preferences")
    }
    with (tmp_path / "held_out.jsonl").open("a") as file:
        for name, text in (
            ("again", "Say something about prompts 3. "),
            ("learnt", asked["train"][0]),
            ("spared", asked["test"][0]),
        ):
            file.write(json.dumps({"id": name, "prompt": text}) + "\n")
    assert unread(tmp_path, {**settings, "data": {str(run): 1.0}}) == [
        "evaluation.prompts: 1 are among `prompts` too, as again; take them out of one file",
        f"evaluation.prompts: 1 are among the rows of data.{run} too, as learnt; take them out of one file",
    ]


def test_prompts_may_have_columns_of_other_names(settings: dict[str, Any], tmp_path: Path) -> None:
    before = read(LoopConfig.model_validate(settings), tmp_path / "out")
    evaluation = settings["evaluation"]
    for path in (settings["prompts"], evaluation["prompts"]):
        Path(path).write_text(Path(path).read_text().replace('"prompt"', '"question"'))
    named = {"columns": {"prompt": "question"}}

    found = read(
        LoopConfig.model_validate({**settings, **named, "evaluation": {**evaluation, **named}}), tmp_path / "out"
    )

    assert found == before
    (said, *_) = unread(tmp_path, {**settings, **named})
    assert said.startswith("evaluation.prompts: ")


def test_no_prompt_comes_twice_before_all_had_their_turn(settings: dict[str, Any], tmp_path: Path) -> None:
    """40 prompts, 12 a round: the fourth round takes the 4 that are left, and 8 of the next pass."""
    config = LoopConfig.model_validate(settings)
    inputs = read(config, tmp_path / "out")
    turns = [[prompt.id for prompt in draw(inputs, config, turn)] for turn in range(20)]
    assert all(len({*ids}) == 12 for ids in turns)
    assert len({*turns[0], *turns[1], *turns[2]}) == 36
    assert {*turns[0], *turns[1], *turns[2], *turns[3]} == {prompt.id for prompt in inputs.prompts}
    for n in range(1, 20):  # nobody is asked a second time while somebody waits for the first
        turn_of = Counter(prompt for ids in turns[:n] for prompt in ids)
        assert max(turn_of.values()) - min(turn_of[prompt.id] for prompt in inputs.prompts) <= 1
    assert turns[10] != turns[0]
    assert turns == [[prompt.id for prompt in draw(inputs, config, turn)] for turn in range(20)]
    assert turns[0] != [p.id for p in draw(inputs, config.model_copy(update={"seed": 1}), 0)]
    whole = config.model_copy(update={"prompts_per_round": None})
    assert [prompt.id for prompt in draw(inputs, whole, 3)] == [prompt.id for prompt in inputs.prompts]


def test_prompts_are_written_as_they_are_read(settings: dict[str, Any], tmp_path: Path) -> None:
    """Whatever a prompt has stays, but for ready responses, which are not the policy's."""
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": {"at": "sky"}}}]}
    rows = [
        {"id": "one", "prompt": "Why?", "tags": ["red-team"], "responses": ["Because."]},
        {"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "«½»"}]},
        {"prompt": [{"role": "user", "content": "Look."}, call, {"role": "tool", "content": "blue"}], "tools": [{"name": "look"}]},
        {"prompt": "What is 2 + 2?", "reference": "4", "form": {"must_match": "4"}, "level": 3, "metadata": "mine", "none": None},
        {"prompt": ""},
    ]  # fmt: skip
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = LoopConfig.model_validate({**settings, "prompts_per_round": None})
    inputs = read(config, tmp_path / "out")
    assert inputs.unread == {"empty_prompt": 1}
    (tmp_path / "again.jsonl").write_text(prompt_lines(inputs.prompts))
    again = [*prompts.read(str(tmp_path / "again.jsonl"))]
    assert again == [prompt.model_copy(update={"responses": ()}) for prompt in inputs.prompts]
    assert json.loads(again[-1].metadata) == {"form": {"must_match": "4"}, "level": 3, "metadata": "mine"}
    (tmp_path / "third.jsonl").write_text(prompt_lines(again))
    assert [*prompts.read(str(tmp_path / "third.jsonl"))] == again, "however often"


def test_a_rule_whose_column_no_row_has_is_told_before_anything_runs(settings: dict[str, Any], tmp_path: Path) -> None:
    rules = {
        name: {"id": name, "objective": "form", "text": "Be right.", "check": {"of_row": name}}
        for name in ("trained", "gold")
    }
    for name, rule in rules.items():
        laws = {"name": name, "version": 1, "objectives": {"form": 1.0}, "principles": [rule]}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(laws))
    changed = {**settings, "constitution": str(tmp_path / "trained.yaml")}
    changed["evaluation"] = {**settings["evaluation"], "gold": str(tmp_path / "gold.yaml")}
    fix = "add it, or correct the rule"
    assert unread(tmp_path, changed) == [
        f"prompts: no row has column trained, which a rule of trained reads; {fix}",
        f"evaluation.prompts: no row has column trained, which a rule of trained reads; {fix}",
        f"evaluation.prompts: no row has column gold, which a rule of gold reads; {fix}",
    ]
    for name, columns in (("prompts", ("trained",)), ("held_out", ("trained", "gold"))):
        path = tmp_path / f"{name}.jsonl"
        lines = [
            json.loads(line) | {key: {"min_words": 2} for key in columns} for line in path.read_text().splitlines()
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    read(LoopConfig.model_validate(changed), tmp_path / "out")


def claim_loop(folder: Path, settings: dict[str, Any]) -> None:
    config = LoopConfig.model_validate(settings)
    claim(folder, config, {"model": "d1"})


def test_a_loop_goes_on_with_the_same_settings_alone(settings: dict[str, Any], tmp_path: Path) -> None:
    """Of what a begun round is made from; what only says how fast or how long may change."""
    out = tmp_path / "out"
    (out / "round-1").mkdir(parents=True)
    claim_loop(out, settings)
    claim_loop(out, settings)
    dpo = {**DPO, "training": {**DPO["training"], "micro_batch_size": 1}}
    replay = {**settings["feedback"], "calls_in_flight": 3}
    claim_loop(
        out, {**settings, "feedback": replay, "phases": [dpo], "retry": {"times": 5}, "stop": False, "launch": ["x"]}
    )
    assert yaml.safe_load((out / SETTINGS).read_text())["machine"]["retry.times"] == 5
    for changes, line in (
        ({"gates": {"win": 0.9}}, "gates.win: was 0.0, now 0.9"),
        ({"seed": 3}, "seed: was 0, now 3"),
        ({"retry": {"lr_factor": 0.1}}, "retry.lr_factor: was 0.5, now 0.1"),
        ({"phases": [{**DPO, "older": 0}]}, "rounds.1.older: was 0.5, now 0.0"),
        ({"phases": [{"recipe": "sft"}]}, "rounds.1.recipe: was 'dpo', now 'sft'"),
        ({"feedback": {"engine": "replay"}}, "feedback.plan.controls: was 4, now 64"),
    ):
        with pytest.raises(UserError) as error:
            claim_loop(out, {**settings, **changes})
        said = str(error.value).split("\n")
        assert said[0] == f"{out}: belongs to other settings; choose another --out, or delete the folder"
        assert line in said
    with pytest.raises(UserError, match=r"digests\.model: was 'd1', now 'd2'"):
        claim(out, LoopConfig.model_validate(settings), {"model": "d2"})
    (out / SETTINGS).write_text("{")
    with pytest.raises(UserError, match=r"loop\.yaml: is damaged"):
        claim_loop(out, settings)


def test_rounds_that_have_not_begun_may_change(settings: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "round-1").mkdir(parents=True)
    claim_loop(out, {**settings, "phases": [DPO, {"recipe": "sft"}]})
    claim_loop(out, settings)
    claim_loop(out, {**settings, "phases": [{**DPO, "rounds": 4}]})
    (out / "round-2").mkdir()
    with pytest.raises(UserError, match=r"rounds\.2\.recipe: was 'dpo', now None"):
        claim_loop(out, settings)


def test_what_a_round_names_may_change_until_its_training_has_begun(settings: dict[str, Any], tmp_path: Path) -> None:
    reward = {"rules": {"constitution": "laws.yaml"}}
    phase = {"recipe": "best_of", "training": {"reward": reward, "sampler": {"engine": "replay"}}}
    config, out = LoopConfig.model_validate({**settings, "phases": [phase, phase]}), tmp_path / "out"
    (out / "round-1/attempt-1/checkpoint").mkdir(parents=True)
    (out / "round-1/attempt-1/checkpoint/training.yaml").touch()
    name = "training.reward.rules"
    claim(out, config, {f"phases.0.{name}": "d1", f"phases.1.{name}": "d2"})
    claim(out, config, {f"phases.0.{name}": "d1", f"phases.1.{name}": "d3"})
    with pytest.raises(UserError, match=r"rounds\.1\.training\.digests\.reward\.rules: was 'd1', now 'd4'"):
        claim(out, config, {f"phases.0.{name}": "d4", f"phases.1.{name}": "d3"})
