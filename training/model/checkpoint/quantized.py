"""Checkpoints whose weights are rounded to few bits: read into floating-point numbers where that is exact, else refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import FineGrainedFP8Config, Mxfp4Config, PretrainedConfig

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles

_READ: dict[str, Callable[[], Any]] = {
    "fp8": lambda: FineGrainedFP8Config(dequantize=True),
    "mxfp4": lambda: Mxfp4Config(dequantize=True),
}
"""Method -> what tells transformers to multiply the numbers by their scales as it reads them."""


def reading(config: PretrainedConfig, files: ModelFiles) -> dict[str, Any]:
    """Arguments of `from_pretrained` for the weights of a configuration. Raises ModelError for those that cannot be trained."""
    named = getattr(config, "quantization_config", None)
    if named is None:
        return {}
    method = named.get("quant_method") if isinstance(named, dict) else getattr(named, "quant_method", None)
    method = str(getattr(method, "value", method))
    if method not in _READ:
        got = f"its weights are quantized ({method}), and what was rounded away cannot be trained"
        fix = "name the model that it was made from"
        raise ModelError(Problem(f"model {files.path}", got=got, allowed=f"plain weights, {', '.join(_READ)}", fix=fix))
    return {"quantization_config": _READ[method]()}
