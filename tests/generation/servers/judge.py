"""A judge behind a chat server that has some of the ways of the servers there are. It prefers a reply that holds GOOD."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import Any

Body = dict[str, Any]


def preference(body: Body) -> float:
    """Log-odds of the reply that is listed first: 4 for the better one, and 0.5 for the first place."""
    text = str(body["messages"][-1]["content"])
    first, _, second = text.partition("<reply_b")
    return 4.0 * (("GOOD" in first) - ("GOOD" in second)) + 0.5


class ChatJudge:
    """What such a server answers to a body, as a behaviour of the loopback server."""

    def __init__(
        self,
        *,
        alternatives: int = 20,
        refuses: Collection[str] = (),
        says_which: bool = True,
        fixed: Mapping[str, object] | None = None,
        thinks: str = "",
        schema: bool = True,
        ignores_logprobs: bool = False,
    ) -> None:
        """alternatives: the most that it lists. refuses: parameters it does not take. fixed: the only value that it takes.
        says_which: its refusals name the parameter. thinks: `inline`, `apart` or `closed` (the template opened them). schema: it
        takes one.
        """
        self._alternatives, self._refuses, self._says_which = alternatives, set(refuses), says_which
        self._fixed, self._thinks, self._schema, self._ignores = dict(fixed or {}), thinks, schema, ignores_logprobs
        self.bodies: list[Body] = []

    def __call__(self, body: Body) -> dict[str, Any]:
        """The behaviour."""
        self.bodies.append(body)
        refused = [name for name in body if name in self._refuses or body[name] != self._fixed.get(name, body[name])]
        if refused:
            words = (
                f"Unsupported parameter: '{refused[0]}' is not supported with this model."
                if self._says_which
                else "Bad request"
            )
            return _error(words)
        if body.get("top_logprobs", 0) > self._alternatives:
            words = (
                f"Invalid value for 'top_logprobs': must be less than or equal to {self._alternatives}."
                if self._says_which
                else "Bad request"
            )
            return _error(words)
        if body.get("response_format") and not self._schema:
            return _error("Unsupported parameter: 'response_format' is not supported with this model.")
        return {"json": self._answer(body)}

    def _answer(self, body: Body) -> Body:
        z = preference(body)
        winner = "A" if z > 0 else "B"
        said = json.dumps({"verdict": winner}) if body.get("response_format") else winner
        if "critique" in str(body["messages"][-1]["content"]).lower():
            said = "No issues."
        message: Body = {"role": "assistant", "content": said}
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 100
        thought = {"inline": "<think>B? A?</think>\n", "closed": "B? A?\n</think>\n\n"}.get(self._thinks, "")
        message["content"] = thought + said
        if self._thinks == "apart":
            message["reasoning_content"] = "B? A?"
        if self._thinks and limit < 10:
            message = {
                "role": "assistant",
                "content": None if self._thinks == "apart" else thought[:3],
                "reasoning_content": "B?",
            }
        choice: Body = {"index": 0, "message": message, "finish_reason": "length" if limit < 10 else "stop"}
        if body.get("logprobs") and not self._ignores:
            choice["logprobs"] = {"content": [self._position(z, body)]}
        return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 2}}

    def _position(self, z: float, body: Body) -> Body:
        both = [("A", -math.log1p(math.exp(-z))), ("B", -math.log1p(math.exp(z)))]
        if self._thinks:
            both = [("<think>", -1e-4), ("Well", -9.5)]
        others = [(f"t{i}", -12.0 - i) for i in range(20)]
        ordered = sorted([*both, *others], key=lambda entry: -entry[1])[: body.get("top_logprobs", 0)]
        top = [{"token": token, "logprob": value} for token, value in ordered]
        return {"token": ordered[0][0], "logprob": ordered[0][1], "top_logprobs": top}


def _error(words: str) -> dict[str, Any]:
    return {"status": 400, "json": {"error": {"message": words, "type": "invalid_request_error"}}}
