"""Whole runs of PPO on a tiny random policy: what must hold whatever it learns, and that it learns."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from constitution.errors import Unavailable, UserError
from generation.engines.base import TransientError
from generation.models.files import resolve
from generation.settings import load
from tests.training.ppo_small import LETTER, ROUNDING, SHORT, numbers, run_small, small_inputs, small_model
from training.data.batches import Example, collate
from training.model.loading import load_critic, load_reward
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.ppo.experience import Responses, by_group, chunks, shape_reward
from training.ppo.job import prepare
from training.rollout.rollouts import Generate
from training.run import folder as output
from training.run.fit import Stopped
from training.run.metrics import read

BF16 = {"precision": "bf16"}
QLORA = {**BF16, "lora": {"r": 4}, "quantize": "4bit"}
BASELINES = pytest.mark.parametrize("baseline", ["group", "critic"])


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    return small_inputs(tmp_path)


@pytest.mark.model
@BASELINES
@pytest.mark.parametrize("more", [{}, BF16, {**BF16, "lora": {"r": 4}}, QLORA], ids=["fp32", "bf16", "lora", "4 bits"])
def test_the_first_step_starts_at_the_reference_with_a_ratio_of_one(
    baseline: str, more: dict[str, Any], inputs: dict[str, Any], tmp_path: Path
) -> None:
    first, second, *_ = numbers(run_small(tmp_path / "run", inputs, baseline=baseline, learning_rate=1e-2, **more))
    assert (first["kl"], first["clip_fraction"]) == pytest.approx((0, 0), abs=ROUNDING if more else 0)
    assert first["approx_kl"] == pytest.approx(0, abs=1e-9)
    assert first["ratio"] == pytest.approx(1, abs=1e-6)
    assert first["mismatch"] < (1e-4 if inputs["precision"] == more.get("precision", "fp32") else 0.02)
    assert second["kl"] != 0
    assert second["clip_fraction"] == 0


@pytest.mark.model
def test_compiled_a_policy_is_still_its_own_reference(inputs: dict[str, Any], tmp_path: Path) -> None:
    """The reference's weights are bfloat16 and keep no gradients: it is compiled apart, and rounds as the policy does."""
    torch.compiler.reset()
    first = numbers(run_small(tmp_path / "run", inputs, baseline="group", precision="bf16", compile=True, steps=1))[0]
    assert first["kl"] == pytest.approx(0, abs=ROUNDING)
    assert first["ratio"] == pytest.approx(1, abs=1e-6)


@pytest.mark.model
@pytest.mark.parametrize("lora", [None, {"r": 4}], ids=["full", "lora"])
def test_the_reference_of_a_model_with_tied_embeddings_is_the_policy(
    lora: dict[str, Any] | None, inputs: dict[str, Any], tmp_path: Path
) -> None:
    small_model(tmp_path / "model", tie_word_embeddings=True)
    run_small(tmp_path / "run", inputs, baseline="group", precision="bf16", lora=lora)
    assert numbers(read(tmp_path / "run" / "metrics.jsonl"))[0]["kl"] == pytest.approx(0, abs=ROUNDING)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "run")
    assert saved.lm_head.weight is saved.get_input_embeddings().weight


@pytest.mark.model
def test_a_run_with_adapters_is_the_seeds_whatever_was_drawn_before(inputs: dict[str, Any], tmp_path: Path) -> None:
    rows = []
    for name in ("a", "b"):
        torch.manual_seed(ord(name))
        rows.append(numbers(run_small(tmp_path / name, inputs, lora={"r": 4}, learning_rate=1e-2, save_every=None)))
    assert rows[0] == rows[1]


