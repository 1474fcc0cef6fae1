"""Log-probabilities of labels in the lists of alternatives that servers send."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from critics.spelling import Listed, opens_answer, read_list
from critics.text.thoughts import answer_start
from generation.engines.base import known_logprob


def label_logprobs(logprobs: object, labels: Sequence[str], thinks: bool | None = None) -> Listed:
    """What a server's lists say of the labels where the answer begins: after thoughts, white space and markup.

    logprobs: the field of a choice, in the form of chat (`content`: a list of positions) or of the older completions (`tokens`,
    `token_logprobs`, `top_logprobs`: lists of one length). An entry without a log-probability, or with a placeholder for one, is
    below the list. thinks: as for `thoughts.split`.
    """
    positions = _positions(logprobs)
    tokens = [_token(position) for position in positions]
    begin, end = answer_start("".join(tokens), thinks), 0
    for token, position in zip(tokens, positions, strict=True):
        end += len(token)
        if end > begin and opens_answer(token[max(0, len(token) - (end - begin)) :]):
            return _listed(position, labels)
    # nothing but markup was generated; what stands beside it may still be a label
    return _listed(positions[0], labels) if positions and begin == 0 else Listed({}, None)


def longest_list(logprobs: object) -> int:
    """How many alternatives are listed at a position, the drawn token among them; 0 where there are no log-probabilities."""
    return max((sum(1 for _ in _entries(_list(p.get("top_logprobs")) or [p])) for p in _positions(logprobs)), default=0)


def _listed(position: Mapping[str, Any], labels: Sequence[str]) -> Listed:
    """What one position says. Nothing where its numbers are no log-probabilities: probabilities, logits, or all of them 0."""
    listed = _list(position.get("top_logprobs"))
    known = [*_entries(listed)]
    if any(_is_positive(entry.get("logprob")) for entry in listed) or _mass(known) > _MOST_MASS:
        return Listed({}, None)
    return read_list(known, labels, next(_entries([position]), None))


_MOST_MASS = 1.2
"""Tokens have a probability of 1 together; so much more is no rounding, of bfloat16 neither."""


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and known_logprob(value) is None and value > 0


def _mass(entries: Sequence[tuple[str, float]]) -> float:
    """Of different tokens; some servers repeat an entry."""
    return math.fsum(math.exp(value) for _, value in set(entries))


def _positions(logprobs: object) -> list[Mapping[str, Any]]:
    """One entry for each generated token, in the form of chat."""
    if not isinstance(logprobs, Mapping):
        return []
    content = _list(logprobs.get("content"))
    if content or "tokens" not in logprobs:
        return content
    tokens, values = (logprobs.get(name) or [] for name in ("tokens", "token_logprobs"))
    tops = logprobs.get("top_logprobs") or [None] * len(tokens)
    listed = zip(tokens, values, tops, strict=False)
    return [{"token": token, "logprob": value, "top_logprobs": top} for token, value, top in listed]


def _list(entries: object) -> list[Mapping[str, Any]]:
    """The entries of a list, or of an object that has log-probabilities by token; none of anything else."""
    if isinstance(entries, Mapping):
        return [{"token": token, "logprob": value} for token, value in entries.items()]
    return [entry for entry in entries if isinstance(entry, Mapping)] if isinstance(entries, list) else []


def _entries(listed: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Token text and log-probability, of those that have one."""
    for entry in listed:
        value = known_logprob(entry.get("logprob"))
        if value is not None:
            yield _token(entry), value


def _token(entry: Mapping[str, Any]) -> str:
    """Its text; from its bytes where the server names the token by its id, or not at all."""
    text, spelled = entry.get("token"), entry.get("bytes")
    if isinstance(text, str) and text and not text.startswith("token_id:"):
        return text
    with suppress(TypeError, ValueError):  # numbers that are no bytes
        return bytes(spelled if isinstance(spelled, list) else []).decode("utf-8", "replace")
    return ""
