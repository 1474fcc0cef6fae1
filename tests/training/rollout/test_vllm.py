"""PPO on responses from vLLM: the weights that it samples from are those that are trained, in every iteration."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, Phi3Config

from generation.engines.base import ModelError
from generation.engines.checkpoint import load_tokenizer
from generation.engines.vllm import unavailable
from generation.models.files import resolve
from tests.forks import Process, start, wait
from tests.training.ppo_small import numbers, run_small, small_inputs, small_model
from tests.training.run.test_distributed import launch
from training.model.launch import state as launch_state
from training.model.loading import load_policy
from training.model.saving import save
from training.ppo.experience import Responses
from training.ppo.trainer import Loop
from training.recipes.config import SFT
from training.rollout.vllm import memory_folder, other_frequencies
from training.run.metrics import read

CASES: dict[str, dict[str, Any]] = {"full": {}, "lora": {"lora": {"r": 4}}}


def inputs(folder: Path) -> dict[str, Any]:
    """Settings of PPO on a checkpoint as training writes it."""
    files = resolve(str(small_model(folder / "wide", hidden_size=128, num_attention_heads=2)))
    save(load_policy(files, SFT()), load_tokenizer(files), folder / "saved", False)
    vllm = {"dtype": "float32", "kv_cache_gb": 1, "gpu_memory_utilization": 0.2}
    sampler = {"engine": "vllm", "max_tokens": 8, "vllm": vllm}
    return small_inputs(folder) | {"model": str(folder / "saved"), "sampler": sampler}


def sample(folder: Path, given: dict[str, Any], case: str) -> int:
    """A run with steps so large that responses from weights before would show; what the sampler's log-probabilities are off by is
    kept, of held-out responses too."""
    scored, gaps = Loop._scored, list[float]()

    def watched(self: Loop, responses: Responses, reference: bool, *given: Any) -> Any:
        found = scored(self, responses, reference, *given)
        if not reference and len(found):
            gaps.append(float((found - responses.table(responses.sampled)).abs().max()))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_scored", watched)
        run_small(folder / "run", given, baseline="group", learning_rate=3e-2, passes=3, **CASES[case])
    if launch_state().is_main_process:
        (folder / "gaps.json").write_text(json.dumps(gaps))
    return 0


def test_weights_go_through_memory_where_there_is_room(tmp_path: Path) -> None:
    assert memory_folder(0, tmp_path) == tmp_path
    assert memory_folder(1 << 60, tmp_path) is None
    assert memory_folder(0, tmp_path / "none") is None


def test_other_frequencies_than_those_of_training_are_told() -> None:
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "rope_theta": 1e4,
            "original_max_position_embeddings": 64}  # fmt: skip
    long = Phi3Config(
        hidden_size=32,
        num_attention_heads=4,
        max_position_embeddings=256,
        rope_parameters=rope,
        pad_token_id=0,
        original_max_position_embeddings=64,
    )
    assert "reads every sequence of this model (LongRoPE) as those beyond 64" in other_frequencies(long, 65)
    assert other_frequencies(long, 64) == other_frequencies(LlamaConfig(), 1 << 20) == ""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Case -> where it ran: both at once, since one waits for vLLM's start most of the time."""
    if reason := unavailable():
        pytest.skip(reason)
    made = {name: tmp_path_factory.mktemp(name) for name in CASES}
    running = {name: start(sample, folder, inputs(folder), name, log=folder / "log") for name, folder in made.items()}
    for name, process in running.items():
        assert_ended(process, made[name])
    return made


@pytest.mark.model
@pytest.mark.parametrize("name", CASES)
def test_vllm_samples_from_the_newest_weights(folders: dict[str, Path], name: str) -> None:
    assert_newest(folders[name])


@pytest.mark.model
@pytest.mark.nightly
def test_each_of_two_processes_has_an_engine_of_the_newest_weights(tmp_path: Path) -> None:
    if reason := unavailable():
        pytest.skip(reason)
    (tmp_path / "inputs.json").write_text(json.dumps(inputs(tmp_path)))
    assert_ended(launch(tmp_path, "ddp", __file__, str(tmp_path), log=tmp_path / "log"), tmp_path)
    assert_newest(tmp_path)


def assert_ended(process: Process, folder: Path) -> None:
    """Well, after a while."""
    wait(process)
    assert process.exitcode == 0, (folder / "log").read_text()[-3000:]


def assert_newest(folder: Path) -> None:
    """What was sampled is of the weights as they were then."""
    rows = numbers(read(folder / "run" / "metrics.jsonl"))
    assert [row["mismatch"] < 1e-3 for row in rows] == [True, True, True]
    assert [row["mismatch_kl"] < 1e-4 for row in rows] == [True, True, True]
    assert rows[1]["kl"] > 0.2
    gaps = json.loads((folder / "gaps.json").read_text())
    assert len(gaps) == 4, "the last is of what is saved: of an adapter, merged"
    assert max(gaps) < 1e-3


@pytest.mark.model
def test_a_rank_beyond_what_vllm_takes_is_refused(tmp_path: Path) -> None:
    if reason := unavailable():
        pytest.skip(reason)
    given = small_inputs(tmp_path) | {"lora": {"r": 1024}, "sampler": {"engine": "vllm", "max_tokens": 8}}
    with pytest.raises(ModelError, match=r"lora.r: got 1024, and vLLM takes at most 512; set sampler.engine: generate"):
        run_small(tmp_path / "run", given)


if __name__ == "__main__":
    at = Path(sys.argv[1])
    sys.exit(sample(at, json.loads((at / "inputs.json").read_text()), "full"))
