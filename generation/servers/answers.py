"""Answers of servers, read into one of five meanings: complete, truncated, refused, malformed, or the server's own trouble.

What a server sends is foreign: an end of an unknown kind is no complete text, a number that is none counts as unknown, and an error
is an error wherever it stands. The table in docs/design/servers.md says what each form means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

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
from generation.servers.refusals import SHOWN, ServerFault, Trouble, error_status, read_refusal, statements

_COMPLETE = (
    "stop", "tool_calls", "tool_call", "tool_use", "function_call", "end_turn", "eos", "eos_token", "eos_found",
    "stop_sequence", "complete",
)  # fmt: skip
_TRUNCATED = (
    "length", "max_tokens", "max_output_tokens", "max_length", "model_length", "token_limit", "error_limit",
    "model_context_window_exceeded",
)  # fmt: skip
_FINISHED: Mapping[str, Finish] = {**dict.fromkeys(_COMPLETE, "stop"), **dict.fromkeys(_TRUNCATED, "length")}
"""What servers call an end -> what it is. Any other word, or none, is not known to be one."""
_REFUSED = frozenset(
    {
        "content_filter", "content_filtered", "content-filter", "refusal", "safety", "prohibited_content", "recitation", "spii",
        "blocklist", "sensitive", "guardrail_intervened", "guardrails", "error_toxic", "model_armor", "image_safety", "jailbreak",
        "moderation",
    }
)  # fmt: skip
_BROKEN = frozenset(
    {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource", "timeout", "load"}
)
"""Ends by which a server says that it, and not the model, gave up."""
_UNSEEN = re.compile("[\ud800-\udfff\0]")
"""Half characters, which nothing can encode, and NUL, which data formats and tokenizers refuse."""
_ERRORS = frozenset(
    {
        "error", "errors", "detail", "details", "message", "msg", "error_msg", "error_message", "error_code", "errormessage",
        "code", "status_msg", "base_resp", "title", "reason", "promptfeedback", "prompt_feedback", "blockreason", "block_reason",
    }
)  # fmt: skip
"""Keys, in lower case, of which an answer without choices has one where it is an error."""
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
_MAX_COUNT = 1 << 53
LONGEST, LONGEST_TOKEN = 100_000, 32
"""Characters of an answer, thoughts included: so many, and so many more for each token that was asked for. Readers of answers take
time in proportion to them."""
MOST_PARTS = 200_000
"""Lists and objects in an answer; log-probabilities have one or two for each token."""


class Malformed(NamedTuple):
    """An answer that is none: it cannot be read, or not known to be whole."""

    words: str


Answer = Completion | Malformed | ServerFault
"""What a server's answer means. A Completion is `stop` (complete), `length` (truncated) or has an error `of_request` (refused)."""

_ReadError = Callable[[int, str], Completion | ServerFault]
"""Status and body of an error -> what it means for the request that is read."""


class _NoCompletion(ValueError):
    """What a server sent is not a completion."""


def read_answer(status: int, content: bytes, request: Request, token_ids: bool, sent: Collection[str] = ()) -> Answer:
    """What a server answered. Reads any bytes; raises nothing.

    sent: the fields of the request, of which a server may refuse one.
    """
    asked = [message.content for message in request.messages]
    if not 200 <= status < 300:
        return read_refusal(status, content.decode("utf-8", "replace"), sent, asked)
    try:
        answer = _loaded(content)
        return _bounded(_read(answer, request, token_ids, partial(read_refusal, sent=sent, asked=asked)), request)
    except _NoCompletion as error:
        return Malformed(str(error)[:SHOWN])
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, MemoryError):
        return Malformed(f"the answer is no completion ({_start(content)!r})")


def _bounded(answer: Answer, request: Request) -> Answer:
    """The answer; a text that is longer than the tokens that were asked for can be is cut, and truncated."""
    longest = LONGEST + LONGEST_TOKEN * request.most_written
    if isinstance(answer, Completion) and len(answer.text) > longest:
        return replace(answer, text=answer.text[:longest], finish="length")
    return answer


