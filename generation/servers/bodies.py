"""Requests as the bodies that servers read."""

from __future__ import annotations

import json
from typing import Any

from constitution.records import Message
from generation.engines.base import Request
from generation.servers.settings import EndpointSettings

TOP_LOGPROBS = 20
"""Alternatives that are asked for where settings name no number: the most that chat servers report."""


def request_body(request: Request, model: str, settings: EndpointSettings) -> dict[str, Any]:
    """What a server is sent: token ids to vLLM's own entry point, messages to any other."""
    if settings.token_ids:
        body = _token_body(request, model)
        body["sampling_params"] = _spelled(body["sampling_params"], settings)
        return {**body, **settings.extra_body}
    return {**_spelled(_chat_body(request, model, settings), settings), **settings.extra_body}


def _spelled(fields: dict[str, Any], settings: EndpointSettings) -> dict[str, Any]:
    """The fields as this server has them: without those it does not take, by the names it has for them."""
    return {settings.rename.get(name, name): value for name, value in fields.items() if name not in settings.omit}


def _decoding(request: Request, thinking: int) -> dict[str, Any]:
    s = request.sampling
    named = {
        "max_tokens": s.max_tokens + thinking,
        "temperature": s.temperature,
        "top_p": s.top_p,
        "seed": s.seed,
        "stop": list(s.stop) or None,
    }
    return {name: value for name, value in named.items() if value is not None}


def _token_body(request: Request, model: str) -> dict[str, Any]:
    sampling = _decoding(request, 0)
    if request.sampling.ends:
        sampling["stop_token_ids"] = list(request.sampling.ends)
    if request.scored:
        sampling = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
    if request.labels:
        ids = [token for _, token in request.labels]
        # The server cuts its list to the number asked for after putting the sampled token first: one more makes room for it.
        ids.append(ids[-1])
        sampling |= {"logprob_token_ids": ids, "logprobs": len(ids)}
    mode = "tokens" if request.labels or request.scored else "text"
    return {"model": model, "token_ids": list(request.tokens), "sampling_params": sampling, "output_mode": mode}


def _chat_body(request: Request, model: str, settings: EndpointSettings) -> dict[str, Any]:
    messages = [_openai(message) for message in request.messages]
    body = {"model": model, **_decoding(request, settings.thinking_tokens), "messages": messages}
    if settings.answer_prefix:
        # how vLLM and SGLang are told to go on with a message; DeepSeek and Mistral look at `prefix`
        messages.append({"role": "assistant", "content": settings.answer_prefix, "prefix": True})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    own = json.loads(request.template_kwargs) if request.template_kwargs else {}
    if told := {**settings.chat_template_kwargs, **own}:
        body["chat_template_kwargs"] = told
    if settings.reasoning_effort:
        body["reasoning_effort"] = settings.reasoning_effort
    if request.tools:
        body["tools"] = json.loads(request.tools)
    if request.schema:
        schema = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    alternatives = TOP_LOGPROBS if settings.top_logprobs is None else settings.top_logprobs
    if request.labels and alternatives:
        body |= {"logprobs": True, "top_logprobs": alternatives}
    return body


def _openai(message: Message) -> dict[str, Any]:
    fields = {"content": "", **message.model_dump(mode="json", exclude_defaults=True, exclude={"reasoning_content"})}
    for call in fields.get("tool_calls", ()):
        call["type"] = "function"
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return fields
