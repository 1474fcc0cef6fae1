"""Responses to the fixed prompts -> the monitor's check of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import numpy as np

from evaluation.texts import correlation, distinct_interval, novelty, per_response, table
from training.monitor.moves import PRINCIPLE, Check

DISTINCT = "distinct_2"
_PART = 4
"""All checks' `distinct_2` is measured at this part of the first check's words: it falls with the amount of text, whatever the text
says, so the amount has to be one that later checks have too."""
_NAMES = {"score": "proxy", "head_spread": "spread"}
"""Names of a row -> those of a check, where they differ."""
_JUDGED = ("gold", "kl", "truncated", *_NAMES)


class HeldOutResponse(NamedTuple):
    """The response to one held-out prompt."""

    place: int
    """Of the prompt among all held-out ones."""
    prompt: str
    text: str
    row: dict[str, float]
    """What is logged of it: its means over all prompts are the evaluation's results."""


def amount(first: Check) -> int:
    """Words of all responses together at which diversity is measured in a run that began so."""
    return _amount(first.rows["words"])


def check_of(step: int, responses: Sequence[HeldOutResponse], words: int | None, reference: AbstractSet[int]) -> Check:
    """The responses to all held-out prompts as a check; the same whatever order they come in.

    words: as `amount` gives them; None for the first check, whose amount it is. reference: n-grams that novelty is measured
    against; no novelty where it is empty. Numbers have 6 digits, so that a check read from a file is the one that was seen.
    """
    ordered = sorted(responses, key=lambda response: response.place)
    texts = [response.text for response in ordered]
    names, values, sizes = table([per_response(text) for text in texts])
    # An influence on the pooled mean, which is the mean of them: a rate per 100 words then has one for each prompt as well.
    pooled = (values * sizes).sum(0) / np.maximum(sizes.sum(0), 1e-300)
    influence = pooled + (values - pooled) * sizes / np.maximum(sizes.mean(0), 1e-300)
    rows = {name: influence[:, j].tolist() for j, name in enumerate(names)}
    judged = {name for response in ordered for name in response.row if name in _JUDGED or PRINCIPLE in name}
    for name in sorted(judged):
        rows[_NAMES.get(name, name)] = [response.row.get(name, math.nan) for response in ordered]
    if reference:
        rows["novelty"] = [novelty([text], reference) for text in texts]
    means = {name: float(np.nanmean(found)) for name, found in rows.items() if np.isfinite(found).any()}
    errors = dict[str, float]()
    if len(texts) > 1:
        distinct = distinct_interval(texts, 2, _amount(rows["words"]) if words is None else words)
        means[DISTINCT], errors[DISTINCT] = distinct.value, (distinct.high - distinct.low) / (2 * 1.96)
        means["reward_length"] = correlation(rows.get("proxy", [math.nan] * len(texts)), rows["words"])
    return Check(step, _short(means), _short(errors), {name: [*map(_digits, found)] for name, found in rows.items()})


def _amount(words: Sequence[float]) -> int:
    return round(sum(words)) // _PART


def _short(values: Mapping[str, float]) -> dict[str, float]:
    return {name: _digits(value) for name, value in sorted(values.items()) if math.isfinite(value)}


def _digits(value: float) -> float:
    return float(f"{value:.6g}")
