"""A tiny random model with a chat template, as a checkpoint on disk, and rows to train it on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM, PreTrainedTokenizerFast

WORDS = (
    "why",
    "is",
    "the",
    "sky",
    "blue",
    "it",
    "scatters",
    "light",
    "nobody",
    "knows",
    "what",
    "a",
    "good",
    "bad",
    "day",
    "?",
    ".",
)
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tiny(folder: Path, seed: int = 0, experts: int = 0) -> Path:
    """A Llama of 2 layers whose padding token ends a turn, as the embedded model's does; a Mixtral where there are experts."""
    torch.manual_seed(seed)
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    vocabulary = [*specials, "<unk>", "system", "user", "assistant", *WORDS]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|im_end|>", eos_token="<|im_end|>", unk_token="<unk>",
        additional_special_tokens=["<|endoftext|>", "<|im_start|>"],
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    shape: dict[str, Any] = {
        "vocab_size": len(vocabulary), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 2, "eos_token_id": 2, "bos_token_id": 1,
        "tie_word_embeddings": True,
    }  # fmt: skip
    if experts:
        model = MixtralForCausalLM(MixtralConfig(**shape, num_local_experts=experts, num_experts_per_tok=2))
    else:
        model = LlamaForCausalLM(LlamaConfig(**shape))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def some_pairs(n: int) -> list[dict[str, Any]]:
    """Pairs with soft labels, of several lengths."""
    asked = ("why is the sky blue ?", "what is a good day ?", "is it ?")
    better = ("it scatters light .", "the sky is blue .", "a good day")
    return [
        {
            "prompt": [{"role": "user", "content": f"{asked[i % 3]} {WORDS[i % len(WORDS)]}"}],
            "chosen": [{"role": "assistant", "content": " ".join([better[i % 3]] * (1 + i % 2))}],
            "rejected": [{"role": "assistant", "content": f"nobody knows {'. ' * (i % 4)}bad"}],
            "p_chosen": 0.5 + (i % 5) / 10 + 0.05,
            "prompt_id": f"p{i}",
        }
        for i in range(n)
    ]


def some_targets(n: int) -> list[dict[str, Any]]:
    """Prompts with a response to learn."""
    return [
        {"prompt": row["prompt"], "completion": row["chosen"], "prompt_id": row["prompt_id"]} for row in some_pairs(n)
    ]
