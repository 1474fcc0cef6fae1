"""Answers of servers as completions. What a server sends is read as foreign: an unknown finish reason is no complete text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from generation.engines.base import (
    Completion,
    ErrorReason,
    Finish,
    Request,
    Usage,
    failed,
    known_logprob,
    scored_completion,
)
from generation.servers.logprobs import label_logprobs
from generation.servers.refusals import ServerFault, error_status, read_refusal

_FINISHED: Mapping[str, Finish] = {
    **dict.fromkeys(("stop", "tool_calls", "function_call", "end_turn", "eos", "eos_token", "stop_sequence"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
}
"""What servers call an end -> what it is. Any other word, or none, is not known to be one."""
_REFUSED = frozenset({"content_filter", "refusal", "safety", "prohibited_content", "recitation", "blocklist"})

_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_COUNT = 1 << 53


class NoCompletion(ValueError):
    """What a server sent is not a completion."""


def read_completion(content: bytes, request: Request, token_ids: bool) -> Completion | ServerFault:
    """What an answer with status 200 says. Raises NoCompletion for what is none."""
    try:
        answer = json.loads(content)
        choices = answer.get("choices") or [{}]
        error = answer.get("error") or choices[0].get("error")
        if error:
            return read_refusal(error_status(error), json.dumps(error))
        if request.scored:
            return scored_completion(_prompt_logprobs(answer, request), _usage(answer, completion=False))
        choice = next((c for c in choices if c.get("index") == 0), choices[0])
        return (_from_tokens if token_ids else _from_chat)(choice, _usage(answer), request)
    except NoCompletion:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NoCompletion(f"the answer is no completion ({content[:200]!r})") from None


def _from_tokens(choice: Mapping[str, Any], usage: Usage, request: Request) -> Completion:
    finish = _finish(choice)
    if isinstance(finish, Completion):
        return finish
    if not request.labels:
        return Completion(_text(choice["text"]), finish, usage=usage)
    wanted = {token: label for label, token in request.labels}
    logprobs = {}
    for entry in choice["logprobs"]["content"][0]["top_logprobs"]:
        value = known_logprob(entry["logprob"])
        if value is not None and entry["token_id"] in wanted:
            logprobs[wanted[entry["token_id"]]] = value
    sampled = next((label for label, token in request.labels if [token] == choice["token_ids"]), "")
    return Completion(sampled, finish, logprobs, usage)


def _prompt_logprobs(answer: Mapping[str, Any], request: Request) -> list[object]:
    """Of the scored tokens, None where the server lists none. It lists the prompt's tokens in order, the first as null."""
    listed = [None] * request.scored + (answer.get("prompt_logprobs") or [])
    pairs = zip(request.tokens[-request.scored :], listed[-request.scored :], strict=True)
    return [((entry or {}).get(str(token)) or {}).get("logprob") for token, entry in pairs]


def _from_chat(choice: Mapping[str, Any], usage: Usage, request: Request) -> Completion:
    message = choice["message"]
    finish = _finish(choice)
    if isinstance(finish, Completion):
        return finish
    text = _text(message.get("content"))
    calls = [_tool_call(call["function"]) for call in message.get("tool_calls") or ()]
    if message.get("refusal") and not (text or calls):
        return failed(ErrorReason.CONTENT_REFUSED, _text(message["refusal"])[:300])
    answer = "\n".join([text, *calls]).strip()
    if not request.labels:
        return Completion(answer, finish, usage=usage)
    listed = label_logprobs(choice.get("logprobs"), [label for label, _ in request.labels])
    return Completion(answer, finish, listed.logprobs, usage, floor=listed.floor)


def _tool_call(function: Mapping[str, Any]) -> str:
    """A call in the text form that `parse_tool_calls` reads. Servers send no arguments as an empty string."""
    arguments = json.loads(function["arguments"] or "{}")
    return f"<tool_call>{json.dumps({'name': function['name'], 'arguments': arguments})}</tool_call>"


def _text(content: object) -> str:
    """A content as text: a string, a list of text parts, or null. Half characters, which nothing can encode, are replaced."""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part.get("type", "text") == "text")
    if content is not None and not isinstance(content, str):
        raise NoCompletion(f"the content is no text ({content!r:.200})")
    return _SURROGATE.sub("\ufffd", content or "")


def _finish(choice: Mapping[str, Any]) -> Finish | Completion:
    """How the text ended, or the error that stands for it. Raises NoCompletion for an end of another kind."""
    reason = choice.get("finish_reason")
    word = str(reason).lower()
    if word in _REFUSED:
        return failed(ErrorReason.CONTENT_REFUSED, f"finish_reason {word}")
    if word not in _FINISHED:
        known = ", ".join(_FINISHED)
        raise NoCompletion(f"finish_reason {reason!r} does not say that the text is complete; known are {known}")
    return _FINISHED[word]


def _usage(answer: Mapping[str, Any], completion: bool = True) -> Usage:
    """Token counts, 0 where the server tells none. completion: False where what was generated is not read."""
    usage = answer.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    written = _count(usage.get("completion_tokens")) if completion else 0
    return Usage(_count(usage.get("prompt_tokens")), _count(cached), written)


def _count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    try:
        count = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 <= count < _MAX_COUNT else 0
