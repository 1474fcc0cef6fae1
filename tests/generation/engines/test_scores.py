"""Log-probabilities of a given reply: what a tiny model gives, what is refused, what the fake invents."""

import asyncio
import itertools
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from benchmarks.styles import STYLES
from generation.engines import transformers as transformers_engine
from generation.engines.base import Completion, ErrorReason, ModelError, Request, Sampling, Usage, scored_completion
from generation.engines.checkpoint import ModelFiles
from generation.engines.replay import pseudo_completion
from generation.engines.transformers import Transformers, TransformersSettings


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFiles, Any]:
    """A tiny random model, on disk and in memory."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    path: Path = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=700, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, eos_token_id=1, pad_token_id=1, initializer_range=0.5,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(path)
    STYLES["chatml"]().save_pretrained(path)
    return ModelFiles("tiny", path, "d", 64), model


def ask(files: ModelFiles, *requests: Request, batch_size: int = 8, dtype: Any = "float32") -> list[Completion]:
    async def together() -> list[Completion]:
        engine = Transformers(files, TransformersSettings(dtype=dtype, batch_size=batch_size))
        try:
            return list(await asyncio.gather(*(engine.generate(r) for r in requests)))
        finally:
            await engine.close()

    return asyncio.run(together())


def requests() -> list[Request]:
    dice = random.Random(1)
    sizes = [(5, 2), (40, 39), (12, 1), (2, 1), (23, 10), (63, 30), (12, 8)]
    rows = [(tuple(dice.randrange(700) for _ in range(length)), scored) for length, scored in sizes]
    return [Request("m", "compare", tokens, Sampling(1), scored=scored) for tokens, scored in rows]


@pytest.mark.parametrize("logits", [pytest.param(1 << 28, id="at-once"), pytest.param(20_000, id="in-parts")])
@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_scores_are_those_of_one_prompt_at_a_time(
    tiny: tuple[ModelFiles, Any], batch_size: int, logits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(transformers_engine, "LOGITS", logits)
    files, model = tiny
    for request, completion in zip(requests(), ask(files, *requests(), batch_size=batch_size), strict=True):
        with torch.inference_mode():
            table = model(torch.tensor([request.tokens])).logits[0].log_softmax(-1)
        places = range(len(request.tokens) - request.scored, len(request.tokens))
        assert completion.scores == pytest.approx([table[i - 1, request.tokens[i]].item() for i in places], abs=1e-4)
        assert (completion.text, completion.logprobs, completion.usage) == ("", {}, Usage(len(request.tokens)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_logits_of_a_half_precision_model_are_not_rounded(tiny: tuple[ModelFiles, Any], dtype: str) -> None:
    """They are float32 products of its hidden states and its head's weights, for labels and for scores."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny[0].path, dtype=dtype).eval()
    labels = (("A", 30), ("B", 31))
    scored = requests()[:3]
    labelled = [Request("m", "compare", r.tokens, Sampling(1), labels) for r in scored]
    found = ask(tiny[0], *labelled, *scored, batch_size=1, dtype=dtype)
    for request, verdict, scores in zip(scored, found[:3], found[3:], strict=True):
        with torch.inference_mode():
            hidden = model.model(torch.tensor([request.tokens])).last_hidden_state[0]
            rounded = model.lm_head(hidden)[-1].float().log_softmax(-1)
            table = (hidden.float() @ model.lm_head.weight.float().t()).log_softmax(-1)
        assert verdict.logprobs == pytest.approx({name: table[-1, token].item() for name, token in labels}, abs=1e-4)
        places = range(len(request.tokens) - request.scored, len(request.tokens))
        assert scores.scores == pytest.approx([table[i - 1, request.tokens[i]].item() for i in places], abs=1e-4)
        assert max(abs(rounded[token] - table[-1, token]).item() for _, token in labels) > 2e-4


