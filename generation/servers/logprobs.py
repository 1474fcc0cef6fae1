"""Log-probabilities of labels in the lists of alternatives that servers send."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from generation.engines.base import known_logprob


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