def billed(status: int, content: bytes, request: Request, thinking: int = 0) -> Usage:
    """What was paid for bytes that are no completion: as they say, nothing for an error, else the most that it can have been.

    thinking: tokens that the server allows for thoughts.
    """
    try:
        answer: Any = _loaded(content)
    except (ValueError, RecursionError, MemoryError):
        answer = None
    known = isinstance(answer, Mapping)
    if known and (usage := _usage(answer)).reported:
        return usage
    if not 200 <= status < 300 or (known and not answer.get("choices") and statements(json.dumps(answer))):
        return Usage()
    return most_usage(request, thinking)


def most_usage(request: Request, thinking: int = 0) -> Usage:
    """The most tokens that a call can have taken."""
    written = request.most_written + thinking
    return Usage(request.prompt_size, 0, written, request.prompt_size + written)


def _loaded(content: bytes) -> Any:
    """The JSON of an answer. Raises ValueError, also where making what it holds would hold up everything else."""
    if content.count(b"[") + content.count(b"{") > MOST_PARTS:
        raise ValueError(f"over {MOST_PARTS:,} lists and objects")
    return json.loads(_decoded(content))


def _decoded(content: bytes) -> str:
    """Bytes that are no UTF-8 become �, as half characters do; a server of another encoding says so with a byte order mark."""
    return content.decode(json.detect_encoding(content), "replace")


def _start(content: bytes) -> str:
    return content[:200].decode("utf-8", "replace")


def _read(answer: Any, request: Request, token_ids: bool, read_error: _ReadError) -> Answer:
    if not isinstance(answer, Mapping):
        raise _NoCompletion(f"the answer is a {type(answer).__name__} and no completion")
    choices = answer.get("choices")
    first = _first(choices) if isinstance(choices, list) else None
    error = answer.get("error") or (first or {}).get("error")
    if error:
        return _error_inside(error, read_error)
    if first is None:
        return _without_choices(answer, read_error)
    if request.scored:
        return scored_completion(_prompt_logprobs(answer, request), _usage(answer, completion=False))
    finish, usage = _finish(first), _usage(answer)
    if isinstance(finish, Completion):
        return replace(finish, usage=usage)
    if not isinstance(finish, str):
        return finish
    return _from_tokens(first, finish, usage, request) if token_ids else _from_chat(first, finish, usage, request)


def _first(choices: Sequence[Any]) -> Mapping[str, Any] | None:
    """The choice that was asked for: that of index 0, else the first in the list, as also where not all have an index."""
    known = [choice for choice in choices if isinstance(choice, Mapping)]
    indices = [str(choice.get("index")).removesuffix(".0") for choice in known]
    if "0" in indices and "None" not in indices:
        return known[indices.index("0")]
    return known[0] if known else None


def _error_inside(error: object, read_error: _ReadError) -> Completion | ServerFault:
    return read_error(error_status(error), json.dumps({"error": error}))


def _without_choices(answer: Mapping[str, Any], read_error: _ReadError) -> Answer:
    """An error that is not named one: many gateways answer with status 200 and their own words."""
    said = statements(json.dumps(answer))
    if not said or not _ERRORS & {key.lower() for key in answer}:
        return Malformed(f"the answer has no choices ({json.dumps(answer)[:200]})")
    return _error_inside(answer, read_error)


def _from_tokens(choice: Mapping[str, Any], finish: Finish, usage: Usage, request: Request) -> Completion:
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


