"""config.json: the numbers that every engine reads must be numbers, and some engine must know what to do with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_JSON = 256 << 20
"""Bytes of the longest file of settings that is read."""
_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len")
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
_MOST = {
    **dict.fromkeys(_LAYERS, 10_000),
    **dict.fromkeys(("vocab_size", "hidden_size", "n_embd", "d_model", "intermediate_size"), 1 << 26),
    **dict.fromkeys(("num_attention_heads", "num_key_value_heads", "n_head", "head_dim", "num_labels"), 1 << 20),
    **dict.fromkeys(_CONTEXT, 1 << 40),
}
"""Key -> more than any model has."""


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object, empty where there is no such file. Raises ValueError."""
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON >> 20} MiB")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON ({error}); save the model again") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} holds a {type(data).__name__}, not a JSON object; save the model again")
    return data


def read_config(path: Path) -> tuple[dict[str, Any], int, list[str]]:
    """(config.json, context length, problems) of a checkpoint's folder."""
    if (path / "config.json").is_dir():
        return {}, 0, ["config.json is a folder; save the model with save_pretrained"]
    if not (path / "config.json").is_file():
        return {}, 0, ["has no config.json; save the model with save_pretrained"]
    try:
        config = read_json(path / "config.json")
    except ValueError as error:
        return {}, 0, [str(error)]
    problems = [*_number_problems(config), *_other_problems(config)]
    context = next((int(value) for value in _numbers(config, _CONTEXT) if _is_count(value)), 0)
    if not context and not problems:
        problems.append("config.json names no context length; add max_position_embeddings")
    return config, context, problems


def layers(config: dict[str, Any]) -> int:
    """Layers that config.json describes; 0 where it does not say."""
    return next((int(value) for value in _numbers(config, _LAYERS) if _is_count(value)), 0)


def _holders(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The configuration, and that of the language model inside it."""
    inner = config.get("text_config")
    return [config, inner] if isinstance(inner, dict) else [config]


def _numbers(config: dict[str, Any], keys: tuple[str, ...]) -> Iterator[Any]:
    return (holder[key] for holder in _holders(config) for key in keys if key in holder)


def _is_count(value: object, most: int = 1 << 62) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most


def _number_problems(config: dict[str, Any]) -> Iterator[str]:
    """Some models have a number of their own for each layer, in a list."""
    for holder in _holders(config):
        for key, most in _MOST.items():
            value = holder.get(key)
            each = value if isinstance(value, list) and value else [value]
            if value is not None and not all(_is_count(one, most) for one in each):
                shown = repr(value)
                shown = shown if len(shown) <= 40 else shown[:37] + "..."
                yield f"config.json: {key}: got {shown}; allowed: 1 to {most:,}; fetch config.json again"


def _other_problems(config: dict[str, Any]) -> Iterator[str]:
    named = config.get("model_type")
    if named is not None and not isinstance(named, str):
        yield f"config.json: model_type: got {named!r}; allowed: a name, such as llama; fetch config.json again"
    inner = config.get("text_config")
    if inner is not None and not isinstance(inner, dict):
        yield "config.json: text_config: is no mapping; fetch config.json again"
    quantized = config.get("quantization_config")
    if quantized is not None and not (isinstance(quantized, dict) and isinstance(quantized.get("quant_method"), str)):
        yield "config.json: quantization_config: names no quant_method; fetch config.json again, or the model as it was before"
