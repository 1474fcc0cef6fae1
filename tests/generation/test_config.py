"""Defaults of a run's settings."""

from pathlib import Path

from generation import config, roles
from generation.config import Decoding, Plan
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
    assert_golden(Path(__file__).parent / "golden" / "run.txt", config, roles)