def test_scores_and_texts_asked_at_once_keep_apart(tiny: tuple[ModelFiles, Any]) -> None:
    text = Request("m", "sample", (5, 6, 7), Sampling(4))
    scored = requests()[0]
    assert ask(tiny[0], scored, text) == [*ask(tiny[0], scored), *ask(tiny[0], text)]


@pytest.mark.parametrize(
    ("request_", "reason", "detail"),
    [
        pytest.param(
            Request("m", "compare", (5,) * 64, Sampling(1), scored=3),
            ErrorReason.PROMPT_TOO_LONG, "65 tokens > context of 64", id="long"),
        pytest.param(
            Request("m", "compare", (5, 6, 7), Sampling(900), scored=3),
            ErrorReason.BAD_REQUEST, "scored is 3; allowed: 1 to 2 of 3 prompt tokens", id="first-token"),
        pytest.param(
            Request("m", "compare", (5, 6, 7), Sampling(1), scored=-1),
            ErrorReason.BAD_REQUEST, "scored is -1; allowed: 1 to 2 of 3 prompt tokens", id="negative"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_an_error(
    tiny: tuple[ModelFiles, Any], request_: Request, reason: ErrorReason, detail: str
) -> None:
    (completion,) = ask(tiny[0], request_)
    assert completion.error == (reason, detail)


def test_a_model_without_a_tensor_is_refused(tiny: tuple[ModelFiles, Any], tmp_path: Path) -> None:
    """Its answers would be random."""
    folder = tmp_path / "cut"
    shutil.copytree(tiny[0].path, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ModelError,
        match=r"as a LlamaForCausalLM it has missing tensors, which would be random numbers: lm_head.weight;",
    ):
        Transformers(ModelFiles("cut", folder, "d", 64), TransformersSettings())


def test_missing_scores_are_nan_and_others_have_six_digits() -> None:
    completion = scored_completion([None, math.nan, -math.inf, -9999.0, 3.0, -1.23456789, -0.0, 1e-6], Usage(9))
    assert [*map(math.isnan, completion.scores)] == [True] * 5 + [False] * 3
    assert completion.scores[5:] == (-1.23457, 0.0, 0.0)


def labelled(*labels: str, index: int = 0) -> Request:
    return Request("m", "compare", (1, 2), Sampling(1), tuple(zip(labels, itertools.count(), strict=False)), index)


def test_the_fakes_verdicts_on_a_and_b_stay_as_they_were() -> None:
    completion = pseudo_completion(labelled("A", "B"))
    logprobs = {"A": -0.26867076728182926, "B": -1.4455980873230856}
    assert completion == Completion("A", "stop", pytest.approx(logprobs, rel=1e-12), Usage(2, 0, 1))


@given(labels=st.lists(st.text(min_size=1, max_size=3), min_size=2, max_size=12, unique=True), index=st.integers(0, 99))
def test_the_fakes_labels_are_a_distribution(labels: list[str], index: int) -> None:
    completion = pseudo_completion(labelled(*labels, index=index))
    assert [*completion.logprobs] == labels
    assert math.fsum(map(math.exp, completion.logprobs.values())) == pytest.approx(1)
    assert all(math.isfinite(value) for value in completion.logprobs.values())


def test_the_fakes_rewards_are_spread_around_0() -> None:
    rewards = [pseudo_completion(labelled("reward", index=i)).logprobs["reward"] for i in range(400)]
    assert abs(sum(rewards) / 400) < 0.2
    assert 0.8 < math.sqrt(sum(r * r for r in rewards) / 400) < 1.2


def test_the_fakes_scores_are_a_function_of_the_request() -> None:
    first, again, other = (pseudo_completion(r) for r in (requests()[1], requests()[1], requests()[4]))
    assert first == again
    assert (len(first.scores), len(other.scores)) == (39, 10)
    assert -3 < sum(first.scores) / 39 < -1
    assert max(first.scores) <= 0
