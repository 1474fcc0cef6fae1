"""Settings that would be read by nobody are refused, and those that nobody gave are what the recipe needs."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from constitution.errors import problems_of
from tests.defaults import assert_golden
from training import config
from training.config import Lora, Training
from training.ppo.config import PPO
from training.recipes.config import DPO, SFT, Reward

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
        pytest.param(DPO, {"label_smoothing": 0.1}, "label_smoothing: got 0.1, which loss: soft does not read; set loss: cdpo", id="smoothing"),
        pytest.param(DPO, {"loss": "robust"}, "label_smoothing: got 0, with which loss: robust is soft; set label_smoothing above 0", id="no smoothing"),
        pytest.param(Reward, {"data": {"a": 1}, "eval_sources": ["b"]}, "eval_sources: got b; allowed: sources of data: a", id="tested"),
        pytest.param(SFT, {"eval_sources": ["b"]}, "eval_sources: got b; allowed: sources of data: none, as data names none", id="no data"),
        pytest.param(PPO, {"baseline": "group", "gamma": 0.9, "critic_warmup": 1}, "gamma: has no effect with baseline: group (likewise critic_warmup); leave it out", id="group"),
        pytest.param(PPO, {"scale": True}, "scale: has no effect with baseline: critic; leave it out", id="critic"),
        pytest.param(DPO, {"labels": {"temperature": float("inf")}}, "labels.temperature: got inf; allowed: a finite number", id="infinite"),
        pytest.param(SFT, {"epochs": float("inf")}, "epochs: got inf; allowed: a finite number", id="endless"),
        pytest.param(PPO, {"truncated": "drop"}, "truncated: has no effect: PPO samples its own responses", id="cut"),
        pytest.param(PPO, {"bucket": False}, "bucket: has no effect: PPO samples its own responses", id="bucket"),
        pytest.param(PPO, {"lora": {"dropout": 0.1}}, "lora.dropout: has no effect: PPO", id="dropout"),
        pytest.param(PPO, {"router_aux_loss": 0.1}, "router_aux_loss: has no effect: PPO", id="experts"),
        pytest.param(PPO, {"data": {"a": 1, "b": 0.5}}, "data: has no effect: PPO", id="weights"),
        pytest.param(SFT, {"epochs": 2, "steps": 5}, "epochs: got 2.0, which is read only where steps is not set; leave it out", id="epochs"),
        pytest.param(PPO, {"epochs": 2, "steps": 5}, "epochs: got 2.0, which is read only where steps is not set", id="epochs-of-ppo"),
        pytest.param(DPO, {"loss": "sigmoid", "labels": {"floor": 0.1}}, "labels.floor: got 0.1, which is read only where loss is not sigmoid, plackett_luce", id="floor"),
        pytest.param(DPO, {"loss": "reference_free", "labels": {"temperature": 2}}, "labels.temperature: got 2.0, which is read only where", id="hard"),
        pytest.param(DPO, {"penalty": 5}, "penalty: got 5.0, which is read only where loss is dpop", id="penalty"),
        pytest.param(DPO, {"loss": "ipo", "margins": True}, "margins: got True, which is read only where loss is soft, sigmoid", id="margins"),
        pytest.param(SFT, {"watch": {"leak_rows": None, "leak_pairs": 9}}, "watch.leak_pairs: got 9, which is read only where leak_rows is set", id="leaks"),
        pytest.param(PPO, {"kl": {"horizon": 9}}, "kl.horizon: got 9.0, which is read only where target is set", id="horizon"),
        pytest.param(PPO, {"monitor": {"checks": 3}}, "monitor: got {'checks': 3}, which is read only where monitor.every or eval_every is set", id="monitor"),
        pytest.param(PPO, {"save_every": None, "keep_checkpoints": 3}, "keep_checkpoints: got 3, which is read only where save_every is set", id="checkpoints"),
        pytest.param(PPO, {"sampler": {"engine": "generate", "vllm": {"max_model_len": 512}}}, "sampler.vllm: got {", id="sampler"),
    ],
)  # fmt: skip
def test_what_nobody_would_read_is_refused(kind: type[Training], given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as told:
        kind.model_validate({**(RULES if kind is PPO else {}), **given})
    assert message in "\n".join(map(str, problems_of(told.value, kind)))


def test_what_is_read_is_taken() -> None:
    DPO.model_validate({"loss": "ipo", "labels": {"floor": 0.1, "temperature": 2}, "epochs": 2})
    Reward.model_validate({"labels": {"floor": 0.1}, "steps": 9})
    given = {
        "kl": {"target": 6, "horizon": 9},
        "monitor": {"checks": 3},
        "eval_every": 5,
        "sampler": {"vllm": {"dtype": "float16"}},
    }
    PPO.model_validate({**RULES, **given})


@pytest.mark.parametrize("loss", ["cdpo", "robust"])
def test_a_loss_that_reads_smoothing_takes_it(loss: str) -> None:
    assert DPO.model_validate({"loss": loss, "label_smoothing": 0.1}).label_smoothing == 0.1


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ValidationError, match=r"compile\n.*got true, which needs a C\+\+ compiler, and there is no no-such-compiler"
    ):
        SFT(compile=True)
    assert not SFT().compile


def test_defaults_and_bounds_change_only_on_purpose() -> None:
    assert_golden(Path(__file__).parent / "golden" / "training.txt", config)