def _from_chat(choice: Mapping[str, Any], finish: Finish, usage: Usage, request: Request) -> Completion:
    message = choice.get("message")
    if message is None and isinstance(choice.get("text"), str):
        message = {"content": choice["text"]}  # as the older completions have it
    if not isinstance(message, Mapping):
        raise _NoCompletion(f"the choice has no message ({json.dumps(choice)[:200]})")
    content = message.get("content")
    text = _text(content)
    calls = [_tool_call(call["function"]) for call in message.get("tool_calls") or ()]
    if calls and not request.tools:
        raise _NoCompletion("the answer calls a tool, and none was offered")
    refusal = message.get("refusal") or _of_type(content, "refusal", "refusal")
    if refusal and not (text or calls):
        return replace(failed(ErrorReason.CONTENT_REFUSED, _text(refusal)[:SHOWN]), usage=usage)
    thoughts = _thoughts(message)
    if content is None and not (calls or thoughts or choice.get("logprobs")):
        raise _NoCompletion("the content is null, and nothing says why")
    answer = "\n".join([text, *calls]).strip()
    if thoughts and not answer.startswith("<think>"):
        answer = f"<think>{thoughts}</think>{answer}"
    if not request.labels:
        return Completion(answer, finish, usage=usage)
    listed = label_logprobs(choice.get("logprobs"), [label for label, _ in request.labels])
    return Completion(answer, finish, listed.logprobs, usage, floor=listed.floor)


def _thoughts(message: Mapping[str, Any]) -> str:
    """What a server sends apart as the model's thoughts, under the names and in the parts that are in use."""
    for name in _THOUGHTS:
        if message.get(name):
            return _text(message[name]).strip()
    return _of_type(message.get("content"), "thinking", "thinking", "reasoning").strip()


def _of_type(content: object, field: str, *kinds: str) -> str:
    """The texts of the parts of these kinds, in a content that is a list of parts."""
    parts = content if isinstance(content, list) else []
    return "".join(
        _text(part.get(field) or part.get("text"))
        for part in parts
        if isinstance(part, Mapping) and part.get("type") in kinds
    )


def _tool_call(function: Mapping[str, Any]) -> str:
    """A call in the text form that `parse_tool_calls` reads. Servers send no arguments as an empty string, or as an object."""
    given = function.get("arguments")
    arguments = given if isinstance(given, Mapping) else json.loads(given or "{}")
    if not isinstance(arguments, Mapping):
        raise _NoCompletion("the arguments of a tool call are no object")
    return f"<tool_call>{json.dumps({'name': function['name'], 'arguments': arguments})}</tool_call>"


def _text(content: object) -> str:
    """A content as text: a string, one text part or a list of them, or null. An object that names no type is no part."""
    if isinstance(content, Mapping) and "type" not in content:
        raise _NoCompletion(f"the content is no text ({content!r:.200})")
    return _UNSEEN.sub("\ufffd", "".join(_texts(content)))


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _texts(part)
    elif isinstance(content, Mapping):
        if content.get("type", "text") in ("text", "output_text"):
            yield from _texts(content.get("text"))
    elif content is not None:
        raise _NoCompletion(f"the content is no text ({content!r:.200})")


def _finish(choice: Mapping[str, Any]) -> Finish | Completion | Malformed | ServerFault:
    """How the text ended, or what stands for it."""
    reason = choice.get("finish_reason")
    if isinstance(reason, Mapping):
        reason = reason.get("type")
    word = str(reason).lower().removeprefix("finishreason.")  # as a gateway in Python prints its own
    if word in _FINISHED:
        return _FINISHED[word]
    if word in _REFUSED:
        return failed(ErrorReason.CONTENT_REFUSED, f"finish_reason {word}")
    if word in _BROKEN:
        return ServerFault(0, f"finish_reason {word}: the server gave up within the answer", Trouble.PASSES)
    known = ", ".join(_FINISHED)
    return Malformed(f"finish_reason {reason!r:.60} does not say that the text is complete; known are {known}")


def _usage(answer: Mapping[str, Any], completion: bool = True) -> Usage:
    """Token counts, 0 where the server tells none. completion: False where what was generated is not read."""
    usage = answer.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
    prompt = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    cached = _count(usage.get("prompt_cache_hit_tokens") if cached is None else cached)
    written = _count(usage.get("completion_tokens", usage.get("output_tokens"))) if completion else 0
    return Usage(prompt, min(cached, prompt), written)


def _count(value: object) -> int:
    """A number of tokens; 0 for what is none."""
    try:
        count = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return 0
    return count if 0 <= count < _MAX_COUNT else 0
