"""What servers do, each as public reports of bugs and vendors' documents describe it: the kinds of `benchmarks.border`."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from benchmarks.border_call import Call, Misbehave, Reply, http


class Kind(NamedTuple):
    """One way to misbehave."""

    name: str
    misbehave: Misbehave


def _error(message: str, **more: object) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def _status(status: int, body: object = b"", *headers: str) -> Misbehave:
    return lambda call: http(status, body or _error(f"status {status}"), *headers)


def _until(n: int, reply: bytes) -> Misbehave:
    """The first n calls get the reply; then all is well."""
    return lambda call: reply if call.n <= n else None


def _every(n: int, reply: bytes) -> Misbehave:
    return lambda call: reply if call.n % n == 0 else None


def _after(n: int, reply: bytes) -> Misbehave:
    return lambda call: reply if call.n > n else None


def _content(content: object) -> Misbehave:
    """Every message has this content."""
    return lambda call: call.message.update(content=content)


def _said(change: Callable[[str], object]) -> Misbehave:
    """Responses, but no labels, are changed."""

    def misbehave(call: Call) -> None:
        if not call.label:
            call.message["content"] = change(call.message["content"])

    return misbehave


def _finish(reason: object) -> Misbehave:
    return lambda call: call.choice.update(finish_reason=reason)


def _half(reason: object) -> Misbehave:
    """The server cuts each response, and says so by this word."""

    def misbehave(call: Call) -> None:
        if not call.label:
            call.message["content"] = call.message["content"][:12]
            call.choice["finish_reason"] = reason

    return misbehave


def _choice(**fields: object) -> Misbehave:
    return lambda call: call.choice.update(fields)


def _answer(**fields: object) -> Misbehave:
    return lambda call: call.answer.update(fields)


def _body(content: bytes) -> Misbehave:
    return lambda call: http(200, content)


def _listed(change: Callable[[float, float], list[tuple[str, float]]]) -> Misbehave:
    """Another list of alternatives, of the log-probabilities of A and B."""

    def misbehave(call: Call) -> None:
        call.tokens(*sorted(change(*call.ab), key=lambda entry: -entry[1]))

    return misbehave


def _values(value: object) -> Misbehave:
    """The less likely label's log-probability is this."""

    def misbehave(call: Call) -> None:
        if call.label:
            top = call.choice["logprobs"]["content"][0]["top_logprobs"]
            min(top[:2], key=lambda entry: entry["logprob"])["logprob"] = value

    return misbehave


def _logprobs(value: object) -> Misbehave:
    return lambda call: call.choice.update(logprobs=value)


def _refused(*names: str, status: int = 400) -> Misbehave:
    """A server that refuses requests with one of these parameters."""

    def misbehave(call: Call) -> Reply:
        found = [name for name in names if call.body.get(name) is not None]
        words = "Unsupported parameter: '{0}' is not supported with this model."
        return (
            http(status, _error(words.format(found[0]), type="invalid_request_error", param=found[0]))
            if found
            else None
        )

    return misbehave


def _at_most(limit: int) -> Misbehave:
    def misbehave(call: Call) -> Reply:
        if (call.body.get("top_logprobs") or 0) > limit:
            return http(400, _error(f"Invalid value for 'top_logprobs': must be less than or equal to {limit}."))
        return None

    return misbehave


def _no_logprobs(call: Call) -> None:
    call.choice.pop("logprobs", None)


def _only(n: int) -> Misbehave:
    """The list has n entries, whatever is asked."""

    def misbehave(call: Call) -> None:
        if call.label:
            position = call.choice["logprobs"]["content"][0]
            position["top_logprobs"] = position["top_logprobs"][:n]

    return misbehave


def _legacy(call: Call) -> None:
    if call.label:
        a, b = call.ab
        first = "A" if a > b else "B"
        call.choice["logprobs"] = {
            "tokens": [first], "token_logprobs": [max(a, b)], "top_logprobs": [{"A": a, "B": b}], "text_offset": [0],
        }  # fmt: skip


def _thinks_first(call: Call) -> None:
    """Thoughts take the place of a label: the first position is not the answer's."""
    if call.label:
        call.tokens(("<think>", -0.01), ("A", -9.0), ("B", -9.5))
    else:
        call.message["content"] = f"<think>Hm, BAD or GOOD?</think>{call.message['content']}"


def _thoughts_beside(name: str) -> Misbehave:
    return lambda call: call.message.update({name: "The user wants a number. BAD idea."})


