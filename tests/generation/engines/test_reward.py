"""A tiny random reward model: its rewards are those of one conversation at a time, whatever is in the batch."""

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.styles import STYLES
from generation.engines.base import Completion, ErrorReason, ModelError, Request, Sampling, Usage
from generation.engines.checkpoint import ModelFiles
from generation.engines.reward import Reward, head_rewards
from generation.engines.transformers import TransformersSettings
from generation.models.files import resolve

END = 1
"""Ends every turn, and is the padding token as well."""


def save(path: Path, kind: str, **settings: Any) -> Any:
    """A tiny random model on disk, with a tokenizer."""
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=700, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, eos_token_id=END, pad_token_id=END, bos_token_id=None, **settings,
    )  # fmt: skip
    model = getattr(transformers, kind)(config).eval()
    model.save_pretrained(path)
    STYLES["chatml"]().save_pretrained(path)
    return model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelFiles, Any]:
    path = tmp_path_factory.mktemp("reward")
    model = save(path, "LlamaForSequenceClassification", num_labels=1)
    return resolve(str(path)), model


def conversations() -> list[Request]:
    dice = random.Random(1)
    rows = [tuple(dice.randrange(3, 600) for _ in range(length)) for length in (5, 40, 12, 1, 23, 12)]
    rows += [(*rows[0], END, END), (*rows[2][:5], END, *rows[2][5:])]
    return [Request("m", "compare", (*row, END), Sampling(1), (("reward", -1),)) for row in rows]


def ask(files: ModelFiles, *requests: Request, batch_size: int = 4) -> list[Completion]:
    async def together() -> list[Completion]:
        engine = Reward(files, TransformersSettings(dtype="float32", batch_size=batch_size))
        try:
            return list(await asyncio.gather(*(engine.generate(r) for r in requests)))
        finally:
            await engine.close()

    return asyncio.run(together())


def test_rewards_are_those_of_one_conversation_at_a_time(tiny: tuple[ModelFiles, Any]) -> None:
    import torch

    files, model = tiny
    requests = conversations()
    model.config.pad_token_id = None  # or the model would look for another token than the last
    with torch.inference_mode():
        expected = [model(torch.tensor([r.tokens])).logits.item() for r in requests]
    completions = ask(files, *requests)
    assert [c.logprobs["reward"] for c in completions] == pytest.approx(expected, abs=1e-5)
    assert len({round(value, 4) for value in expected}) == len(expected)
    assert [(c.text, c.finish, c.usage) for c in completions] == [
        ("", "stop", Usage(len(r.tokens), 0, 0)) for r in requests
    ]


def test_rewards_do_not_depend_on_the_order_or_size_of_batches(tiny: tuple[ModelFiles, Any]) -> None:
    requests = conversations()
    whole, pieces = ask(tiny[0], *requests, batch_size=8), ask(tiny[0], *reversed(requests), batch_size=3)
    assert [c.logprobs["reward"] for c in whole] == pytest.approx(
        [c.logprobs["reward"] for c in reversed(pieces)], abs=1e-5
    )


def test_an_ensemble_tells_each_head_and_their_mean(tmp_path: Path) -> None:
    import torch

    model = save(tmp_path, "LlamaForSequenceClassification", num_labels=3, reward_heads=3)
    request = conversations()[0]
    model.config.pad_token_id = None
    with torch.inference_mode():
        expected = model(torch.tensor([request.tokens])).logits[0].tolist()
    (completion,) = ask(resolve(str(tmp_path)), request)
    assert head_rewards(completion.logprobs) == pytest.approx(expected, abs=1e-5)
    assert completion.logprobs["reward"] == pytest.approx(sum(expected) / 3, abs=1e-5)
    assert len({round(value, 4) for value in expected}) == 3


@pytest.mark.parametrize(
    ("tokens", "reason", "detail"),
    [
        pytest.param((3,) * 70, ErrorReason.PROMPT_TOO_LONG, "71 tokens > context of 64", id="long"),
        pytest.param((), ErrorReason.BAD_REQUEST, "token ids must be some, each below 700", id="empty"),
        pytest.param((700,), ErrorReason.BAD_REQUEST, "token ids must be some, each below 700", id="unknown"),
    ],
)
def test_a_conversation_that_does_not_fit_is_an_error(
    tiny: tuple[ModelFiles, Any], tokens: tuple[int, ...], reason: ErrorReason, detail: str
) -> None:
    (completion,) = ask(tiny[0], Request("m", "compare", tokens, Sampling(1)))
    assert completion.error == (reason, detail)


@pytest.mark.parametrize(
    ("make", "got"),
    [
        pytest.param(lambda p: save(p, "LlamaForCausalLM"), "got LlamaForCausalLM with 2 labels", id="causal"),
        pytest.param(
            lambda p: save(p, "LlamaForSequenceClassification", num_labels=3),
            "got LlamaForSequenceClassification with 3 labels",
            id="three-labels",
        ),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(make: Callable[[Path], object], got: str, tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(ModelError) as error:
        Reward(resolve(str(tmp_path)), TransformersSettings())
    assert str(error.value) == (
        f"model {tmp_path}: is no reward model ({got}); allowed: a causal "
        "model with a head on its last token, saved as AutoModelForSequenceClassification with num_labels=1 "
        "(or as many as reward_heads says, for an ensemble)"
    )


@pytest.mark.parametrize("name", ["score.weight", "model.layers.0.mlp.up_proj.weight"])
def test_a_checkpoint_without_a_tensor_is_refused(name: str, tmp_path: Path) -> None:
    """Its rewards would be random."""
    save(tmp_path, "LlamaForSequenceClassification", num_labels=1)
    weights = load_file(tmp_path / "model.safetensors")
    del weights[name]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ModelError,
        match=f"as a LlamaForSequenceClassification it has missing tensors, which would be random numbers: {name};",
    ):
        Reward(resolve(str(tmp_path)), TransformersSettings())
