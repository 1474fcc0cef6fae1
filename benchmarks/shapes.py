"""Pairs of given lengths, the arithmetic that training on them takes, and the most that a machine does."""

from __future__ import annotations

import json
import random
import statistics
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from generation.engines.checkpoint import ModelFiles
from generation.models.encoder import Encoder

_SOME = 1000
"""Words to draw from."""


class Shape(NamedTuple):
    """Tokens of a prompt, and of each of its two responses; what the template adds is counted."""

    prompt: int
    response: int

    def __str__(self) -> str:
        return f"{self.prompt}/{self.response}"


def parse(text: str) -> tuple[Shape, int | None]:
    """`256/64` -> its shape and None; `256/64x16` -> its shape and 16 pairs a step. Raises ValueError."""
    lengths, _, batch = text.partition("x")
    prompt, response = lengths.split("/")
    return Shape(int(prompt), int(response)), int(batch) if batch else None


def write_pairs(path: Path, tokenizer: Any, shape: Shape, count: int) -> Path:
    """Pairs that all differ, of words that are one token each. Raises ValueError for a shape with no room for words."""
    encoder, chance = Encoder(tokenizer), random.Random(0)
    around = len(encoder.encode([{"role": "user", "content": "a"}])) - 1
    sizes = shape.prompt - around, shape.response - 1
    if min(sizes) < 1:
        raise ValueError(f"lengths {shape}: the template alone takes {around} and 1; ask for more")
    known = _words(tokenizer)
    words = [
        w
        for w in chance.sample(known, min(_SOME, len(known)))
        if len(encoder.encode([{"role": "user", "content": w}])) == around + 1
    ]

    def text(size: int) -> str:
        return " ".join(chance.choices(words, k=size))

    lines = (
        json.dumps({"prompt": text(sizes[0]), "chosen": text(sizes[1]), "rejected": text(sizes[1])})
        for _ in range(count)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _words(tokenizer: Any) -> list[str]:
    """Lower-case words that are one token, with a space before them and without."""
    plain = {w for w in tokenizer.get_vocab() if len(w) > 2 and w.isascii() and w.isalpha() and w.islower()}
    spaced = tokenizer(["a " + w for w in sorted(plain)], add_special_tokens=False)["input_ids"]
    return [w for w, ids in zip(sorted(plain), spaced, strict=True) if len(ids) == 2]


def flops(files: ModelFiles, shape: Shape, recipe: str) -> float:
    """Floating-point operations of one pair in the plain way: each response after the whole prompt, without padding.

    A forward pass takes 2 for each weight and token (in the head: each response token), and attention, which is causal, 2 for each
    layer, width of its heads, and square of the tokens; a backward pass twice that. DPO has its reference's forward pass
    beside. Whoever encodes the prompt once does less, and is given the same number.
    """
    config = AutoConfig.from_pretrained(files.path)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings().weight.numel()
    inner = sum(p.numel() for p in model.base_model.parameters()) - model.get_input_embeddings().weight.numel()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    wide = config.num_hidden_layers * config.num_attention_heads * size
    tokens = shape.prompt + shape.response
    forward = 2 * inner * tokens + 2 * wide * tokens**2 + (2 * head * shape.response if recipe == "dpo" else 0)
    return 2.0 * float(forward) * (4 if recipe == "dpo" else 3)


def ceiling(tries: int = 20) -> float:
    """Floating-point operations a second of a large product of bfloat16 matrices: the median of some tries."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = 8192 if device == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(tries + 3):
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 2.0 * side**3 / statistics.median(seconds[3:])