def _thoughts_alone(call: Call) -> None:
    if not call.label:
        call.message.update(content=None, reasoning_content="A long thought")
        call.choice["finish_reason"] = "length"


def _parts(call: Call) -> None:
    call.message["content"] = [{"type": "text", "text": call.message["content"]}]


def _thinking_parts(call: Call) -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "GOOD or BAD?"}]}
    call.message["content"] = [thought, {"type": "text", "text": call.message["content"]}]


def _two_choices(call: Call) -> None:
    other = {**call.choice, "index": 1, "message": {"role": "assistant", "content": "BAD: another one."}}
    call.answer["choices"] = [other, call.choice]


def _gzipped(call: Call) -> Reply:
    return http(200, gzip.compress(json.dumps(call.answer).encode()), "Content-Encoding: gzip")


def _bomb(call: Call) -> Reply:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(256)) + packer.flush()
    return http(200, content, "Content-Encoding: gzip")


def _short(call: Call) -> Reply:
    """Fewer bytes than announced, and the connection ends."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, call.answer)[:-20])
        await writer.drain()

    return write


def _wait(call: Call, seconds: float = 60.0) -> Reply:
    async def write(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)

    return write


def _drip(call: Call) -> Reply:
    """One byte now and then, for ever."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(600):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.1)

    return write


