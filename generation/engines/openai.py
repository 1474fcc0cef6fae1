"""The OpenAI-compatible HTTP interface: requests as bodies, answers as completions, refusals as what they mean.

Everything a server sends is read here, and read as foreign: a number that is no log-probability is left out, an unknown
finish reason is no complete text, and a refusal counts as the request's own fault only where the server says so.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from constitution.records import Message
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

TOP_LOGPROBS = 20
"""Most alternatives that chat servers report; a label that is not among them is missing."""

_FINISHED: Mapping[str, Finish] = {
    **dict.fromkeys(("stop", "tool_calls", "function_call", "end_turn", "eos", "eos_token", "stop_sequence"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
}
"""What servers call an end -> what it is. Any other word, or none, is not known to be one."""
_REFUSED = frozenset({"content_filter", "refusal", "safety", "prohibited_content", "recitation", "blocklist"})

_TOO_LONG = (
    "context_length_exceeded", "exceed_context_size", "context length", "context size", "context window",
    "max_model_len", "prompt is too long", "input is too long", "too many input tokens",
)  # fmt: skip
"""How servers say, in codes or words, that a prompt does not fit."""
_POLICY = (
    "content_filter", "content_policy", "content policy", "content management policy", "responsibleaipolicyviolation",
    "moderation", "safety system", "usage policy", "usage policies", "prohibited content", "was flagged",
)  # fmt: skip
"""How they say that they do not answer such a content."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_COUNT = 1 << 53


class NoCompletion(ValueError):
    """What a server sent is not a completion."""


class ServerFault(NamedTuple):
    """What a server answered in place of a completion, where nothing says that the request is to blame."""

    status: int
    """As HTTP means it; 0 where an answer with status 200 holds an error and no number."""
    words: str
    """The server's own, shortened."""


def request_body(request: Request, model: str, token_ids: bool) -> tuple[str, dict[str, Any]]:
    """(path, JSON body). token_ids: to vLLM's own entry point, which takes the prompt as token ids."""
    if token_ids:
        return "/inference/v1/generate", _token_body(request, model)
    return "/v1/chat/completions", _chat_body(request, model)


def read_completion(content: bytes, request: Request, token_ids: bool) -> Completion | ServerFault:
    """What an answer with status 200 says. Raises NoCompletion for what is none."""
    try:
        answer = json.loads(content)
        choices = answer.get("choices") or [{}]
        error = answer.get("error") or choices[0].get("error")
        if error:
            return read_refusal(_error_status(error), json.dumps(error))
        if request.scored:
            return scored_completion(_prompt_logprobs(answer, request), _usage(answer, completion=False))
        choice = next((c for c in choices if c.get("index") == 0), choices[0])
        return (_from_tokens if token_ids else _from_chat)(choice, _usage(answer), request)
    except NoCompletion:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NoCompletion(f"the answer is no completion ({content[:200]!r})") from None


def read_refusal(status: int, content: str) -> Completion | ServerFault:
    """What an error means: a fact about the request where the server's code or words say so, else the server's fault."""
    stated = " ".join(" ".join(_statements(content)).split())
    words, lower = (stated or " ".join(content.split()))[:300], stated.lower()
    if status in (0, 400, 403, 413, 422, 451):
        if any(mark in lower for mark in _TOO_LONG):
            return failed(ErrorReason.PROMPT_TOO_LONG, words)
        if any(mark in lower for mark in _POLICY):
            return failed(ErrorReason.CONTENT_REFUSED, words)
    return ServerFault(status, words)


def _statements(content: str) -> Iterator[str]:
    """What the server says of an error: its codes and messages, and not the prompt, which some send back beside them."""
    try:
        waiting = [json.loads(content)]
    except (ValueError, RecursionError):
        yield content
        return
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            waiting += [value for key, value in item.items() if key in _STATED_IN]
        elif isinstance(item, list):
            waiting += item


_STATED_IN = frozenset(
    {"error", "detail", "message", "msg", "code", "type", "status", "innererror", "metadata", "reasons"}
)
"""Keys under which servers describe an error."""


def _error_status(error: object) -> int:
    """The number of an error inside an answer, 0 where it names none."""
    code = error.get("code", error.get("status")) if isinstance(error, Mapping) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 0


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
    logprobs: dict[str, float] = {}
    positions = (choice.get("logprobs") or {}).get("content") if request.labels else None
    if positions:
        logprobs = label_logprobs(positions[0], [label for label, _ in request.labels])
    return Completion("\n".join([text, *calls]).strip(), finish, logprobs, usage)


def label_logprobs(position: Mapping[str, Any], labels: Iterable[str]) -> dict[str, float]:
    """Label -> natural log-probability at one position of a server's list; a label that is not listed is left out.

    Several token ids may decode to one text, and servers differ in the space before a word: all entries whose text is the
    label without surrounding white space count, and their probabilities add up. The sampled token may stand in the list, or
    beside it, or both: an entry that repeats another counts once.
    """
    entries = set(_entries(position.get("top_logprobs") or ()))
    for token, value in _entries([position]):
        if not any(token == other and abs(value - known) < 0.01 for other, known in entries):
            entries.add((token, value))
    found: dict[str, float] = {}
    for label in labels:
        values = sorted(value for token, value in entries if token.strip(_SPACES) == label)
        if values:
            found[label] = min(0.0, values[-1] + math.log(math.fsum(math.exp(v - values[-1]) for v in values)))
    return found


def _entries(listed: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Token text and log-probability, of those that have one."""
    for entry in listed:
        value = known_logprob(entry.get("logprob"))
        if value is not None:
            yield str(entry["token"]), value


_SPACES = " \t\n\r\u2581\u0120\u010a"
"""White space, and how SentencePiece and byte-level vocabularies write it where a server does not decode."""


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
