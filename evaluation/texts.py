"""What responses are like, whatever they say: length, repetition, refusal, tone, markup. Patterns, in English only but for words.

A policy that is trained against a judge may learn to please it by any of these. They are measured by rule, so that no judge is
needed to see it. Hedges and boosters are those of `biases` (after Hyland 2005).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Literal, NamedTuple

import numpy as np
import scipy  # whose parts are loaded where they are first used

from constitution.words import ngrams, repetition, word_count, words_of
from critics.ranking.weights import Estimate
from critics.text.biases import boosters, hedges
from critics.text.refusal import is_refusal
from critics.text.tone import READ, admits, agrees, markup
from evaluation.statistics import Floats, interval, prompts_of, resampled

Row = Mapping[str, float]
"""Measures of one response by name."""

GRAM = 4
"""Words of the n-grams that `novelty` looks for."""
_GROUPS = 20
"""Groups of prompts of which one at a time is left out, for the interval of `distinct_interval`."""


class Measure(NamedTuple):
    """What one name means."""

    meaning: str
    unit: str
    better: Literal["higher", "lower", "neither"]
    """Which way is better for benign prompts, everything else being equal."""


_RATE = "per 100 words"
MEASURES: Mapping[str, Measure] = {
    "words": Measure("length of a response in words; a character each in scripts without spaces", "words", "neither"),
    "tokens": Measure("length of a response in tokens of its model", "tokens", "neither"),
    "truncated": Measure("responses cut off at the longest length allowed", "share", "lower"),
    "unanswered": Measure("prompts without a response, or with an empty one", "share", "lower"),
    "repetition": Measure("word 3-grams of a response that repeat earlier ones in it", "share", "lower"),
    "distinct_1": Measure(
        "different words among the words of all responses, at equal amounts of text", "share", "higher"
    ),
    "distinct_2": Measure("the same of pairs of words", "share", "higher"),
    "distinct_3": Measure("the same of three words in a row", "share", "higher"),
    "variety_words": Measure("words and word pairs that two samples of one prompt do not share", "share", "higher"),
    "variety_vectors": Measure(
        "1 less the cosine of the letter n-grams of two samples of one prompt", "share", "higher"
    ),
    "novelty": Measure(f"word {GRAM}-grams that a reference corpus does not have", "share", "neither"),
    "refusal": Measure("responses that open by declining", "share", "lower"),
    "unsure": Measure("responses that admit not knowing", "share", "neither"),
    "certainty": Measure("words that claim certainty: definitely, clearly, without a doubt", _RATE, "neither"),
    "hedging": Measure("words that express doubt: perhaps, might, I think", _RATE, "neither"),
    "agreement": Measure("responses that open by agreeing with the asker or praising them", "share", "lower"),
    "markup": Measure(
        "list items, headings, bold, table rows, emoji and exclamation marks outside code", _RATE, "lower"
    ),
}
"""Every measure of responses that an evaluation or a monitor names. `tokens`, `truncated` and `unanswered` come from the engine."""


def per_response(text: str) -> dict[str, float]:
    """The measures that a response's text alone decides. An empty response has 0 of each."""
    words = word_count(text)
    rate = 100 / max(1, word_count(text[:READ]) if len(text) > READ else words)
    return {
        "words": float(words),
        "repetition": repetition(text),
        "refusal": float(is_refusal(text)),
        "unsure": float(admits(text)),
        "certainty": boosters(text) * rate,
        "hedging": hedges(text) * rate,
        "agreement": float(agrees(text)),
        "markup": markup(text) * rate,
    }


def total_words(responses: Iterable[str]) -> int:
    """Words of all responses together: the smaller of two policies' is the amount of text to compare `distinct` at."""
    return sum(map(word_count, responses))


def distinct(responses: Sequence[str], n: int, words: int | None = None) -> float:
    """distinct-n: different word n-grams over all of them, of `words` words of the responses; NaN without any.

    Li et al. 2016 (arXiv:1510.03055). The share falls as there is more text, whatever it says (Liu et al. 2022,
    arXiv:2202.13587), so two policies are compared at equal amounts: the smaller of their `total_words`. Every response is cut to
    the same length, the longest that keeps to that amount, so that a talkative policy is still seen on all its prompts. No n-gram
    spans two responses.
    """
    return _distinct([words_of(response) for response in responses], n, words)