def _endless(call: Call) -> Reply:
    """Chunks without an end."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(4096):
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    return write


def _hang_up(call: Call) -> Reply:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    return write


def _no_http(call: Call) -> Reply:
    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
        await writer.drain()

    return write


def _stream(call: Call) -> Reply:
    chunk = json.dumps({"object": "chat.completion.chunk", "choices": [{"delta": {"content": "GOOD"}}]})
    return http(200, f"data: {chunk}\n\ndata: [DONE]\n\n".encode(), "Content-Type: text/event-stream")


def _twice(call: Call) -> Reply:
    return http(200, json.dumps(call.answer).encode() * 2)


def _system_refused(call: Call) -> Reply:
    roles = {message["role"] for message in call.body["messages"]}
    return http(400, _error("System role not supported")) if "system" in roles else None


TOO_LONG = {
    "openai": _error("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
                     type="invalid_request_error", code="context_length_exceeded"),
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error",
                  "message": "prompt is too long: 9001 tokens > 8192 maximum"}},
    "gemini": [{"error": {"code": 400, "status": "INVALID_ARGUMENT",
                "message": "The input token count (9001) exceeds the maximum number of tokens allowed (8192)."}}],
    "mistral": {"object": "error", "type": "invalid_request_error", "code": "3051",
                "message": "Prompt contains 9001 tokens and 0 draft tokens, too large for model with 8192 maximum context length"},
    "cohere": {"message": "too many tokens: total number of tokens in the prompt exceeds the limit of 8192"},
    "together": _error("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9001 `inputs` tokens"),
    "fireworks": _error("The prompt is too long: 9001, model maximum context length: 8191"),
    "groq": _error("Please reduce the length of the messages or completion.", code="context_length_exceeded"),
    "llama.cpp": _error("the request exceeds the available context size. try increasing the context size",
                        type="exceed_context_size_error", code=400),
    "sglang": {"object": "error", "code": 400,
               "message": "The input (9001 tokens) is longer than the model's context length (8192 tokens)."},
    "bedrock": {"message": "Input is too long for requested model."},
    "lm-studio": _error("Trying to keep the first 9001 tokens when context the overflows. The model is loaded with context "
                        "length of only 4096"),
}  # fmt: skip
"""How vendors say that a prompt does not fit."""
REFUSALS = {
    "azure": _error("The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                    code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
    "openai": _error("Your request was rejected as a result of our safety system.", code="content_policy_violation"),
    "openrouter": _error("Input flagged by moderation", code=403, metadata={"reasons": ["violence"]}),
}  # fmt: skip
HTML = b"<html><body><h1>Welcome to nginx!</h1></body></html>"

KINDS: tuple[Kind, ...] = tuple(
    Kind(name, misbehave)
    for name, misbehave in dict[str, Misbehave]({
        "well": lambda call: None,
        # statuses, at every call
        **{f"status-{code}": _status(code) for code in (204, 400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 425, 429,
                                                        451, 500, 501, 502, 503, 504, 520, 529)},
        **{f"redirect-{code}": _status(code, b"{}", "Location: http://127.0.0.1:9/") for code in (301, 302, 307, 308)},
        "html-404": _status(404, HTML), "html-502": _status(502, HTML), "html-200": _body(HTML),
        "no-such-model": _status(404, _error("The model `x` does not exist", code="model_not_found")),
        "no-such-model-400": _status(400, _error("invalid model name x", code="invalid_model")),
        "quota-429": _status(429, _error("You exceeded your current quota, please check your plan", code="insufficient_quota")),
        "bad-key-403": _status(403, _error("Invalid API key provided")),
        "retry-later": _status(429, _error("slow down"), "Retry-After: 3600"),
        "retry-date": _status(429, _error("slow down"), "Retry-After: Wed, 21 Oct 2037 07:28:00 GMT"),
        **{f"too-long-{vendor}": _status(400, body) for vendor, body in TOO_LONG.items()},
        **{f"content-refused-{vendor}": _status(403 if vendor == "openrouter" else 400, body) for vendor, body in REFUSALS.items()},
        # statuses that pass, or that come in the middle
        "loading-404": _until(8, http(404, _error("model is not loaded"))),
        "loading-503": _until(8, http(503, _error("Loading model"))),
        "busy-429": _every(2, http(429, _error("rate limit"), "Retry-After: 0")),
        "flaky-500": _every(3, http(500, _error("oops"))),
        "bill-after-20": _after(20, http(402, _error("credits are used up"))),
        "key-after-20": _after(20, http(401, _error("key expired"))),
        "dead-after-20": lambda call: _hang_up(call) if call.n > 20 else None,
        "one-403": lambda call: http(403, _error("blocked by policy")) if call.n == 9 else None,
        # what HTTP carries
        "gzip": _gzipped, "gzip-bomb": _bomb, "gzip-broken": lambda call: http(200, b"no gzip", "Content-Encoding: gzip"),
        "short-body": _short, "hangs": _wait, "drips": _drip, "endless-chunks": _endless, "hangs-up": _hang_up, "no-http": _no_http,
        "empty-body": _body(b""), "cut-json": _body(b'{"choices": [{"message": {"content": "GO'), "json-null": _body(b"null"),
        "json-number": _body(b"17"), "json-array": _body(b"[]"), "deep-json": _body(b"[" * 100_000 + b"]" * 100_000),
        "bad-utf8": _body(b'{"choices": "\xff\xfe"}'), "json-twice": _twice, "event-stream": _stream,
        "big-number": _body(b'{"choices": [{"index": ' + b"9" * 5000 + b"}]}"),
        # errors inside a 200
        "error-in-200": _body(json.dumps(_error("upstream is down")).encode()),
        "error-text-in-200": _body(b'{"error": "upstream is down"}'),
        "error-code-in-200": _body(json.dumps(_error("rate limited", code=429)).encode()),
        "error-in-choice": _choice(finish_reason="error", error={"message": "upstream is down", "code": 502}),
        "error-beside-null": _answer(error=None),
        # choices and messages
        "no-choices": _answer(choices=[]), "choices-null": _answer(choices=None), "choices-object": _answer(choices={"0": 1}),
        "two-choices": _two_choices, "message-null": _choice(message=None), "message-text": _choice(message="GOOD"),
        "content-null": _content(None), "content-empty": _content(""), "content-blank": _content(" \n\t "),
        "content-number": _content(7), "content-object": _content({"text": "GOOD"}), "content-parts": _parts,
        "content-image": _content([{"type": "image_url", "image_url": {"url": "x"}}]),
        "refusal": lambda call: call.message.update(content=None, refusal="I cannot help with that."),
        "surrogate": _said(lambda text: f"{text}\ud83d"), "nul": _said(lambda text: f"{text}\0"),
        "escapes": _said(lambda text: f"\x1b[2J{text}"), "tool-call-unasked": _choice(finish_reason="tool_calls"),
        # how it ended
        **{f"finish-{word}": _finish(word) for word in ("stop", "eos", "STOP", "end_turn", "COMPLETE")},
        **{f"cut-{word}": _half(word) for word in ("length", "max_tokens", "MAX_TOKENS", "content_filter", "error", "abort",
                                                  "SAFETY", "insufficient_system_resource", "unknown", None)},
        "finish-missing": lambda call: call.choice.pop("finish_reason") and None,
        # thoughts
        "thinks-inline": _said(lambda text: f"<think>BAD or GOOD?</think>\n\n{text}"),
        "thinks-close-only": _said(lambda text: f"BAD? GOOD?\n</think>\n\n{text}"),
        "thinks-first": _thinks_first, "thinks-beside": _thoughts_beside("reasoning_content"), "thinks-parts": _thinking_parts,
        "thinks-beside-reasoning": _thoughts_beside("reasoning"), "thoughts-alone": _thoughts_alone,
        "thoughts-unclosed": _said(lambda text: f"<think>{text}"),
        "thinks-mistral": _said(lambda text: f"[THINK]BAD?[/THINK]{text}"),
        "thinks-harmony": _said("<|channel|>analysis<|message|>BAD?<|end|><|start|>assistant<|channel|>final<|message|>{}".format),
        # lists of alternatives
        "no-logprobs": _no_logprobs, "logprobs-null": _logprobs(None), "logprobs-empty": _logprobs({"content": []}),
        "logprobs-content-null": _logprobs({"content": None}), "legacy-logprobs": _legacy, "top-1": _only(1), "top-0": _only(0),
        "duplicates": _listed(lambda a, b: [("A", a), ("B", b), ("A", -15.0), ("B", -15.5)]),
        "duplicate-winner": _listed(lambda a, b: [("A", a), ("B", b), ("A" if a > b else "B", -12.0)]),
        "spaces": _listed(lambda a, b: [(" A", a), (" B", b)]),
        "spaces-mixed": _listed(lambda a, b: [(" A", a), (" B", b), ("A", b - 5), ("B", a - 5)]),
        "sentencepiece": _listed(lambda a, b: [("\u2581A", a), ("\u2581B", b)]),
        "lower-case": _listed(lambda a, b: [("a", a), ("b", b)]),
        "markup-joined": _listed(lambda a, b: [("**A", a), ("**B", b)]), "bracketed": _listed(lambda a, b: [("(A", a), ("(B", b)]),
        "markup-first": _listed(lambda a, b: [("**", -0.001), ("A", a - 8), ("B", b - 8)]),
        "off-menu": _listed(lambda a, b: [("The", -0.001), ("I", -7.0), ("Both", -9.0)]),
        "tiny-mass": _listed(lambda a, b: [("The", -0.0001), ("A", b - 10), ("B", a - 10)]),
        "loser-unlisted": _listed(lambda a, b: [("A" if a > b else "B", max(a, b)), ("The", -4.0)]),
        **{f"logprob-{name}": _values(value) for name, value in dict[str, object]({"-9999": -9999.0, "-inf": float("-inf"),
           "null": None, "text": "-3.1", "nan": float("nan"), "positive": 5.0, "list": [], "true": True}).items()},
        # parameters
        **{f"refuses-{name}": _refused(name) for name in ("max_tokens", "temperature", "seed", "logprobs", "top_p",
                                                                 "response_format")},
        "refuses-temperature-and-seed": _refused("temperature", "seed"), "refuses-logprobs-403": _refused("logprobs", status=403),
        "refuses-max-tokens-422": _refused("max_tokens", status=422), "top-5": _at_most(5), "no-system": _system_refused,
        # counts
        "usage-missing": lambda call: call.answer.pop("usage") and None, "usage-null": _answer(usage=None),
        **{f"usage-{name}": _answer(usage={"prompt_tokens": value, "completion_tokens": value, "prompt_tokens_details": []})
           for name, value in {"text": "12", "float": 3.5, "negative": -4, "huge": 10**40, "nulls": None}.items()},
        "extra-fields": partial(lambda call: call.answer.update(service_tier="x", system_fingerprint=None, citations=[])),
    }).items()
)  # fmt: skip

PASSING = (
    "status-408", "status-409", "status-425", "status-429", "status-500", "status-502", "status-503", "status-504", "status-520",
    "status-529", "html-502", "html-200", "gzip-broken", "short-body", "hangs-up", "no-http", "empty-body", "cut-json", "json-null",
    "json-number", "json-array", "deep-json", "bad-utf8", "json-twice", "event-stream", "big-number", "error-in-200",
    "error-text-in-200", "error-code-in-200", "error-in-choice", "no-choices", "choices-null", "choices-object", "message-null",
    "message-text", "content-number", "content-object", "cut-error", "cut-abort", "cut-unknown", "cut-None", "finish-missing",
)  # fmt: skip
"""Trouble that says nothing of the request: once it has passed, a run is as if it had never been."""
