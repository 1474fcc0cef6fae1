"""The model card: every fact is in it as text, and what it says of loading is true."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from peft import LoraConfig, TaskType, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from training.config import RecipeName
from training.run.card import Base, Data, code, write_card

TEMPLATE = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} {{ m['content'] }} <|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
WORDS = ["<unk>", "<|im_start|>", "<|im_end|>", "user", "assistant", "Hello", "Good", "day", "."]


def card(folder: Path, **changes: Any) -> str:
    facts: dict[str, Any] = {
        "recipe": "dpo",
        "base": Base("org/base", "b1"),
        "data": [Data("runs/one", "d1", 1200, 0.75), Data("runs/two", "d2", 7, 1.0)],
        "constitutions": ["c1"],
        "settings": {"lr": 1e-5, "lora": {"r": 8}},
        "results": {"eval_accuracy": 0.61234, "loss": 0.5, "mine": 2},
        "license": "apache-2.0",
    }
    write_card(folder, **(facts | changes))
    return (folder / "README.md").read_text()


def front(page: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(page.split("---\n")[1])
    return found


def snippet(page: str, folder: Path, number: int = 0) -> dict[str, Any]:
    """Names that a block of Python leaves behind."""
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(blocks[number].replace("FOLDER_OR_REPO", str(folder)), names)
    return names


def test_every_fact_is_told(tmp_path: Path) -> None:
    page = card(tmp_path)
    assert front(page) == {
        "base_model": "org/base",
        "license": "apache-2.0",
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["constitutional-ai", "rlaif", "dpo"],
    }
    for line in (
        "| base model | `org/base` | `b1` |",
        "| 1,200 rows, weight 0.75 | `runs/one` | `d1` |",
        "| 7 rows, weight 1 | `runs/two` | `d2` |",
        "| constitution | | `c1` |",
        "| `eval_accuracy` | Pairs in which the chosen response has the higher reward. On held-out rows. | share | 0.6123 |",
        "| `loss` | The loss that is minimized, mean over the batch. |  | 0.5 |",
        "| `mine` |  |  | 2 |",
        "lr: 1.0e-05\nlora:\n  r: 8",
        "The labels are a model's, not people's",
    ):
        assert line in page
    assert "None were taken." in card(tmp_path, results={})


@pytest.mark.parametrize(
    ("rank", "served"),
    [(1, 8), (8, 8), (9, 16), (32, 32), (33, 64), (100, 128), (256, 256), (257, 320), (400, 512), (600, 600)],
)
def test_an_adapter_is_served_with_the_next_rank_that_vllm_takes(rank: int, served: int, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": rank}))
    assert f"max_lora_rank={served})" in card(tmp_path)


@pytest.mark.parametrize("recipe", ["sft", "reward", "dpo", "simpo", "orpo", "kto", "ppo"])
def test_each_recipe_says_what_it_made(tmp_path: Path, recipe: RecipeName) -> None:
    page = card(tmp_path, recipe=recipe)
    rewards = recipe == "reward"
    assert front(page)["pipeline_tag"] == ("text-classification" if rewards else "text-generation")
    assert ("A reward model:" in page) is ("methods: [reward]" in page) is rewards
    assert ("A policy," in page) is ("from vllm import LLM" in page) is not rewards
    assert len(re.findall("\n\n\n", page)) == 0


def test_no_setting_tells_where_it_was_made(tmp_path: Path) -> None:
    settings = {
        "model": "/home/me/base",
        "data": {"/home/me/one/rows.jsonl": 1.0, "/home/me/two/rows.jsonl": 0.5, "runs/x": 2.0},
        "reward": {"models": {"paths": ("/home/me/reward", "org/reward")}},
    }
    page = card(tmp_path, settings=settings)
    assert "/home/me" not in page
    block = page.split("## Settings")[1].split("## Limits")[0].strip().split("\n")
    kept = yaml.safe_load("\n".join(block[1:-1]))
    assert kept == {
        "model": "base",
        "data": {"rows.jsonl": 1.0, "rows.jsonl (2)": 0.5, "runs/x": 2.0},
        "reward": {"models": {"paths": ["reward", "org/reward"]}},
    }


def test_texts_of_others_stay_where_they_are_put(tmp_path: Path) -> None:
    bad = "a|b`c\n---\n# Heading"
    page = card(
        tmp_path, base=Base(bad, "b"), license=bad, data=[Data("/home/me/runs/x", "d", 1, 1)], settings={"k": f"```\n{bad}"}
    )  # fmt: skip
    meta, body = re.fullmatch(r"---\n(.*?)\n---\n(# .*)", page, re.DOTALL).groups()  # type: ignore[union-attr]
    assert (yaml.safe_load(meta)["base_model"], yaml.safe_load(meta)["license"]) == (bad, bad)
    assert "| base model | `` a\\|b`c --- # Heading `` | `b` |" in body
    assert "| `x` | `d` |" in body
    assert "/home/me" not in page
    fence = re.search(r"\n(`+)text\n(.*?)\n\1\n", body, re.DOTALL)
    assert fence
    assert len(fence[1]) == 4
    assert yaml.safe_load(fence[2]) == {"k": f"```\n{bad}"}


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("", "`  `"), ("`", "`` ` ``"), ("a``b", "``` a``b ```"), ("a\n|", "`a \\|`")]
)  # fmt: skip
def test_inline_code(text: str, shown: str) -> None:
    assert code(text) == shown


def checkpoint(folder: Path, kind: Any) -> Any:
    torch.manual_seed(0)
    sizes = {"vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 2,
        "eos_token_id": 2,
        "bos_token_id": 1,
    }
    model = kind(LlamaConfig(**sizes, **heads, **({"num_labels": 1} if kind is LlamaForSequenceClassification else {})))
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="<unk>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        bos_token="<|im_start|>",
    )
    tokenizer.chat_template = TEMPLATE
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


CONVERSATION = [[1, 3, 5, 2, 1, 4, 6, 7, 8, 2]]
"""<|im_start|> user Hello <|im_end|> <|im_start|> assistant Good day . <|im_end|>"""


def test_a_reward_model_loads_as_the_card_says(tmp_path: Path) -> None:
    model = checkpoint(tmp_path, LlamaForSequenceClassification)
    names = snippet(card(tmp_path, recipe="reward"), tmp_path)
    assert names["ids"].tolist() == CONVERSATION
    with torch.no_grad():
        last = model.model(torch.tensor(CONVERSATION)).last_hidden_state[0, -1]
        assert names["reward"] == pytest.approx(model.score(last).item(), abs=1e-6)


def test_a_process_reward_model_scores_steps_as_the_card_says(tmp_path: Path) -> None:
    model = checkpoint(tmp_path, LlamaForSequenceClassification)
    page = card(tmp_path, recipe="process")
    assert front(page)["pipeline_tag"] == "text-classification"
    names = snippet(page, tmp_path)
    with torch.no_grad():
        hidden = model.model(names["ids"]).last_hidden_state[0, -1]
    assert names["scores"][-1] == pytest.approx(model.score(hidden).sigmoid().item(), abs=1e-6)
    assert (len(names["scores"]), names["whole"]) == (2, min(names["scores"]))


def test_a_policy_loads_as_the_card_says(tmp_path: Path) -> None:
    checkpoint(tmp_path, LlamaForCausalLM)
    names = snippet(card(tmp_path), tmp_path)
    assert names["inputs"]["input_ids"].tolist() == [[1, 3, 5, 2, 1, 4]]
    assert 0 < len(names["response"]) <= 256


def test_an_adapter_loads_as_the_card_says(tmp_path: Path) -> None:
    base, folder = tmp_path / "base", tmp_path / "adapter"
    model = checkpoint(base, LlamaForSequenceClassification)
    model = LlamaForSequenceClassification.from_pretrained(base)
    adapted = get_peft_model(
        model, LoraConfig(TaskType.SEQ_CLS, r=12, target_modules=["q_proj"], init_lora_weights=False)
    )
    with torch.no_grad():
        adapted.base_model.model.score.modules_to_save["default"].weight.fill_(0.3)
        wanted = adapted.eval().base_model.model.model(torch.tensor(CONVERSATION)).last_hidden_state[0, -1].sum() * 0.3
    checkpoint(folder, LlamaForCausalLM)
    for path in [*folder.glob("*.safetensors"), folder / "config.json"]:
        path.unlink()
    adapted.save_pretrained(folder)
    page = card(folder, recipe="reward")
    assert "a LoRA adapter" in page
    assert front(page)["tags"] == ["constitutional-ai", "rlaif", "reward", "lora"]
    assert snippet(page, folder)["reward"] == pytest.approx(wanted.item(), abs=1e-5)
    assert "LoRARequest(" in (policy := card(folder))
    assert "max_lora_rank=16)" in policy
    assert "LoRA" not in card(tmp_path)
