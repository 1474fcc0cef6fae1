"""Answers in the forms of other vendors, numbers that are no log-probabilities, and what is left of a chat's format: more kinds of
`benchmarks.border`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from benchmarks.border_call import Call, Misbehave, http

ENDS = {
    "chatml": "<|im_end|>",
    "llama-2": "</s>",
    "llama-3": "<|eot_id|>",
    "llama-3-text": "<|end_of_text|>",
    "gemma": "<end_of_turn>\n",
    "phi": "<|end|>",
    "gpt": "<|endoftext|>",
    "deepseek": "<｜end▁of▁sentence｜>",
}
WORDS = ("FinishReason.STOP", "stop_sequence", "eos_token", "tool_use", "null", "1", "stopped", "end")
GOES_ON = "<|im_end|>\n<|im_start|>user\nBAD, and now?<|im_end|>\n<|im_start|>assistant\nGOOD"


def _wrapped(wrap: Callable[[Call], object]) -> Misbehave:
    """Another vendor's own form of an answer."""
    return lambda call: http(200, wrap(call))


def _changed(change: Callable[[Call], object]) -> Misbehave:
    """The answer is changed."""

    def misbehave(call: Call) -> None:
        change(call)

    return misbehave


def _message(**fields: object) -> Misbehave:
    return _changed(lambda call: call.message.update(fields))


def _said(change: Callable[[str], object]) -> Misbehave:
    """Responses, but no labels, are changed."""
    return _changed(lambda call: None if call.label else call.message.update(content=change(call.message["content"])))


def _listed(change: Callable[[dict[str, Any], Call], object]) -> Misbehave:
    """The label's position is changed."""
    return _changed(lambda call: change(call.choice["logprobs"]["content"][0], call) if call.label else None)


def _entries(change: Callable[[dict[str, Any]], object]) -> Misbehave:
    """Every entry of the list is changed, and that of the drawn token."""
    return _listed(lambda position, _: [change(entry) for entry in (*position["top_logprobs"], position)])


def _values(numbers: Callable[[float, float], tuple[float, float]]) -> Misbehave:
    """The labels have these numbers in place of their log-probabilities."""
    return _changed(
        lambda call: call.tokens(*sorted(zip("AB", numbers(*call.ab), strict=True), key=lambda entry: -entry[1]))
    )


def _spelled(a: str, b: str) -> Misbehave:
    """The labels are spelled so."""
    return _changed(lambda call: call.tokens(*sorted(zip((a, b), call.ab, strict=True), key=lambda entry: -entry[1])))


def _behind(token: str, value: float = 0.0) -> Misbehave:
    """Another token's position stands before the label's."""
    entry = {"token": token, "logprob": value, "bytes": list(token.encode())}
    return _listed(lambda _, call: call.choice["logprobs"]["content"].insert(0, {**entry, "top_logprobs": [entry]}))


def _choices(change: Callable[[dict[str, Any]], list[Any]]) -> Misbehave:
    return _changed(lambda call: call.answer.update(choices=change(call.choice)))