def distinct_interval(
    responses: Sequence[str], n: int, words: int | None = None, clusters: Sequence[Hashable] | None = None
) -> Estimate:
    """`distinct` with a 95% interval by the jackknife over groups of prompts (`clusters`; left out, each response has its own).

    A bootstrap would hold responses twice, and what stands twice is not distinct. Leaving out a group leaves less text, which
    raises all the shares alike; only their spread is used (Tukey 1958).
    """
    texts = [words_of(response) for response in responses]
    value = _distinct(texts, n, words)
    prompts = range(len(texts)) if clusters is None else prompts_of(clusters)
    places = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    group = [places[prompt] % _GROUPS for prompt in prompts]
    groups = min(_GROUPS, len(places))
    if groups < 2 or np.isnan(value):
        return Estimate(value=value, low=float("nan"), high=float("nan"))
    budget = sum(map(len, texts)) if words is None else words
    left = [
        _distinct([text for i, text in zip(group, texts, strict=True) if i != k], n, budget * (groups - 1) // groups)
        for k in range(groups)
    ]
    error = float(np.sqrt((groups - 1) * np.var(left)) * scipy.special.stdtrit(groups - 1, 0.975))
    return Estimate(value=value, low=max(0.0, value - error), high=min(1.0, value + error))


def grams(texts: Iterable[str], n: int = GRAM) -> frozenset[int]:
    """The word n-grams of texts, whatever their case, as hashes that hold within one process."""
    return frozenset(gram for text in texts for gram in _grams(words_of(text), n))


def novelty(responses: Iterable[str], reference: AbstractSet[int], n: int = GRAM) -> float:
    """Share of the responses' word n-grams that the reference (`grams`, same n) does not have; NaN without any.

    Rises as a policy leaves the texts that a reward model was trained on.
    """
    found = [gram not in reference for response in responses for gram in _grams(words_of(response), n)]
    return sum(found) / len(found) if found else float("nan")


def means(rows: Sequence[Row], seed: int = 0, clusters: Sequence[Hashable] | None = None) -> dict[str, Estimate]:
    """Mean of each measure over the responses, with a 95% interval by bootstrap over the prompts (`clusters`).

    A measure per 100 words is pooled over all words, or three words of one response would weigh as much as three hundred of the
    next. Every row has the same names; measures that came from outside may be among them.
    """
    if not rows:
        return {}
    names, values, sizes = table(rows)
    drawn = resampled(lambda weights: pooled(weights, values, sizes), len(rows), seed, clusters)
    value = pooled(np.ones((1, len(rows))), values, sizes)[0]
    return {name: interval(drawn[:, j], float(value[j])) for j, name in enumerate(names)}


def table(rows: Sequence[Row]) -> tuple[tuple[str, ...], Floats, Floats]:
    """(names, values [n, m], what each value counts [n, m]): words for a measure per 100 words, else 1."""
    names = tuple(rows[0])
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            raise ValueError(f"row {number}: has {', '.join(row)}; row 0 has {', '.join(names)}; all need the same")
    values = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
    sizes = np.ones_like(values)
    for j, name in enumerate(names):
        if name in MEASURES and MEASURES[name].unit == _RATE and "words" in names:
            sizes[:, j] = values[:, names.index("words")]
    return names, values, sizes


def pooled(weights: Floats, values: Floats, sizes: Floats) -> Floats:
    """[k, m]: means of values [n, m] by sizes [n, m] under weights [k, n]; 0 where nothing counts."""
    result: Floats = weights @ (values * sizes) / np.maximum(weights @ sizes, 1e-300)
    return result


def correlation(rewards: Sequence[float], lengths: Sequence[float]) -> float:
    """Spearman's rank correlation over the pairs that have both; NaN for fewer than three, or where either never varies."""
    x, y = np.asarray(rewards, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    from scipy.stats import spearmanr  # takes most of a second to import, which every command would wait for

    return float(spearmanr(x, y).statistic)


def _grams(words: Sequence[str], n: int) -> list[int]:
    return [hash(gram) for gram in ngrams(words, n)]


def _distinct(texts: Sequence[Sequence[str]], n: int, words: int | None) -> float:
    kept = texts if words is None else _cut(texts, words)
    found = [gram for text in kept for gram in _grams(text, n)]
    return len(set(found)) / len(found) if found else float("nan")


def _cut(texts: Sequence[Sequence[str]], words: int) -> list[Sequence[str]]:
    """Each text's first words, as many as keep to the amount: one length for all, and one word more for the first of those that
    have more."""
    left, length = words, 0
    sizes = sorted(map(len, texts))
    for place, size in enumerate(sizes):
        longer = len(sizes) - place
        if (size - length) * longer > left:
            length, left = length + left // longer, left % longer
            break
        left, length = left - (size - length) * longer, size
    else:
        return list(texts)
    more = iter(range(left))
    return [text[: length + (len(text) > length and next(more, None) is not None)] for text in texts]
