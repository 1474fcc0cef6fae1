"""The group baseline: equal scores give no step, none is shifted by its length, and other prompts may take their place."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from constitution.errors import UserError
from generation.models.files import resolve
from generation.settings import load
from tests.training.ppo_small import LETTER, numbers, run_small, small_inputs, small_model
from training.data.batches import Example
from training.model.loading import load_policy
from training.ppo.config import PPO
from training.ppo.experience import Responses, build_experience, by_group, equal, scaled, shape_reward
from training.ppo.job import prepare
from training.ppo.update import Update

CONSTANT = {**LETTER, "check": {"max_words": 1000}}


def settings_of(**changes: Any) -> PPO:
    given = {"reward": {"rules": {"constitution": "x"}}, "baseline": "group", **changes}
    return PPO.model_validate(given)


def responses_of(*groups: tuple[list[int], list[float]]) -> Responses:
    """Groups of responses with these lengths and scores."""
    examples = [Example((1,), [(2,) * length for length in lengths]) for lengths, _ in groups]
    scores = [score for _, scores in groups for score in scores]
    sampled = [(-1.0,) * length for lengths, _ in groups for length in lengths]
    return Responses(examples, list(range(len(groups))), scores, sampled)


def advantages_of(responses: Responses, noise: float = 0.0, **changes: Any) -> Any:
    """Of each response's first token, where the policy has left its reference by some noise."""
    torch.manual_seed(0)
    mask = responses.mask()
    logp = -torch.ones(mask.shape) * mask
    ref = logp + noise * torch.randn(mask.shape) * mask
    return build_experience(responses, logp, ref, None, 0.05, settings_of(**changes), Accelerator(cpu=True)).advantages


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("whiten", [False, True])
def test_equal_scores_have_no_advantage_whatever_the_noise_of_their_kl(scale: bool, whiten: bool) -> None:
    responses = responses_of(([3, 5], [0.5, 0.5]), ([2, 2], [1.0, 1.0005]))
    assert not advantages_of(responses, noise=1e-3, scale=scale, whiten_advantages=whiten).any()


def test_scores_further_apart_than_min_spread_have_one() -> None:
    responses = responses_of(([3, 5], [0.5, 0.502]))
    assert advantages_of(responses).any()
    assert not advantages_of(responses, min_spread=0.01).any()


def test_a_group_that_differs_is_not_made_larger_by_those_that_do_not() -> None:
    alone = advantages_of(responses_of(([3, 3], [0.0, 1.0])))
    among = advantages_of(responses_of(([3, 3], [0.0, 1.0]), ([3, 3], [1.0, 1.0]), ([3, 3], [0.0, 0.0])))
    assert alone[:, 0].tolist() == among[:2, 0].tolist() == [-1.0, 1.0]


def test_long_responses_shift_no_advantage() -> None:
    """Whitening over tokens would take the mean of 9 tokens at -1 and 1 token at 1 for 0."""
    found = advantages_of(responses_of(([9, 1], [0.0, 1.0])))[:, 0]
    assert found.tolist() == [-1.0, 1.0]


def test_advantages_are_divided_by_their_root_mean_square() -> None:
    given = torch.tensor([3.0, -3.0, 0.0, 0.0, 4.0, -4.0])
    assert torch.allclose(scaled(given, Accelerator(cpu=True)), given / math.sqrt(12.5))
    assert not scaled(torch.zeros(4), Accelerator(cpu=True)).any()


def test_group_baselines_take_the_kl_penalty_into_account_where_scores_differ() -> None:
    responses = responses_of(([1, 1], [0.0, 1.0]))
    totals = torch.tensor([-0.5, 1.0])
    assert by_group(totals, responses, settings_of()).tolist() == [-1.5, 1.5]


def test_no_scores_are_equal_and_one_is() -> None:
    assert equal([], settings_of())
    assert equal([7.0], settings_of())
    assert not equal([7.0, 7.1], settings_of())


@pytest.mark.parametrize(
    ("length", "ended", "expected"),
    [
        pytest.param(10, True, 1.0, id="short"),
        pytest.param(12, True, 1.0, id="where-it-begins"),
        pytest.param(14, True, 0.5, id="half-way"),
        pytest.param(16, True, 0.0, id="at-the-limit"),
        pytest.param(16, False, -3.0, id="cut"),
    ],
)
def test_responses_near_the_limit_lose_some_of_their_score(length: int, ended: bool, expected: float) -> None:
    sampler = {"max_tokens": 16}
    settings = settings_of(overlong={"tokens": 4}, sampler=sampler, missing_end_penalty=3.0)
    assert shape_reward(1.0, ended, settings, length) == pytest.approx(expected)


def test_a_response_that_hides_something_may_lose_some_of_its_score() -> None:
    settings = settings_of(hidden_penalty=0.5, reward_clip=1.0)
    assert shape_reward(3.0, True, settings, 4, hidden=True) == 0.5
    assert shape_reward(3.0, True, settings, 4) == 1.0


