"""Requests as the bodies that servers read."""

from __future__ import annotations

import json
from typing import Any

from constitution.records import Message
from generation.engines.base import Request

TOP_LOGPROBS = 20
"""Most alternatives that chat servers report; a label that is not among them is missing."""


def request_body(request: Request, model: str, token_ids: bool) -> tuple[str, dict[str, Any]]:
    """(path, JSON body). token_ids: to vLLM's own entry point, which takes the prompt as token ids."""
    if token_ids:
        return "/inference/v1/generate", _token_body(request, model)
    return "/v1/chat/completions", _chat_body(request, model)


def _decoding(request: Request) -> dict[str, Any]:
    s = request.sampling
    named = {
        "max_tokens": s.max_tokens,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "seed": s.seed,
        "stop": list(s.stop) or None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _token_body(request: Request, model: str) -> dict[str, Any]:
    sampling = _decoding(request)
    if request.scored:
        sampling = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
    if request.labels:
        ids = [token for _, token in request.labels]
        # The server cuts its list to the number asked for after putting the sampled token first: one more makes room for it.
        ids.append(ids[-1])
        sampling |= {"logprob_token_ids": ids, "logprobs": len(ids)}
    mode = "tokens" if request.labels or request.scored else "text"
    return {"model": model, "token_ids": list(request.tokens), "sampling_params": sampling, "output_mode": mode}


def _chat_body(request: Request, model: str) -> dict[str, Any]:
    body = {"model": model, **_decoding(request), "messages": [_openai(message) for message in request.messages]}
    if request.tools:
        body["tools"] = json.loads(request.tools)
    if request.labels:
        body |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
    return body


def _openai(message: Message) -> dict[str, Any]:
    fields = {"content": "", **message.model_dump(mode="json", exclude_defaults=True)}
    for call in fields.get("tool_calls", ()):
        call["type"] = "function"
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return fields
