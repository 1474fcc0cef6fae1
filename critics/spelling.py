"""A server's list of likeliest tokens -> the log-probability of each verdict label.

Such a list is of tokens as text, and a label is an answer: "A", " A", "a", "**A" and "(A" are one answer, whose probability is the
sum of theirs. What the list leaves out is bounded by it: a token that is not listed is no likelier than the last one that is, and
all of them together hold what the listed ones leave over.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

_SPACES = " \t\n\r\f\v\u00a0\u200b\ufeff\u2581\u0120\u010a\u0109"
"""White space, and how SentencePiece and byte-level vocabularies write it where a server does not decode."""
_BEFORE = _SPACES + "*_\"'`“‘«([{<#>~:"
"""What may stand before an answer: markup, an opening bracket or quote. Not a sign or a point, which change a number."""
_AFTER = _SPACES + "*_\"'`”’»)]}>.,:;!"
"""What may stand after it."""
SINGLE = 2.0**-24
"""How near to each other two numbers of single precision just under 1 can be: no server's list shows less mass than that."""


class Listed(NamedTuple):
    """What a list says of labels."""

    logprobs: dict[str, float]
    """Label -> natural log-probability of all its spellings that are listed; a label without any is left out."""
    floor: float | None
    """The most, in nats, that a label can have which is left out; None where the list is empty. One spelling of a label is taken to
    hold nearly all of its probability."""


def label_of(token: str, labels: Sequence[str]) -> str | None:
    """The label that a token spells, or None.

    Case is looked past where one label alone has those letters.
    """
    text = unicodedata.normalize("NFKC", token).lstrip(_BEFORE).rstrip(_AFTER)
    if text in labels:
        return text
    same = [label for label in labels if label.casefold() == text.casefold()]
    return same[0] if len(same) == 1 else None


def opens_answer(token: str) -> bool:
    """False for white space and markup alone, after which the answer is still to come."""
    return bool(token.lstrip(_BEFORE))


def read_list(
    entries: Iterable[tuple[str, float]], labels: Sequence[str], sampled: tuple[str, float] | None = None
) -> Listed:
    """What a list of (token, log-probability in nats) says of the labels.

    entries: without those that have no log-probability: they are below the list. sampled: the token that was drawn, which may
    stand in the list, or beside it, or both. An entry that repeats another counts once; tokens that differ only in their ids are
    told apart by their values.
    """
    listed = set(entries)
    if sampled and not any(sampled[0] == token and abs(sampled[1] - value) < _SAME for token, value in listed):
        listed.add(sampled)
    if not listed:
        return Listed({}, None)
    spelled: dict[str, list[float]] = {}
    for token, value in listed:
        label = label_of(token, labels)
        if label is not None:
            spelled.setdefault(label, []).append(value)
    found = {label: _log_sum(spelled[label]) for label in labels if label in spelled}
    return Listed(found, min(_last(listed, sampled), _left_over([value for _, value in listed])))


_SAME = 0.01
"""Nats between two values of one token: the sampled token's own and that in the list may be rounded differently."""


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return min(0.0, top + math.log(math.fsum(sorted(math.exp(value - top) for value in values))))


def _last(listed: Iterable[tuple[str, float]], sampled: tuple[str, float] | None) -> float:
    """The least likely entry of the list. A drawn token is listed however unlikely it is, and so bounds nothing."""
    ordered = sorted(value for _, value in listed)
    drawn = sampled is not None and len(ordered) > 1 and abs(sampled[1] - ordered[0]) < _SAME
    return ordered[1] if drawn else ordered[0]


def _left_over(values: Sequence[float]) -> float:
    """Log of the most mass that the list leaves to tokens outside it, its numbers being rounded."""
    digits = max(-int(Decimal(repr(value)).as_tuple().exponent) for value in values)
    step = max(0.5 * 10.0 ** -min(digits, 20), SINGLE)
    return math.log(max(SINGLE, 1 - math.fsum(math.exp(value - step) for value in values)))
