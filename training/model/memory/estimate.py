"""How much memory training will take, said before it starts: estimated from the model's shape and the largest micro-batch."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch
from safetensors import safe_open

from constitution.errors import Problem, UserError
from generation.engines.checkpoint import ModelFiles, load_config
from training.config import Bits, Lora, Training
from training.data.batches import Example, Layout
from training.model import launch
from training.model.logprobs import chunk
from training.model.quantized.reading import BITSANDBYTES, bits_of, method_of

_CGROUP = Path("/sys/fs/cgroup")
_SHORT = 64
"""A shorter max_length is no advice."""
_BASE = 1 << 30
"""Python, torch and transformers themselves, and what the allocator holds back."""


class Need(NamedTuple):
    """Bytes."""

    weights: int
    """Weights, gradients, optimizer, copies in lower precision."""
    activations: int
    """Of the largest micro-batch."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.activations + _BASE


def parameters(files: ModelFiles) -> int:
    """Numbers in a checkpoint, from its files' headers; those in 4 bits stand two in a byte."""
    total = 0
    for shard in sorted(Path(files.path).glob("*.safetensors")):
        with safe_open(shard, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118
                size = 1
                tensor = file.get_slice(name)
                for side in tensor.get_shape():
                    size *= side
                total += 2 * size if tensor.get_dtype() == "U8" and name.endswith(".weight") else size
    return total


def largest(examples: Sequence[Example], order: Sequence[int], micro_batch_size: int, layout: Layout) -> int:
    """Most tokens of a micro-batch, padding included."""
    most = 0
    for start in range(0, len(order), micro_batch_size):
        part = [examples[turn] for turn in order[start : start + micro_batch_size]]
        if layout == "packed":
            tokens = sum(example.size for example in part)
        else:
            rows = [len(e.prompt) + len(response) for e in part for response in e.responses]
            tokens = max(rows) * len(rows)
        most = max(most, tokens)
    return most


def estimate(files: ModelFiles, settings: Training, tokens: int) -> Need:
    """What training holds at its peak. The factors were fitted to measured peaks of Llama-shaped models."""
    config = load_config(files).get_text_config()
    layers, width = config.num_hidden_layers, config.hidden_size
    sizes = getattr(config, "intermediate_size", None) or 4 * width
    inner = max(sizes) if isinstance(sizes, list) else int(sizes)
    count = parameters(files)
    half = settings.precision == "bf16"
    trained = count if settings.lora is None else 2 * settings.lora.r * layers * (8 * width + 3 * inner)
    if bits := _bits(files, settings):
        weights = _quantized(count, trained, bits, settings, files)
    else:
        weights = 4 * count + 12 * trained + (2 * count if half else 0)
    if launch.sharded():  # each process has its part, and for a while the gathered embedding, head and largest layer
        weights = weights // int(os.environ.get("WORLD_SIZE", "1")) + 2 * 4 * config.vocab_size * width
    size = 2 if half else 4
    layer = (4 * width + 3 * inner) * size + 16 * width + 12 * inner  # some of it is float32 in any precision
    kept = 12 * width * layers + layer if settings.gradient_checkpointing else layer * layers
    device = "cpu" if launch.on_cpu() else "cuda"
    return Need(weights, tokens * kept + 3 * 4 * chunk(device))


def _bits(files: ModelFiles, settings: Training) -> Bits | None:
    """Of the base's linear layers; None where they are plain."""
    config = load_config(files)
    if settings.quantize or method_of(config) != BITSANDBYTES:
        return settings.quantize
    return bits_of(config)


def _quantized(count: int, trained: int, bits: Bits, settings: Training, files: ModelFiles) -> int:
    """Bytes of weights and optimizer of an adapter on quantized layers: while it is trained, or as it is merged and evaluated."""
    config = load_config(files).get_text_config()
    ends: int = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    layers: int = max(count - ends, 0)
    plain = 4 * ends + (2 * ends if settings.precision == "bf16" else 0)
    training = plain + int(layers * (0.52 if bits == "4bit" else 1.01)) + 16 * trained
    if not settings.merges:
        return training
    saved = (
        4
        if settings.save_dtype == "float32" or (settings.save_dtype == "auto" and config.dtype == torch.float32)
        else 2
    )
    return max(training, 4 * ends + saved * layers)


def available() -> int:
    """Bytes that are free: of this process's GPU, else of the machine or its container, shared by its processes.

    Ask after `launch.state`, which chooses the GPU.
    """
    if not launch.on_cpu():
        return int(torch.cuda.mem_get_info()[0])
    free = psutil.virtual_memory().available
    limit, used = (_number(_CGROUP / name) for name in ("memory.max", "memory.current"))
    if limit is not None and used is not None:
        free = min(free, limit - used + _pages())
    return int(free) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def check(
    files: ModelFiles, settings: Training, examples: Sequence[Example], order: Sequence[int], layout: Layout, free: int
) -> None:
    """Raises UserError, with settings that would fit, where the largest micro-batch will not."""
    tokens = largest(examples, order, settings.micro_batch_size, layout)
    need = estimate(files, settings, tokens)
    if need.total <= free:
        return
    thrifty = settings.model_copy(update={"gradient_checkpointing": True, "lora": settings.lora or Lora()})
    ways = [*_ways(files, settings, examples, order, layout, free)]
    if not ways and estimate(files, thrifty, largest(examples, order, 1, layout)).total <= free:
        ways = ["micro_batch_size: 1, gradient_checkpointing: true and lora: {r: 16}, all three"]
    few = thrifty.model_copy(update={"quantize": settings.quantize or "4bit", "compile": False})
    if not ways and estimate(files, few, largest(examples, order, 1, layout)).total <= free:
        ways = ["micro_batch_size: 1, gradient_checkpointing: true, lora: {r: 16} and quantize: 4bit, all four"]
    if not ways:
        least = min(estimate(files, kind, 0).total for kind in (thrifty, few))
        ways = [f"another model: this one takes {_gib(least)} GiB with lora and the shortest of rows"]
    got = (
        f"a micro-batch has up to {tokens:,} tokens, for which training takes about {_gib(need.total)} GiB "
        f"({_gib(need.weights)} of them for weights and optimizer), and {_gib(free)} GiB are free"
    )
    raise UserError(Problem("", "memory", got, fix=f"set {', or '.join(ways)}"))


def _ways(
    files: ModelFiles, settings: Training, examples: Sequence[Example], order: Sequence[int], layout: Layout, free: int
) -> Iterator[str]:
    """Single settings that would make it fit, the cheapest first."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    tokens = largest(examples, order, settings.micro_batch_size, layout)
    for rows in range(settings.micro_batch_size - 1, 0, -1):
        if settings.batch_size % (rows * processes):
            continue
        if estimate(files, settings, largest(examples, order, rows, layout)).total <= free:
            yield f"micro_batch_size: {rows} (now {settings.micro_batch_size}; the result stays the same)"
            break
    others: list[tuple[str, dict[str, Any]]] = [("gradient_checkpointing: true", {"gradient_checkpointing": True})]
    if settings.lora is None:
        others.append(("lora: {r: 16}", {"lora": Lora()}))
    for text, change in others:
        if estimate(files, settings.model_copy(update=change), tokens).total <= free:
            yield text
    length = 1 << (settings.max_length - 1).bit_length() - 1
    while length >= _SHORT:
        cut = [_clipped(example, length) for example in examples]
        if estimate(files, settings, largest(cut, order, settings.micro_batch_size, layout)).total <= free:
            yield f"max_length: {length} (now {settings.max_length}; longer rows are cut or dropped)"
            return
        length //= 2


def _clipped(example: Example, length: int) -> Example:
    prompt = example.prompt[:length]
    return Example(prompt, [response[: length - len(prompt)] for response in example.responses])


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"


def _pages() -> int:
    """Bytes of files that the container holds in memory and gives back when asked."""
    try:
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))


def _number(path: Path) -> int | None:
    try:
        return int(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None
