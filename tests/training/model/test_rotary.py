"""Positions of models whose frequencies switch with the length: a row says what it says alone, whatever is beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    Phi3Config,
    PretrainedConfig,
)

from generation.engines.checkpoint import ModelFiles
from training.data.batches import Example, collate
from training.model.loading import load_policy, load_reward
from training.recipes.config import DPO, Reward

SWITCH = 10
SMALL = {"vocab_size": 24, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": None}  # fmt: skip
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 1e4}
MODELS: dict[str, PretrainedConfig] = {
    "longrope": Phi3Config(
        **SMALL, max_position_embeddings=64, original_max_position_embeddings=SWITCH,
        rope_parameters={**LONG, "original_max_position_embeddings": SWITCH},
    ),
    "dynamic": LlamaConfig(
        **SMALL, max_position_embeddings=SWITCH, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    ),
}  # fmt: skip


def ids(n: int) -> list[int]:
    return [3 + (5 * i + n) % 20 for i in range(n)]


ROWS = [
    Example(ids(4), [ids(3), ids(5)]),  # both under the switch
    Example(ids(7), [ids(2), ids(9)], [[True, True], [False] * 4 + [True] * 5]),  # one on each side
    Example(ids(12), [ids(3), ids(6), ids(3)]),  # all over it
    Example(ids(6), [ids(4)]),  # at it
]


@pytest.fixture(scope="module", params=MODELS)
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    folder: Path = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(MODELS[request.param])
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return ModelFiles(request.param, folder, "0" * 32, 64)


@torch.no_grad()  # type: ignore[untyped-decorator]
def alone(files: ModelFiles) -> Tensor:
    """Log-probabilities of all trained tokens by transformers itself, each sequence by itself and by a fresh model."""
    found = []
    for prompt, responses, trained in ROWS:
        for i, response in enumerate(responses):
            model = AutoModelForCausalLM.from_pretrained(files.path, attn_implementation="eager")
            logits = model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1]
            logp = logits.log_softmax(-1).gather(-1, torch.tensor(response)[:, None])[:, 0]
            found.append(logp[torch.tensor(trained[i])] if trained else logp)
    return torch.cat(found)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_rows_together_are_rows_alone(files: ModelFiles, layout: Any) -> None:
    module, wanted = load_policy(files, DPO(layout=layout)).train(), alone(files)
    for order in (range(4), (3, 2, 1, 0)):  # dynamic scaling would remember longer rows
        got = module(collate([ROWS[i] for i in order], layout)).logprobs
        counts = [sum(row.lengths) for row in ROWS]
        parts = dict(zip(order, got.split([counts[i] for i in order]), strict=True))
        torch.testing.assert_close(torch.cat([parts[i] for i in range(4)]), wanted, rtol=0, atol=1e-4)


def test_the_switch_matters(files: ModelFiles) -> None:
    """Else the test above would show nothing."""
    plain = AutoModelForCausalLM.from_pretrained(files.path, attn_implementation="eager")
    batch = collate(ROWS, "padded")
    with torch.no_grad():
        together = plain(batch["tokens"], attention_mask=batch["mask"]).logits.flatten(0, 1)[batch["where"]]
    logp = together.log_softmax(-1).gather(-1, batch["targets"][:, None])[:, 0]
    assert (logp - alone(files)).abs().max() > 0.01


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_rewards_and_values_too(files: ModelFiles, layout: Any) -> None:
    module = load_reward(files, 1, Reward(layout=layout))
    nn.init.normal_(module.inner.score.weight, generator=torch.Generator().manual_seed(0))
    wanted = []
    for prompt, responses, _ in ROWS:
        for response in responses:
            model = AutoModelForSequenceClassification.from_pretrained(
                files.path, num_labels=1, attn_implementation="eager"
            )
            states = model.model(torch.tensor([[*prompt, *response]])).last_hidden_state[0]
            wanted.append(states[-1] @ module.inner.score.weight[0])
    got = module(collate(ROWS, layout))[:, 0]
    torch.testing.assert_close(got, torch.stack(wanted), rtol=0, atol=1e-4)
    values = module(collate(ROWS, layout), tokens=True)
    assert len(values) == sum(sum(row.lengths) for row in ROWS)


def test_gradients_of_the_layouts_are_the_same(files: ModelFiles) -> None:
    found = []
    for layout in ("packed", "padded"):
        module = load_policy(files, DPO(layout=layout)).train()
        module(collate(ROWS, module.layout)).logprobs.sum().backward()
        found.append({name: p.grad for name, p in module.named_parameters()})
    for name, grad in found[0].items():
        torch.testing.assert_close(grad, found[1][name], rtol=1e-3, atol=1e-3)
