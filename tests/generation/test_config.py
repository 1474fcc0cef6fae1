"""Defaults of a run's settings."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from constitution.errors import problems_of
from generation import config, placement, request, roles
from generation.config import Decoding, Plan, RunConfig
from tests.defaults import assert_golden
from training.rollout.config import SamplerSettings


def test_one_setting_of_a_group_leaves_the_others_as_they_are():
    plan = Plan.model_validate({"sample": {"max_tokens": 9}, "critique": {"temperature": 0.5}})
    assert plan.sample == Decoding(max_tokens=9, temperature=1.0)
    assert plan.critique == Decoding(max_tokens=256, temperature=0.5)
    assert plan.reason == Plan().reason


def test_the_samplers_share_of_a_gpu_stays_where_another_setting_of_vllm_is_named():
    assert SamplerSettings.model_validate({"vllm": {"max_model_len": 512}}).vllm.gpu_memory_utilization == 0.3


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "run.txt", config, placement, request, roles)


SERVER = {"url": "http://h:1"}
EXACT = {"policy": "p", "endpoints": [{**SERVER, "token_ids": True}]}
CHAT = {"policy": "p", "endpoints": [SERVER]}
REASONS = {"name": "x", "model": "m", "methods": ["reasoned"]}


@pytest.mark.parametrize(
    ("read", "unread", "key"),
    [
        pytest.param({"plan": {"methods": ["reasoned"], "clamp": [0.3, 0.7]}}, {"plan": {"clamp": [0.3, 0.7]}}, "plan.clamp", id="clamp"),
        pytest.param({"panel": [REASONS], "plan": {"reason": {"max_tokens": 9}}}, {"plan": {"reason": {"max_tokens": 9}}}, "plan.reason", id="of-a-member"),
        pytest.param({"plan": {"critique": {"max_tokens": 9}}}, {"plan": {"critique": {"max_tokens": 9}, "rounds": 0}}, "plan.critique", id="critique"),
        pytest.param({"plan": {"revise": {"max_tokens": 9}}}, {"plan": {"revise": {"max_tokens": 9}, "rounds": 0}}, "plan.revise", id="revise"),
        pytest.param({"plan": {"critics": 2}}, {"plan": {"critics": 2, "rounds": 0}}, "plan.critics", id="critics"),
        pytest.param({**CHAT, "plan": {"verdict_samples": 8}}, {**EXACT, "plan": {"verdict_samples": 8}}, "plan.verdict_samples", id="verdicts"),
        pytest.param({**EXACT, "plan": {"verdict_samples": 8, "batch_principles": 2}}, {**EXACT, "plan": {"verdict": {"max_tokens": 9}}}, "plan.verdict", id="shared-calls"),
        pytest.param({**CHAT, "plan": {"verdict": {"temperature": 0}}}, {**CHAT, "plan": {"verdict": {"temperature": 0}, "verdict_samples": 8}}, "plan.verdict_samples", id="equal-verdicts"),
        pytest.param({"plan": {"position_inconsistent": "drop"}}, {"plan": {"position_inconsistent": "drop", "methods": ["score"]}}, "plan.position_inconsistent", id="one-position"),
        pytest.param({"plan": {"batch_principles": 2}}, {"plan": {"batch_principles": 2, "methods": ["score"]}}, "plan.batch_principles", id="no-shared-calls"),
        pytest.param({"plan": {"schedule": "swiss"}}, {"plan": {"schedule": "swiss", "pairs": "revision_original"}}, "plan.schedule", id="schedule"),
        pytest.param({"plan": {"sample": {"top_p": 0.9}}}, {"plan": {"sample": {"top_p": 0.9, "temperature": 0}}}, "plan.sample.top_p", id="greedy"),
        pytest.param({"currency": "EUR", "prices": {"p": {"prompt": 1, "completion": 1}}}, {"currency": "EUR"}, "currency", id="currency"),
        pytest.param({"endpoints": [{**SERVER, "batch": True, "batch_window": "1h"}]}, {"endpoints": [{**SERVER, "batch_window": "1h"}]}, "endpoints.0.batch_window", id="no-batch"),
        pytest.param({"endpoints": [{**SERVER, "requests_per_minute": 9}]}, {"endpoints": [{**SERVER, "batch": True, "requests_per_minute": 9}]}, "endpoints.0.requests_per_minute", id="batch"),
        pytest.param({"endpoints": [{**SERVER, "key_header": "api-key", "api_key_env": "K"}]}, {"endpoints": [{**SERVER, "key_header": "api-key"}]}, "endpoints.0.key_header", id="no-key"),
    ],
)  # fmt: skip
def test_what_others_turn_off_is_refused(read: dict[str, Any], unread: dict[str, Any], key: str) -> None:
    engine = {} if "endpoints" in read else {"engine": "transformers"}
    RunConfig.model_validate({**engine, **read})
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate({**engine, **unread})
    (problem,) = problems_of(caught.value, RunConfig)
    assert problem.key == key
    assert "which is read only where " in problem.got
    assert problem.fix == "leave it out"


def test_settings_of_written_verdicts_are_taken_with_replay_which_stands_for_any_engine() -> None:
    assert RunConfig.model_validate({"engine": "replay", "plan": {"verdict_samples": 8}}).plan.verdict_samples == 8