def test_a_penalty_that_begins_before_the_first_token_is_refused() -> None:
    with pytest.raises(UserError) as error:
        load(PPO, None, ["overlong.tokens=128"], {"reward": {"rules": {"constitution": "x"}}})
    assert "overlong.tokens: got 128; allowed: less than sampler.max_tokens (128)" in str(error.value)


@pytest.mark.parametrize("setting", ["equal_groups=drop", "resample_times=2"])
def test_what_only_groups_read_is_refused_without_them(setting: str) -> None:
    with pytest.raises(UserError, match=setting.partition("=")[0]):
        load(PPO, None, [setting], {"reward": {"rules": {"constitution": "x"}}})


def test_other_prompts_are_those_that_the_iteration_does_not_ask(tmp_path: Path) -> None:
    job = prepare(load(PPO, None, [], {**small_inputs(tmp_path), "baseline": "group"}), tmp_path / "run")
    asked = [row.prompt.id for row in job.prompts(1)]
    others = [job.other_prompt(1, turn, place) for turn in range(6) for place in range(4)]
    names = [row.prompt.id for row in others if row]
    assert len(names) == len(set(names)) == len(job.train.rows) - 4
    assert not set(names) & set(asked)
    assert others[-1] is None


@pytest.mark.model
@pytest.mark.parametrize("baseline", ["group", "critic"])
def test_constant_rewards_leave_the_policy_as_it_is(baseline: str, tmp_path: Path) -> None:
    settings = small_inputs(tmp_path, CONSTANT)
    rows = run_small(tmp_path / "run", settings, baseline=baseline, learning_rate=1e-2, passes=2)
    assert {row["score_std"] for row in numbers(rows)} == {0.0}
    assert {row["grad_norm"] for row in numbers(rows)} == {0.0}
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "model", tmp_path / "run"))
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert any("all responses are rewarded alike" in row.text for row in rows)


def test_momentum_does_not_move_a_policy_that_has_nothing_to_learn(tmp_path: Path) -> None:
    settings = settings_of(precision="fp32", prompts=1, samples=2, learning_rate=1e-2)
    policy = load_policy(resolve(str(small_model(tmp_path / "model"))), settings)
    update = Update(policy, None, settings, Accelerator(cpu=True), 10)

    def learned(*scores: float) -> bool:
        before = {name: p.detach().clone() for name, p in policy.named_parameters()}
        responses = responses_of(([3, 2], list(scores)))
        logp = -torch.ones(responses.mask().shape) * responses.mask()
        accelerator = Accelerator(cpu=True)
        update.learn(build_experience(responses, logp, logp, None, 0.0, settings, accelerator), 0)
        return any(not torch.equal(p, before[name]) for name, p in policy.named_parameters())

    assert learned(0.0, 1.0)
    assert not learned(1.0, 1.0)


@pytest.mark.model
@pytest.mark.parametrize("how", ["drop", "resample"])
def test_equal_groups_are_left_out_or_replaced(how: str, tmp_path: Path) -> None:
    settings = small_inputs(tmp_path, {**LETTER, "check": {"must_match": "e"}}) | {"samples": 2, "batch_size": 4}
    rows = numbers(run_small(tmp_path / "run", settings, baseline="group", equal_groups=how, learning_rate=1e-2))
    assert any(row["equal_groups"] > 0 for row in rows)
    assert any(row["resampled"] > 0 for row in rows) == (how == "resample")
    assert all(row["rewarded"] == 8 + 2 * row["resampled"] for row in rows)


@pytest.mark.model
def test_dropped_groups_change_nothing_but_the_size_of_the_mean(tmp_path: Path) -> None:
    settings = small_inputs(tmp_path, {**LETTER, "check": {"must_match": "e"}}) | {"samples": 2, "steps": 1}
    settings |= {"baseline": "group", "kl": {"coefficient": 0.0}, "batch_size": 8}
    kept, dropped = (numbers(run_small(tmp_path / how, settings, equal_groups=how))[0] for how in ("keep", "drop"))
    assert 0 < kept["equal_groups"] < 1
    assert dropped["grad_norm"] > kept["grad_norm"] > 0
    assert dropped["kl"] == kept["kl"]


@pytest.mark.model
@pytest.mark.parametrize("mean", ["responses", "max_tokens"])
def test_the_mean_of_the_loss_does_not_depend_on_the_micro_batch(mean: str, tmp_path: Path) -> None:
    settings = small_inputs(tmp_path) | {"baseline": "group", "loss_mean": mean, "learning_rate": 1e-3}
    whole = numbers(run_small(tmp_path / "a", settings, micro_batch_size=16))
    cut = numbers(run_small(tmp_path / "b", settings, micro_batch_size=3))
    for one, other in zip(whole, cut, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=2e-5)