@pytest.mark.model
def test_a_critic_that_starts_from_an_ensemble_has_the_mean_of_its_heads(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    ensemble = small_model(tmp_path / "rm", "LlamaForSequenceClassification", 1, num_labels=3, reward_heads=3)
    settings = {**inputs, "reward": {"models": {"paths": [str(ensemble)]}}, "steps": 1}
    (first,) = numbers(run_small(tmp_path / "run", settings))
    assert first["head_spread"] > 0
    critic = load_critic(resolve(str(ensemble)), load(PPO, None, [], settings))
    heads = load_reward(resolve(str(ensemble)), 3, load(PPO, None, [], settings))
    batch = collate([Example((3, 4, 5), [(6, 7), (8,)])], critic.layout)
    assert torch.allclose(critic(batch)[:, 0], heads(batch).mean(1), atol=1e-6)
    assert critic.config.num_labels == 1


@pytest.mark.model
@BASELINES
def test_later_passes_move_the_ratio(baseline: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    first = numbers(run_small(tmp_path / "run", inputs, baseline=baseline, learning_rate=1e-2, passes=4, steps=1))[0]
    assert first["approx_kl"] > 1e-4
    assert first["clip_fraction"] > 0


@pytest.mark.model
def test_the_learning_rate_of_each_iteration_is_that_of_the_schedule(inputs: dict[str, Any], tmp_path: Path) -> None:
    changes = {"baseline": "group", "steps": 5, "warmup": 0.4, "learning_rate": 1e-3, "schedule": "linear"}
    rows = numbers(run_small(tmp_path / "run", inputs, **changes))
    assert [row["lr"] / 1e-3 for row in rows] == pytest.approx([0.5, 1, 1, 2 / 3, 1 / 3])


@pytest.mark.model
@BASELINES
def test_results_do_not_depend_on_the_micro_batch(baseline: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    settings = {**inputs, "baseline": baseline, "passes": 2, "batch_size": 8, "learning_rate": 1e-3, "entropy": 0.01}
    whole = numbers(run_small(tmp_path / "a", settings, micro_batch_size=16))
    cut = numbers(run_small(tmp_path / "b", settings, micro_batch_size=3, layout="padded"))
    assert len(whole) == 3
    for one, other in zip(whole, cut, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=2e-5)


@pytest.mark.model
@BASELINES
def test_a_trivial_reward_is_learnt(baseline: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    settings = small_inputs(tmp_path, {**LETTER, "check": {"must_match": "ab|e"}, "id": "letter"})
    settings |= {
        "sampler": {"engine": "generate", "max_tokens": 3},
        "samples": 8,
        "batch_size": 32,
        "micro_batch_size": 32,
    }
    settings |= {"eval_every": 40, "test_fraction": 0.3}
    if baseline == "critic":
        settings["critic_learning_rate"] = 3e-3
    rows = run_small(
        tmp_path / "run", settings, baseline=baseline, learning_rate=1e-2, steps=40, kl={"coefficient": 0.0}
    )
    success = [values["success"] for values in numbers(rows)]
    assert sum(success[:3]) / 3 < 0.6
    assert sum(success[-5:]) / 5 > 0.9
    before, after = numbers(rows, "eval")
    assert after["success"] > before["success"]
    assert after["kl"] > 1


@pytest.mark.model
def test_a_pull_to_the_reference_keeps_the_policy_near(inputs: dict[str, Any], tmp_path: Path) -> None:
    drift = {}
    for coefficient in (0.0, 1.0):
        kl = {"coefficient": coefficient}
        rows = run_small(tmp_path / f"{coefficient}", inputs, baseline="group", learning_rate=1e-2, steps=16, kl=kl)
        drift[coefficient] = sum(values["kl"] for values in numbers(rows)[-4:])
    assert drift[1.0] < 0.5 * drift[0.0]


@pytest.mark.model
def test_the_coefficient_is_steered_towards_the_target(inputs: dict[str, Any], tmp_path: Path) -> None:
    kl = {"coefficient": 0.1, "target": 50.0, "horizon": 16}
    rows = numbers(run_small(tmp_path / "run", inputs, baseline="group", kl=kl))
    assert [values["kl_coefficient"] for values in rows] == pytest.approx([0.1, 0.08, 0.064])


class Killer(Console):
    """A terminal at which the program is killed once it has said something."""

    def __init__(self, last: str) -> None:
        super().__init__(quiet=True)
        self._last = last

    def print(self, *said: Any, **_: Any) -> None:
        if str(said[0]).startswith(self._last):
            raise KeyboardInterrupt


@pytest.mark.model
@BASELINES
def test_a_killed_run_goes_on_to_the_same_numbers(baseline: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    settings = {**inputs, "baseline": baseline, "steps": 5, "save_every": 2, "eval_every": 2, "learning_rate": 1e-3}
    settings |= {"kl": {"coefficient": 0.1, "target": 0.01, "horizon": 50}, "schedule": "linear"}
    expected = run_small(tmp_path / "whole", settings)
    job = prepare(load(PPO, None, [], settings), tmp_path / "killed")
    with pytest.raises(KeyboardInterrupt):
        ppo.run(job, Killer("train      4"))
    assert sorted(path.name for path in (tmp_path / "killed" / "checkpoints").iterdir()) == ["checkpoint-2"]
    resumed = run_small(tmp_path / "killed", settings)
    for split in ("train", "eval"):
        assert numbers(resumed, split) == numbers(expected, split)
    whole, killed = (AutoModelForCausalLM.from_pretrained(tmp_path / name).state_dict() for name in ("whole", "killed"))
    assert all(torch.equal(whole[name], killed[name]) for name in whole)
    assert not (tmp_path / "killed" / "checkpoints").exists()


@pytest.mark.model
def test_a_response_without_a_reward_is_left_out_and_counted(inputs: dict[str, Any], tmp_path: Path) -> None:
    """Half of the prompts have no principle that applies; without them the same is learnt."""
    settings = small_inputs(tmp_path, {**SHORT, "applies_to": {"tags": ["in"]}})
    lines = [{"prompt": f"Say something about {i}.", "tags": ["in"] if i % 2 else ["out"]} for i in range(8)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    settings |= {"test_fraction": 0.0, "prompts": 8, "batch_size": 32, "steps": 1, "baseline": "group"}
    values = numbers(run_small(tmp_path / "run", settings))[0]
    assert (values["failed"], values["rewarded"]) == (16.0, 16.0)
    odd = "".join(json.dumps(line) + "\n" for line in lines[1::2])
    (tmp_path / "prompts.jsonl").write_text(odd, encoding="utf-8")
    alone = numbers(run_small(tmp_path / "odd", settings, prompts=4, batch_size=16))[0]
    for name in ("score", "grad_norm", "entropy", "length"):
        assert values[name] == pytest.approx(alone[name], rel=1e-4)


def test_a_run_without_any_reward_stops_and_says_why(tmp_path: Path) -> None:
    settings = small_inputs(tmp_path, {**SHORT, "applies_to": {"tags": ["in"]}})
    with pytest.raises(Stopped) as error:
        run_small(tmp_path / "run", settings)
    assert str(error.value) == (
        "step 1: none of 16 responses has a reward; the first says: no_principle: no principle of small applies to tags (none)"
    )


@pytest.mark.parametrize("lora", [None, pytest.param({"r": 4}, marks=pytest.mark.model)], ids=["full", "lora"])
def test_what_is_saved_is_an_ordinary_checkpoint(
    lora: dict[str, Any] | None, inputs: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run_small(out, inputs, baseline="group", learning_rate=1e-2, lora=lora)
    new, old = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (out, inputs["model"]))
    assert new.keys() == old.keys()
    assert any(not torch.equal(new[name], old[name]) for name in new)
    said = json.loads((out / "training.json").read_text())
    assert (said["recipe"], said["steps"]) == ("ppo", 3)
    assert {"eval_success", "eval_kl", "eval_score"} <= set(said["results"])
    assert (out / "training.html").is_file()
    assert "# " in (out / "README.md").read_text()
    responses = [json.loads(line) for line in (out / "responses.jsonl").read_text().splitlines()]
    assert {"prompt", "response", "score", "kl"} <= set(responses[0])
    assert (
        ppo.run(
            prepare(load(PPO, None, [], {**inputs, "baseline": "group", "learning_rate": 1e-2, "lora": lora}), out),
            Console(quiet=True),
        )
        == said
    )


@pytest.mark.model
def test_reward_models_reward_and_the_critic_starts_from_the_first(inputs: dict[str, Any], tmp_path: Path) -> None:
    one = small_model(tmp_path / "a", "LlamaForSequenceClassification", 1, num_labels=1)
    two = small_model(tmp_path / "b", "LlamaForSequenceClassification", 2, num_labels=1)
    settings = {**inputs, "reward": {**inputs["reward"], "models": {"paths": [str(one), str(two)], "pessimism": 1.0}}}
    job = prepare(load(PPO, None, [], settings), tmp_path / "run")
    assert job.critic is not None
    assert job.critic.path == one
    first = numbers(run_small(tmp_path / "run", settings))[0]
    assert first["score"] == pytest.approx(first["reward/rules"] + first["reward/models"], abs=1e-6)
    assert first["head_spread"] > 0
    ready = load(PPO, None, [], {**inputs, "baseline": "group"})
    assert prepare(ready, tmp_path / "other").critic is None


@pytest.mark.model
def test_every_kind_of_reward_at_once(tmp_path: Path) -> None:
    inputs = small_inputs(tmp_path, SHORT, LETTER, {"id": "kind", "objective": "form", "text": "Be kind."})
    model = small_model(tmp_path / "rm", "LlamaForSequenceClassification", num_labels=3, reward_heads=3)
    rules = inputs["reward"]["rules"]
    judge = {**rules, "model": inputs["model"], "methods": ["contrast"], "engine": "transformers", "weight": 0.5}
    sources = {"rules": rules, "models": {"paths": [str(model)], "weight": 2.0}, "judge": judge}
    rows = numbers(run_small(tmp_path / "run", inputs, reward=sources, baseline="group"))
    for row in rows:
        expected = row["reward/rules"] + 2 * row["reward/models"] + 0.5 * row["reward/judge"]
        assert row["score"] == pytest.approx(expected, abs=1e-6)
        assert row["head_spread"] > 0
    assert {"reward/rules", "reward/judge", "reward/models.0"} <= set(
        json.loads((tmp_path / "run" / "training.json").read_text())["digests"]
    )


@pytest.mark.model
def test_narrowed_sampling_is_warned_of_and_measured(inputs: dict[str, Any], tmp_path: Path) -> None:
    sampler = {**inputs["sampler"], "top_p": 0.5}
    rows = run_small(tmp_path / "run", inputs, sampler=sampler, baseline="group")
    warned = [row.text for row in rows if row.split == "warning"]
    assert warned[0].startswith("sampler.top_p is 0.5: responses come from another distribution")
    assert numbers(rows)[0]["mismatch"] == pytest.approx(0.69, abs=0.05)
    assert numbers(rows)[0]["clip_fraction"] == 0


@pytest.mark.model
def test_a_sampler_that_fails_is_no_bad_sign(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise TransientError("the engine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Generate, "write", fail)
        with pytest.raises(
            Unavailable, match=r"the sampler failed \(the engine is gone\); run the same command again to resume"
        ):
            run_small(tmp_path / "run", inputs)
    assert len(numbers(run_small(tmp_path / "run", inputs))) == 3


def test_iterations_see_every_prompt_once_in_an_order_that_the_seed_decides(
    inputs: dict[str, Any], tmp_path: Path
) -> None:
    def seen(seed: int) -> list[list[str]]:
        job = prepare(load(PPO, None, [], {**inputs, "seed": seed}), tmp_path / "run")
        return [[row.prompt.id for row in job.prompts(i)] for i in range(8)]

    order = seen(0)
    assert order == seen(0) != seen(1)
    for epoch in (order[:4], order[4:]):
        assert len({name for part in epoch for name in part}) == 16


def test_chunks_keep_the_order_and_cut_groups_where_they_must() -> None:
    examples = [Example((1,), ((2,), (3,), (4,))), Example((5,), ((6,),)), Example((7,), ((8,), (9,)))]
    parts = list(chunks(examples, 2))
    assert [[(e.prompt, e.responses) for e in part] for part in parts] == [
        [((1,), [(2,), (3,)])],
        [((1,), [(4,)]), ((5,), [(6,)])],
        [((7,), [(8,), (9,)])],
    ]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, [-1.5, 1.5, 0.0], id="leave-one-out"),
        pytest.param({"leave_one_out": False}, [-0.75, 0.75, 0.0], id="mean"),
    ],
)
def test_a_group_is_measured_against_itself(changes: dict[str, Any], expected: list[float]) -> None:
    responses = Responses([Example((1,), ((2,), (3,))), Example((4,), ((5,),))], [0, 1], [1.0, 2.5, 9.0], [])
    settings = PPO.model_validate({"reward": {"rules": {"constitution": "x"}}, "baseline": "group", **changes})
    assert by_group(torch.tensor(responses.scores), responses, settings).tolist() == expected


@pytest.mark.model
@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        pytest.param({"missing_end_penalty": 1.0}, True, id="penalty"),
        pytest.param({"reward_clip": 0.1}, True, id="clip"),
        pytest.param({"reward_clip": 2.0, "missing_end_penalty": 5.0}, True, id="both"),
        pytest.param({"reward_clip": 10.0}, False, id="wide-clip"),
    ],
)
def test_scores_are_shaped_for_learning_and_logged_as_they_are(
    changes: dict[str, Any], changed: bool, inputs: dict[str, Any], tmp_path: Path
) -> None:
    settings = {**inputs, "steps": 1, "whiten_advantages": False}
    plain = numbers(run_small(tmp_path / "a", settings))[0]
    shaped = numbers(run_small(tmp_path / "b", settings, **changes))[0]
    assert shaped["score"] == plain["score"]
    assert (shaped["value_loss"] != plain["value_loss"]) == changed


def test_the_penalty_of_a_missing_end_is_not_clipped() -> None:
    settings = load(PPO, None, ["reward.rules.constitution=x", "reward_clip=1.0", "missing_end_penalty=4.0"])
    scores = [shape_reward(score, ended, settings) for score in (-9.0, 0.5, 9.0) for ended in (True, False)]
    assert scores == [-1.0, -5.0, 0.5, -3.5, 1.0, -3.0]


@pytest.mark.model
def test_half_a_surrogate_in_a_prompt_is_no_trouble(inputs: dict[str, Any], tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"Say \ud800 {i}."}) for i in range(20)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run_small(tmp_path / "run", inputs, baseline="group", steps=1, test_fraction=0.5)
    responses = [json.loads(line) for line in (tmp_path / "run" / "responses.jsonl").read_text().splitlines()]
    assert responses[0]["prompt"].startswith("Say \ud800 ")


def test_the_card_and_the_digests_name_all_that_was_read(inputs: dict[str, Any], tmp_path: Path) -> None:
    critic = small_model(tmp_path / "critic", "LlamaForSequenceClassification", 3, num_labels=1)
    run_small(tmp_path / "run", inputs, critic=str(critic), steps=1)
    job = prepare(load(PPO, None, [], {**inputs, "critic": str(critic)}), tmp_path / "other")
    assert job.run_record["digests"]["critic"] == resolve(str(critic)).digest
    (source,) = job.sources
    assert source.rows == 20
    (line,) = [line for line in (tmp_path / "run" / "README.md").read_text().splitlines() if source.digest in line]
    assert "20" in line


def test_how_responses_are_written_may_change_between_restarts(inputs: dict[str, Any], tmp_path: Path) -> None:
    sampler = {**inputs["sampler"], "responses_in_flight": 2}
    first = prepare(load(PPO, None, [], inputs), tmp_path / "run")
    first.out.mkdir()
    output.claim(first.out, first.run_record)
    output.claim(first.out, prepare(load(PPO, None, [], {**inputs, "sampler": sampler}), first.out).run_record)
    longer = prepare(load(PPO, None, [], {**inputs, "sampler": {**sampler, "max_tokens": 9}}), first.out)
    with pytest.raises(UserError, match=r"sampler\.max_tokens"):
        output.claim(first.out, longer.run_record)


def test_a_bad_sign_ends_the_run_and_is_told_on_the_page(inputs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(Stopped, match=r"length is .* the policy falls silent"):
        run_small(tmp_path / "run", inputs, baseline="group", watch={"min_length": 100.0, "patience": 1})
    assert any(row.split == "warning" for row in read(tmp_path / "run" / "metrics.jsonl"))
    assert "falls silent" in (tmp_path / "run" / "training.html").read_text()