def _other(choice: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {**choice, "message": {"role": "assistant", "content": "BAD: another one."}, **fields}


def _finish(reason: object) -> Misbehave:
    return _changed(lambda call: call.choice.update(finish_reason=reason))


def _made_up_call(call: Call) -> None:
    if not call.label:
        function = {"name": "search", "arguments": '{"q": "BAD"}'}
        call.message.update(content=None, tool_calls=[{"id": "1", "type": "function", "function": function}])
        call.choice["finish_reason"] = "tool_calls"


def _cut_and_stop(call: Call) -> None:
    """Cut at the limit, and called complete."""
    if not call.label:
        call.message["content"] = call.message["content"][:12]
        most = int(call.body.get("max_tokens") or call.body["max_completion_tokens"])
        call.answer["usage"] = {"prompt_tokens": 10, "completion_tokens": most, "total_tokens": 10 + most}


def _cached(call: Call) -> None:
    """A proxy that has one answer to everything: the first that it saw."""
    call.message["content"] = "GOOD: the answer is one."
    call.choice.pop("logprobs", None)


def _gemini(call: Call) -> object:
    content = {"role": "model", "parts": [{"text": call.message["content"]}]}
    return {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}


def _anthropic(call: Call) -> object:
    content = [{"type": "text", "text": call.message["content"]}]
    return {"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}


def _responses(call: Call) -> object:
    content = [{"type": "output_text", "text": call.message["content"]}]
    return {"object": "response", "status": "completed", "output": [{"type": "message", "content": content}]}


def _refusing_part(text: str) -> object:
    return [{"type": "refusal", "refusal": "No."}, {"type": "text", "text": text}]


FORMS: dict[str, Misbehave] = {
    "form-anthropic": _wrapped(_anthropic),
    "form-gemini": _wrapped(_gemini),
    "form-responses": _wrapped(_responses),
    "form-ollama": _wrapped(lambda call: {"message": call.message, "done": True, "done_reason": "stop"}),
    "form-tgi": _wrapped(lambda call: [{"generated_text": call.message["content"]}]),
    "form-cloudflare": _wrapped(lambda call: {"result": call.answer, "success": True, "errors": []}),
    "form-cloudflare-error": _wrapped(lambda call: {"success": False, "errors": [{"message": "Upstream failed"}]}),
    "form-delta": _changed(lambda call: call.choice.update(delta=call.choice.pop("message"))),
    "form-old-completion": _changed(lambda call: call.choice.update(text=call.choice.pop("message")["content"])),
    "form-not-found": _wrapped(lambda call: {"detail": "Not Found"}),
    "form-object-error": _wrapped(lambda call: {"object": "error", "message": "oops", "code": 50000}),
    "form-filtered": _wrapped(lambda call: {"choices": [], "prompt_filter_results": [{"hate": {"filtered": True}}]}),
    "form-ok": _wrapped(lambda call: "ok"),
    "form-queued": _wrapped(lambda call: {"status": "IN_QUEUE", "id": "x"}),
    # choices
    "index-missing": _choices(lambda one: [{**one, "index": None}, _other(one)]),
    "index-text": _choices(lambda one: [_other(one, index="1"), {**one, "index": "0"}]),
    "index-float": _choices(lambda one: [_other(one, index=1.0), {**one, "index": 0.0}]),
    "index-huge": _choices(lambda one: [{**one, "index": 10**30}]),
    "index-twice": _choices(lambda one: [one, _other(one)]),
    "choices-with-null": _choices(lambda one: [None, one]),
    "choice-list": _choices(lambda one: [[one]]),
    **{f"finish-{word}": _finish(word) for word in WORDS},
    "finish-empty": _finish(""),
    "finish-number": _finish(1),
    "finish-list": _finish(["stop"]),
    "cut-and-stop": _cut_and_stop,
    # messages
    "call-made-up": _made_up_call,
    "calls-empty": _message(content=None, tool_calls=[], refusal=None),
    "refusal-empty": _message(refusal=""),
    "refusal-beside": _said(_refusing_part),
    "content-missing": _changed(lambda call: call.message.pop("content")),
    "content-list-empty": _message(content=[]),
    "content-texts": _changed(lambda call: call.message.update(content=[call.message["content"]])),
    "content-invisible": _said(lambda _: "\u200b\u2060"),
    "role-missing": _changed(lambda call: call.message.pop("role")),
    "role-user": _message(role="user"),
    **{f"end-{name}": _said(f"{{}}{token}".format) for name, token in ENDS.items()},
    "end-runs-on": _said(f"{{}}{GOES_ON}".format),
    "header-llama-3": _said("<|start_header_id|>assistant<|end_header_id|>\n\n{}".format),
    "header-chatml": _said("<|im_start|>assistant\n{}".format),
    "header-word": _said("assistant\n\n{}".format),
    "bos-first": _said("<s> {}".format),
    # lists of alternatives
    "token-null": _entries(lambda entry: entry.update(token=None)),
    "token-empty": _entries(lambda entry: entry.update(token="")),
    "token-id": _entries(lambda entry: entry.update(token=317)),
    "bytes-missing": _entries(lambda entry: entry.pop("bytes")),
    "bytes-odd": _entries(lambda entry: entry.update(bytes=[300, -1, "x"], token=None)),
    "entry-null": _listed(lambda position, _: position["top_logprobs"].insert(0, None)),
    "top-null": _listed(lambda position, _: position.update(top_logprobs=None)),
    "top-object": _listed(lambda position, call: position.update(top_logprobs=dict(zip("AB", call.ab, strict=True)))),
    "top-renamed": _listed(lambda position, _: position.update(topLogprobs=position.pop("top_logprobs"))),
    "logprobs-list": _listed(lambda position, call: call.choice.update(logprobs=[position])),
    "value-renamed": _entries(lambda entry: entry.update(log_prob=entry.pop("logprob"))),
    "unsorted": _listed(lambda position, _: position["top_logprobs"].reverse()),
    "probabilities": _values(lambda a, b: (math.exp(a), math.exp(b))),
    "probabilities-0-1": _values(lambda a, b: (float(a > b), float(b > a))),
    "percent": _values(lambda a, b: (100 * math.exp(a), 100 * math.exp(b))),
    "logits": _values(lambda a, b: (a + 2.0, b + 2.0)),
    "logits-mixed": _values(lambda a, b: (2.5, -0.7) if a > b else (-0.7, 2.5)),
    "costs": _values(lambda a, b: (-a, -b)),
    "all-zero": _values(lambda a, b: (0.0, 0.0)),
    "greedy": _values(lambda a, b: (0.0, -1e9) if a > b else (-1e9, 0.0)),
    "position-empty": _behind(""),
    "position-bos": _behind("<s>"),
    "position-newline": _behind("\n", -0.01),
    "position-channel": _behind("<|channel|>"),
    "position-role": _behind("assistant"),
    "full-width": _spelled("\uff21", "\uff22"),
    "look-alike": _spelled("\u0410", "\u0412"),
    "with-point": _spelled("A.", "B."),
    "with-line": _spelled("A\n", "B\n"),
    "boxed": _spelled("\\boxed{A", "\\boxed{B"),
    "option": _spelled("Option A", "Option B"),
    "text-turned": _listed(lambda _, call: call.message.update(content="AB"[call.message["content"] == "A"])),
    "label-explained": _listed(lambda _, call: call.message.update(content=f"{call.message['content']}: not BAD")),
    # who answers, and what it counts
    "model-changes": _changed(lambda call: call.answer.update(model=f"other-{call.n % 3}")),
    "cached": _cached,
    "id-same": _changed(lambda call: call.answer.update(id="", created=0)),
    "created-huge": _changed(lambda call: call.answer.update(created=10**300)),
    "usage-list": _changed(lambda call: call.answer.update(usage=[1, 2])),
    "usage-nan": _changed(
        lambda call: call.answer.update(usage={"prompt_tokens": math.nan, "completion_tokens": 1e400})
    ),
}
