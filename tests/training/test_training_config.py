"""Settings that would be read by nobody are refused, and those that nobody gave are what the recipe needs."""

from typing import Any

import pytest
from pydantic import ValidationError

from training.config import DPO, SFT, Lora, Reward, Training
from training.ppo_config import PPO

RULES = {"reward": {"rules": {"constitution": "laws.yaml"}}}


@pytest.mark.parametrize(
    ("kind", "given", "rate"),
    [
        pytest.param(SFT, {}, 2e-5, id="sft"),
        pytest.param(SFT, {"lora": {"r": 4}}, 2e-4, id="sft, adapter"),
        pytest.param(Reward, {"lora": {}}, 1e-4, id="reward, adapter"),
        pytest.param(DPO, {"lora": Lora()}, 5e-5, id="dpo, adapter"),
        pytest.param(PPO, {**RULES, "lora": {"r": 4}}, 1e-4, id="ppo, adapter"),
        pytest.param(DPO, {"lora": None}, 5e-6, id="dpo, no adapter"),
        pytest.param(DPO, {"lora": {"r": 4}, "learning_rate": 3e-6}, 3e-6, id="as asked for"),
    ],
)
def test_adapters_learn_ten_times_as_fast(kind: type[Training], given: dict[str, Any], rate: float) -> None:
    settings = kind.model_validate(given)
    assert settings.learning_rate == pytest.approx(rate)
    assert kind.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        pytest.param(DPO, {"smoothing": 0.1}, "smoothing: got 0.1, which loss: soft does not read; set loss: conservative", id="smoothing"),
        pytest.param(DPO, {"loss": "robust"}, "smoothing: got 0, with which loss: robust is soft; set smoothing above 0", id="no smoothing"),
        pytest.param(Reward, {"data": {"a": 1}, "tested": ["b"]}, "tested: got b; allowed are sources of data: a", id="tested"),
        pytest.param(SFT, {"tested": ["b"]}, "tested: got b; allowed are sources of data: none, as none are named", id="no data"),
        pytest.param(PPO, {"cut": "drop"}, "cut: got drop: PPO writes its own replies", id="cut"),
        pytest.param(PPO, {"bucket": False}, "bucket: got false: PPO writes its own replies", id="bucket"),
        pytest.param(PPO, {"lora": {"dropout": 0.1}}, "lora.dropout: got more than 0: PPO", id="dropout"),
        pytest.param(PPO, {"data": {"a": 1, "b": 0.5}}, "data: got a weight other than 1: PPO", id="weights"),
    ],
)  # fmt: skip
def test_what_nobody_would_read_is_refused(kind: type[Training], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as told:
        kind.model_validate({**(RULES if kind is PPO else {}), **given})
    assert message in str(told.value)


@pytest.mark.parametrize("loss", ["conservative", "robust"])
def test_a_loss_that_reads_smoothing_takes_it(loss: str) -> None:
    assert DPO.model_validate({"loss": loss, "smoothing": 0.1}).smoothing == 0.1
