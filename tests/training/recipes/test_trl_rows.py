"""What is learnt of a row beside TRL's: its trainers' own collators and losses, on chats with tools and several answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.tiny import make_tiny
from generation.engines.checkpoint import load_tokenizer
from generation.engines.quiet import quiet
from generation.models.encoder import Encoder
from generation.models.files import resolve
from training.data import rows
from training.data.batches import by_response, collate
from training.data.encode import encode_pairs, encode_targets
from training.model.loading import load_policy
from training.recipes.config import DPO, SFT
from training.recipes.dpo import DPORecipe
from training.recipes.recipe import WEIGHT
from training.recipes.sft import SFTRecipe

pytestmark = pytest.mark.model
TEMPLATE = (
    "{% if tools %}<|im_start|>system {{ tools | tojson }} <|im_end|> {% endif %}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<|im_start|>assistant {% generation %}{{ message['content'] }}"
    "{% for call in message['tool_calls'] or [] %} {{ call['function'] | tojson }}{% endfor %} <|im_end|>{% endgeneration %} "
    "{% else %}<|im_start|>{{ message['role'] }} {{ message['content'] }} <|im_end|> {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
"""Between two control tokens there is a word, as the tiny tokenizer divides texts at white space."""
TOOLS = [{"type": "function", "function": {"name": "sky", "parameters": {"type": "object", "properties": {}}}}]


def turn(role: str, text: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": text, **more}


def call(word: str) -> dict[str, Any]:
    function = {"name": "sky", "arguments": {"what": word}}
    return turn("assistant", "it is", tool_calls=[{"type": "function", "function": function}])


CHATS: list[list[dict[str, Any]]] = [
    [turn("user", "why is the sky blue ?"), turn("assistant", "it scatters light ."), turn("user", "is it ?"), turn("assistant", "nobody knows")],
    [turn("user", "what is a good day ?"), call("a day"), turn("tool", "good day ."), turn("assistant", "a good day is blue .")],
    [turn("system", "it is bad ."), turn("user", "is it ?"), turn("assistant", "the sky is bad .")],
]  # fmt: skip
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def trl() -> Any:
    """TRL, kept from talking."""
    quiet()
    import trl

    return trl


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_tiny(tmp_path_factory.mktemp("model"))
    tokenizer = load_tokenizer(resolve(str(folder)))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    return {
        "output_dir": str(tmp_path / "trl"), "per_device_train_batch_size": 3, "report_to": "none", "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False, "disable_tqdm": True,
    }  # fmt: skip


def batch_of(trainer: Any) -> dict[str, Any]:
    return dict(next(iter(trainer.get_train_dataloader())))


def theirs(trainer: Any, batch: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """TRL's loss of its batch, and its gradients."""
    trainer.model.zero_grad()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    return float(loss), {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}


def ours(recipe: Any, module: Any, found: list[Any], layout: Any) -> tuple[float, dict[str, Any]]:
    module.zero_grad()
    batch = recipe.collate(found, layout)
    loss = (recipe.outcome(module, batch).loss * batch[WEIGHT]).sum() / batch[WEIGHT].sum()
    loss.backward()
    return float(loss), {name: p.grad.clone() for name, p in module.inner.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_all_answers_of_a_conversation(
    trl: Any, model: Path, arguments: dict[str, Any], layout: Any, write_rows: Write
) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    data = [{"messages": chat, "tools": TOOLS if i == 1 else []} for i, chat in enumerate(CHATS)]
    settings = SFT(data={str(write_rows(data)): 1.0}, test_fraction=0, layout=layout, train_on="all")
    files = resolve(str(model))
    tokenizer = load_tokenizer(files)
    encoded = encode_targets(rows.targets(settings, "all").train, Encoder(tokenizer), settings)
    trainer = trl.SFTTrainer(
        AutoModelForCausalLM.from_pretrained(model),
        args=trl.SFTConfig(**arguments, assistant_only_loss=True),
        train_dataset=Dataset.from_list([{"messages": r["messages"], "tools": json.dumps(r["tools"])} for r in data]),
        processing_class=tokenizer,
    )
    batch = batch_of(trainer)
    assert 0 < int((batch["labels"] >= 0).sum()) < batch["attention_mask"].sum()
    assert sum(sum(row.example.lengths) for row in encoded.rows) == int((batch["labels"] >= 0).sum())
    expected, grads = theirs(trainer, batch)
    found, own = ours(SFTRecipe(), load_policy(files, settings), encoded.rows, layout)
    assert found == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(own, grads, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_pairs_with_tools(trl: Any, model: Path, arguments: dict[str, Any], layout: Any, write_rows: Write) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM

    data = [
        {"prompt": [turn("user", "why is the sky blue ?")], "chosen": [call("light")], "rejected": [turn("assistant", "nobody knows")], "tools": TOOLS},
        {"prompt": CHATS[1][:3], "chosen": CHATS[1][3:], "rejected": [turn("assistant", "bad")], "tools": TOOLS},
        {"prompt": CHATS[0][:3], "chosen": CHATS[0][3:], "rejected": [turn("assistant", "it is a day")], "tools": []},
    ]  # fmt: skip
    settings = DPO(data={str(write_rows(data)): 1.0}, test_fraction=0, layout=layout, beta=0.3)
    files = resolve(str(model))
    tokenizer = load_tokenizer(files)
    encoded = encode_pairs(rows.pairs(settings).train, Encoder(tokenizer), settings, settings.labels)
    torch.manual_seed(1)
    policy, reference = (AutoModelForCausalLM.from_pretrained(model) for _ in range(2))
    with torch.no_grad():
        for p in policy.parameters():
            p += 0.05 * torch.randn_like(p)
    trainer = trl.DPOTrainer(
        policy, reference, args=trl.DPOConfig(**arguments, beta=0.3), processing_class=tokenizer,
        train_dataset=Dataset.from_list([{**row, "tools": json.dumps(row["tools"])} for row in data]),
    )  # fmt: skip
    recipe, module = DPORecipe(settings), load_policy(files, settings)
    with torch.no_grad():
        for row in encoded.rows:
            scores = module(recipe_batch := collate([row.example], layout)).logprobs
            recipe.references[row.example] = tuple(by_response(scores, recipe_batch).tolist())
    module.inner.load_state_dict(policy.state_dict())
    expected, grads = theirs(trainer, batch_of(trainer))
    found, own = ours(recipe, module, encoded.rows, layout)
    assert abs(expected - 0.6931) > 1e-3
    assert found == pytest.approx(expected, abs=1e-5)
    torch.testing.assert_close(own, grads, rtol=1e-3, atol=1e-5)
