"""Attention without padding: many prompts in one row of tokens, and the replies to a prompt share it.

A reply attends to its prompt and to itself, never to another reply or prompt. Registered with transformers under a name of its
own, so it works in every model whose attention can be exchanged there.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch.nn import functional
from torch.nn.attention import varlen
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from generation.engine import ModelError
from training.batches import Batch

NAME = "solon_packed"
"""What a model's attn_implementation is called that uses it."""
WINDOWS = ("sliding_attention", "chunked_attention")
"""Layer types that see a part of the context only."""

MORE = ("s_aux", "softcap", "position_bias")
"""Arguments by which a model asks its attention for more than products and a softmax."""


class Piece(NamedTuple):
    """A run of queries: a prompt, or a reply with the prompt before it."""

    prompt: int | None
    """Which piece its prompt is; None for a prompt."""
    mask: Any
    """[tokens, prompt + tokens] bool for a reply: what each token sees. None for a prompt, which is plainly causal."""


class Segments(NamedTuple):
    """How one row of tokens is made up."""

    sizes: list[int]
    """Tokens of each piece, in order."""
    pieces: list[Piece]
    gather: Any
    """[K] places of the keys, piece after piece with its prompt's before it; for variable-length kernels."""
    queries: Any
    """[pieces + 1] where each piece's queries begin, int32."""
    keys: Any
    """[pieces + 1] where each piece's keys begin, int32."""
    longest: tuple[int, int]
    """Most queries and most keys of a piece."""


def segments(batch: Batch) -> Segments:
    """The pieces of a packed batch, made once for all layers."""
    device = batch["tokens"].device
    sizes: list[int] = []
    pieces: list[Piece] = []
    spans: list[list[tuple[int, int]]] = []
    lengths = iter(batch["lengths"].tolist())
    start = 0
    for prompt, replies in zip(batch["prompts"].tolist(), batch["replies"].tolist(), strict=True):
        home, begin = len(sizes), start
        sizes.append(prompt)
        pieces.append(Piece(None, None))
        spans.append([(begin, prompt)])
        start += prompt
        for _ in range(replies):
            n = next(lengths)
            sizes.append(n)
            mask = torch.ones(n, prompt + n, dtype=torch.bool, device=device).tril(prompt)
            pieces.append(Piece(home, mask))
            spans.append([(begin, prompt), (start, n)])
            start += n
    counts = [sum(n for _, n in span) for span in spans]
    gather = torch.cat([torch.arange(a, a + n, device=device) for span in spans for a, n in span])
    return Segments(sizes, pieces, gather, _starts(sizes, device), _starts(counts, device), (max(sizes), max(counts)))


def attend(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any = None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    segments: Segments | None = None,
    **more: Any,
) -> tuple[Any, None]:
    """query [1, heads, T, size], key and value [1, fewer heads, T, size] -> ([1, T, heads, size], None).

    On a GPU one variable-length kernel does all pieces; elsewhere each piece is a call of its own, which wastes nothing either.
    Raises ModelError for a model that does more in its attention than is done here, or does not hand the segments on.
    """
    if segments is None or attention_mask is not None or any(more.get(name) is not None for name in MORE):
        raise ModelError(f"{type(module).__name__} attends in a way of its own; set layout: padded")
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        return _varlen(query, key, value, scaling, segments), None
    with torch.autocast(query.device.type, enabled=False):
        return _piecewise(query, key, value, scaling, dropout, segments), None


def _piecewise(query: Any, key: Any, value: Any, scaling: float | None, dropout: float, segments: Segments) -> Any:
    """In float32: the CPU's bfloat16 kernels are made anew, and kept, for every pair of lengths, and their backward is slower."""
    wide = torch.float32 if query.device.type == "cpu" else query.dtype
    queries, keys, values = (x.to(wide).split(segments.sizes, dim=2) for x in (query, key, value))
    parts = []
    for i, piece in enumerate(segments.pieces):
        k, v = keys[i], values[i]
        if piece.prompt is not None:
            k, v = torch.cat([keys[piece.prompt], k], 2), torch.cat([values[piece.prompt], v], 2)
        out = functional.scaled_dot_product_attention(
            queries[i], k, v, piece.mask, dropout, is_causal=piece.mask is None, scale=scaling, enable_gqa=True
        )
        parts.append(out.transpose(1, 2))
    return torch.cat(parts, 1).to(query.dtype)


def _varlen(query: Any, key: Any, value: Any, scaling: float | None, segments: Segments) -> Any:
    """Causal from the last query and the last key of each piece backwards, as variable-length kernels have it."""
    q = query[0].transpose(0, 1)
    k, v = (x[0].transpose(0, 1).index_select(0, segments.gather) for x in (key, value))
    most = segments.longest
    out = varlen.varlen_attn(
        q, k, v, segments.queries, segments.keys, *most, scale=scaling, window_size=(-1, 0), enable_gqa=True
    )
    return out[None]


def packs(config: Any, length: int) -> str | None:
    """Why a model cannot be trained without padding; None when it can.

    length: most tokens of a prompt with a reply. A window as long as that hides nothing.
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
    return None


@cache
def register() -> None:
    """Make the attention known to transformers."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)


def _starts(sizes: list[int], device: Any) -> Any:
    return torch.tensor([0, *sizes], dtype=torch.int32, device=device).cumsum(0, dtype=torch.int32)
