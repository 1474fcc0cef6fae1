"""What PPO cannot use is told, with the place and the fix, before a model loads."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from constitution.errors import UserError
from generation.engines.checkpoint import load_tokenizer
from generation.models.files import resolve
from generation.settings import load
from tests.training.ppo_small import run_small, small_inputs
from training.model import launch
from training.model.memory import estimate as memory
from training.ppo.config import PPO
from training.ppo.job import held_beside, prepare


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    return small_inputs(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"prompts": 40}, "prompts: got 40, and there are 19 to train on; lower prompts, or add data", id="prompts"
        ),
        pytest.param(
            {"sampler": {"max_tokens": 256}},
            "sampler.max_tokens: got 256, which leaves no room for a prompt in max_length (256); lower it, or raise max_length",
            id="room",
        ),
        pytest.param({"reward": {"rules": {"constitution": "none.yaml"}}}, "none.yaml", id="constitution"),
    ],
)
def test_bad_input_is_told_before_anything_loads(
    changes: dict[str, Any], message: str, inputs: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        prepare(load(PPO, None, [], {**inputs, **changes}), tmp_path / "run")
    assert message in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_policy_is_no_reward_model(inputs: dict[str, Any], tmp_path: Path) -> None:
    settings = load(PPO, None, [], {**inputs, "reward": {"models": {"paths": [inputs["model"]]}}})
    with pytest.raises(UserError, match=r"is no reward model \(got LlamaForCausalLM with 2 labels\)"):
        prepare(settings, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_judge_in_vllm_is_refused_where_several_processes_train(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = {"constitution": "laws.yaml", "engine": "vllm"}
    settings = load(PPO, None, [], {**inputs, "reward": {"judge": judge}})
    monkeypatch.setattr(launch.state(), "num_processes", 2)
    with pytest.raises(UserError) as error:
        prepare(settings, tmp_path / "run")
    why = "reward.judge.engine: got vllm with 2 processes, each of which would start one; set transformers, or endpoint"
    assert str(error.value).startswith(why)


@pytest.mark.model
def test_settings_of_another_run_are_refused(inputs: dict[str, Any], tmp_path: Path) -> None:
    run_small(tmp_path / "run", inputs, baseline="group")
    with pytest.raises(UserError, match="belongs to other settings"):
        run_small(tmp_path / "run", inputs, baseline="group", clip=0.3)


def test_a_folder_of_something_else_is_refused_before_anything_is_read(inputs: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("Dear", encoding="utf-8")
    with pytest.raises(UserError, match="mine"):
        prepare(load(PPO, None, [], {**inputs, "model": "none"}), tmp_path / "mine")


def test_a_template_without_an_end_of_turn_is_told_before_anything_loads(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(resolve(inputs["model"]))
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    tokenizer.save_pretrained(inputs["model"])
    with pytest.raises(UserError, match="ends the assistant's turn with no control token"):
        prepare(load(PPO, None, [], inputs), tmp_path / "run")


def test_where_all_memory_is_held_none_is_free(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1)
    with pytest.raises(UserError, match=r"and 0\.0 GiB are free"):
        prepare(load(PPO, None, [], {**inputs, "micro_batch_size": 1}), tmp_path / "run")


def test_the_reference_and_the_samplers_copy_take_memory_unless_they_share_the_weights(inputs: dict[str, Any]) -> None:
    files = resolve(inputs["model"])
    full, lora = (load(PPO, None, [], {**inputs, **more}) for more in ({}, {"lora": {"r": 4}}))
    assert held_beside(files, None, full) == 4 * memory.parameters(files)
    assert held_beside(files, None, lora) == 0
    critic = memory.estimate(files, lora, 0).weights
    assert held_beside(files, files, lora) == critic > 0


def test_prompts_bring_the_columns_of_the_reward_and_of_gold(inputs: dict[str, Any], tmp_path: Path) -> None:
    gold = tmp_path / "gold.yaml"
    rule = {"id": "right", "objective": "good", "text": "Be right.", "check": {"answer": "answer"}}
    laws = {"name": "gold", "version": 1, "objectives": {"good": 1.0}, "principles": [rule]}
    gold.write_text(yaml.safe_dump(laws), encoding="utf-8")
    given = {**inputs, "monitor": {"gold": {"rules": {"constitution": str(gold)}}}, "eval_every": 2}
    with pytest.raises(UserError, match="no row has column answer, which a rule reads"):
        prepare(load(PPO, None, [], given), tmp_path / "run")
    (prompts,) = map(Path, inputs["data"])
    rows = [json.loads(line) | {"answer": n} for n, line in enumerate(prompts.read_text().splitlines())]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = prepare(load(PPO, None, [], given), tmp_path / "run")
    assert all(json.loads(row.prompt.metadata).keys() == {"answer"} for row in found.train.rows)
