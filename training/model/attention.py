"""Attention without padding: many prompts in one row of tokens, and the responses to a prompt share it.

A response attends to its prompt and to itself, never to another response or prompt. Registered with transformers under its own
name, so it works in every model whose attention can be exchanged there.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import varlen
from transformers import AttentionInterface, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from constitution.errors import Problem
from generation.engines.base import ModelError
from training.data.segments import Segments

NAME = "solon_packed"
"""What a model's attn_implementation is called that uses it."""
WINDOWS = ("sliding_attention", "chunked_attention")
"""Layer types that see a part of the context only."""

MORE = ("s_aux", "softcap", "position_bias")
"""Arguments by which a model asks its attention for more than products and a softmax."""

_ASKS_FOR_GROUPS = "enable_gqa" in inspect.signature(varlen.varlen_attn).parameters
"""Whether torch wants to be told of fewer heads of keys than of queries; 2.11 takes them as they are."""


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Segments | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, T, size], key and value [1, fewer heads, T, size] -> ([1, T, heads, size], None).

    On a GPU one variable-length kernel does all pieces; elsewhere each piece is a call of its own, which wastes nothing either.
    Raises ModelError for a model that does more in its attention than is done here, or does not hand the segments on.
    """
    if segments is None or attention_mask is not None or any(more.get(name) is not None for name in MORE):
        got = f"got packed, and {type(module).__name__} computes attention in a way of its own"
        raise ModelError(Problem("", "layout", got, fix="set layout: padded"))
    kind = query.device.type
    # Under autocast, rotary positions have made float32 of queries and keys.
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    if kind == "cuda" and dtype in (torch.bfloat16, torch.float16):
        return _varlen(query.to(dtype), key.to(dtype), value.to(dtype), scaling, segments), None
    return _piecewise(query, key, value, scaling, dropout, segments), None


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _piecewise(
    query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float, segments: Segments
) -> Tensor:
    """In float32: the CPU's bfloat16 kernels are made anew, and kept, for every pair of lengths, and their backward is slower."""
    kind = query.device.type
    wide = torch.float32 if kind == "cpu" else query.dtype
    queries, keys, values = (x.to(wide).split(segments.sizes, dim=2) for x in (query, key, value))
    parts = []
    with torch.autocast(kind, enabled=False):
        for i, (home, mask) in enumerate(zip(segments.prompts, segments.masks, strict=True)):
            k, v = keys[i], values[i]
            if home is not None:
                k, v = torch.cat([keys[home], k], 2), torch.cat([values[home], v], 2)
            out = functional.scaled_dot_product_attention(
                queries[i], k, v, mask, dropout, is_causal=mask is None, scale=scaling, enable_gqa=True
            )
            parts.append(out.transpose(1, 2))
    return torch.cat(parts, 1).to(query.dtype)


def _varlen(query: Tensor, key: Tensor, value: Tensor, scaling: float | None, segments: Segments) -> Tensor:
    """Causal from the last query and the last key of each piece backwards, as variable-length kernels have it."""
    q, k, v = (
        x.squeeze(0).transpose(0, 1) for x in (query, key, value)
    )  # x[0] fills a table with zeros on its way back
    k, v = (x.index_select(0, segments.gather) for x in (k, v))
    more = {"enable_gqa": True} if _ASKS_FOR_GROUPS else {}
    most = segments.longest
    out = varlen.varlen_attn(
        q, k, v, segments.queries, segments.keys, *most, scale=scaling, window_size=(-1, 0), **more
    )
    return out[None]


def packs(config: PretrainedConfig, length: int) -> str | None:
    """Why a model cannot be trained without padding; None when it can.

    length: most tokens of a prompt with a response. A window as long as that hides nothing.
    """
    model = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    model = model[0] if isinstance(model, tuple) else model
    if model is not None and model._is_stateful:
        return "it carries a state from token to token"
    if model is not None and not (model._supports_attention_backend and model._supports_sdpa):
        return "its attention cannot be exchanged"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if odd := kinds - {"full_attention", *WINDOWS}:
        return f"it has layers of {', '.join(sorted(odd))}"
    window = getattr(config, "sliding_window", None) or getattr(config, "attention_chunk_size", None)
    uses = kinds & {*WINDOWS} or getattr(
        config, "use_sliding_window", window is not None and kinds == {"full_attention"}
    )
    if uses and window and window < length:
        return f"its attention sees {window} tokens and rows have up to {length}"
    if getattr(config, "attn_logit_softcapping", None):
        return "its attention has a soft cap"
    if model is not None and not _reached(model, _Written(config.to_json_string(use_diff=False), config)):
        return "its layers do not hand on what packed attention must be told"
    return None


@dataclass(frozen=True)
class _Written:
    """A config that is another's equal where both are the same JSON."""

    text: str
    config: PretrainedConfig = field(compare=False)


@cache
def _reached(model: Any, written: _Written) -> bool:
    """Whether the layers hand `attend` what it must be told, as seen in a model without weights."""
    register()
    places = torch.zeros(0)
    one = Segments([2], [None], places, places, places, (2, 2))
    with torch.device("meta"), torch.no_grad():
        ids = torch.zeros((1, 2), dtype=torch.long)
        try:
            empty = model._from_config(copy.deepcopy(written.config), attn_implementation=NAME)
            empty(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False, segments=one)
        except ModelError:
            return False
        except Exception:  # behind the first attention a layer may look at numbers, and there are none
            return True
    return True


@cache
def register() -> None:
    """Make the attention known to transformers, which makes no mask, and asks nothing of positions, where no mask is registered."""
    AttentionInterface.register(NAME, attend)
