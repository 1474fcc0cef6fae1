"""How transformers reads weights of few bits, or makes them so; and which of them can be trained."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from transformers import BitsAndBytesConfig, FineGrainedFP8Config, Mxfp4Config, PretrainedConfig

from constitution.errors import Problem, UserError
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles
from training.config import Bits, Training
from training.model import launch

BITSANDBYTES = "bitsandbytes"
_INSTALL = "pip install 'solon-cai[quantize]'"
_EXACT: dict[str, Callable[[], Any]] = {
    "fp8": lambda: FineGrainedFP8Config(dequantize=True),
    "mxfp4": lambda: Mxfp4Config(dequantize=True),
}
"""Method -> what tells transformers to multiply the numbers by their scales as it reads them."""
_MADE: dict[Bits, Callable[[], Any]] = {
    "4bit": lambda: BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype="float32"
    ),
    "8bit": lambda: BitsAndBytesConfig(load_in_8bit=True),
}
"""What `quantize` says -> how plain weights are quantized. `layers` computes with them, so that the type here has no effect."""


def check(settings: Training) -> None:
    """Raises UserError for `quantize` where it cannot be done here."""
    if settings.quantize is None:
        return
    if find_spec(BITSANDBYTES) is None:
        got = f"got {settings.quantize}, and bitsandbytes is not installed"
        raise UserError(Problem("", "quantize", got, fix=f"{_INSTALL}, or leave it out"))
    if launch.sharded():
        got = f"got {settings.quantize}, whose weights are not spread over processes"
        raise UserError(Problem("", "quantize", got, fix="launch it with configs/accelerate/ddp.yaml, or leave it out"))


def method_of(config: PretrainedConfig) -> str | None:
    """By what a checkpoint's weights are quantized; None for plain ones."""
    named = getattr(config, "quantization_config", None)
    if named is None:
        return None
    method = named.get("quant_method") if isinstance(named, dict) else getattr(named, "quant_method", None)
    return str(getattr(method, "value", method))


def bits_of(config: PretrainedConfig) -> Bits:
    """Of a checkpoint that bitsandbytes has quantized."""
    named = config.quantization_config
    four = named.get("load_in_4bit") if isinstance(named, dict) else named.load_in_4bit
    return "4bit" if four else "8bit"


def reading(config: PretrainedConfig, files: ModelFiles, settings: Training) -> dict[str, Any]:
    """Arguments of `from_pretrained` for the weights of a configuration. Raises ModelError for those that cannot be trained."""
    method, wanted = method_of(config), settings.quantize
    if method is None:
        return {"quantization_config": _MADE[wanted]()} if wanted else {}
    if method == BITSANDBYTES:
        _check_adapter(config, files, settings)
        return {}
    if method not in _EXACT:
        got = f"its weights are quantized ({method}), and what was rounded away cannot be trained"
        allowed = f"plain weights, {', '.join(_EXACT)}; {BITSANDBYTES} with lora"
        raise ModelError(
            Problem(f"model {files.path}", got=got, allowed=allowed, fix="name the model that it was made from")
        )
    if wanted:
        got = f"got {wanted}, and the weights of model {files.name} are quantized already ({method})"
        fix = "leave it out, or name the model that it was made from"
        raise ModelError(Problem("", "quantize", got, fix=fix))
    return {"quantization_config": _EXACT[method]()}


def _check_adapter(config: PretrainedConfig, files: ModelFiles, settings: Training) -> None:
    """Weights that bitsandbytes has quantized are the base of an adapter, as they are."""
    if settings.lora is None:
        got = f"its weights are quantized ({BITSANDBYTES}), and what was rounded away cannot be trained"
        fix = "set lora: {r: 16}, which trains an adapter on them, or name the model that it was made from"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=fix))
    if find_spec(BITSANDBYTES) is None:
        got = "its weights are quantized by bitsandbytes, which is not installed"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=_INSTALL))
    if launch.sharded():
        got = "its weights are quantized (bitsandbytes), and such weights are not spread over processes"
        raise ModelError(Problem(f"model {files.path}", got=got, fix="launch it with configs/accelerate/ddp.yaml"))
    own = bits_of(config)
    if settings.quantize not in (None, own):
        got = f"got {settings.quantize}, and the weights of model {files.name} are quantized already ({own})"
        raise ModelError(Problem("", "quantize", got, fix="leave it out, or name the model that it was made from"))
