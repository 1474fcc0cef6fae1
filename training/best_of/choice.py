"""Which of a prompt's responses are imitated, and what choosing them is worth. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Literal, NamedTuple

from constitution.records import Response
from constitution.words import word_count


class RewardedSample(NamedTuple):
    """A response with its reward."""

    number: int
    """Of the prompt's samples, from 0."""
    response: Response
    score: float


class Choice(NamedTuple):
    """What became of one prompt's responses."""

    kept: tuple[RewardedSample, ...]
    """Those that are imitated, the best first."""
    mean: float
    """Of all the prompt's rewards; NaN where there are none."""
    dropped: Literal["", "ungraded", "alike"]
    """Why none is kept. ungraded: fewer than two have a reward. alike: the best does not stand out."""


def choose(responses: Sequence[RewardedSample], keep: int, min_gain: float) -> Choice:
    """The `keep` best responses to a prompt, if the best one beats their mean by `min_gain`.

    Of equal rewards the earlier sample wins. Each response that is kept beats the mean and the worst (the mean of equal numbers may
    be rounded to less than they are), and each text is kept once.
    """
    scores = [response.score for response in responses]
    mean = fmean(scores) if scores else math.nan
    if len(responses) < 2:
        return Choice((), mean, "ungraded")
    kept: dict[str, RewardedSample] = {}
    for one in sorted(responses, key=lambda response: (-response.score, response.number)):
        if one.score > max(mean, min(scores)) and len(kept) < keep:
            kept.setdefault(one.response.raw.strip(), one)
    if not kept or max(scores) - mean < min_gain:
        return Choice((), mean, "alike")
    return Choice(tuple(kept.values()), mean, "")


def expected_best(scores: Sequence[float], n: int) -> float:
    """Mean of the highest of n rewards over all ways to draw n of these without putting back.

    So it is the unbiased estimate of what best-of-n comes to, from more samples than n. The i-th lowest of N rewards is the
    highest of n in comb(i - 1, n - 1) of the comb(N, n) draws. n: 1 to len(scores).
    """
    ways = math.comb(len(scores), n)
    return math.fsum(math.comb(i, n - 1) / ways * score for i, score in enumerate(sorted(scores)))


def kl_bound(n: int) -> float:
    """Nats per response that best-of-n is from its policy, at most: log n - (n - 1) / n.

    It is the exact KL where no two responses are equally good and none comes twice, which is how Stiennon et al. 2020
    (arXiv:2009.01325) give it; Beirami et al. 2024 (arXiv:2401.01879) show that it bounds the KL from above in every case.
    What a model keeps of it when it imitates the best is another number, which evaluation measures.
    """
    return math.log(n) - (n - 1) / n


def figures(prompts: Sequence[tuple[Sequence[RewardedSample], Choice]], samples: int) -> dict[str, float]:
    """What choosing comes to, a mean over the prompts with two rewards or more; nothing where there is no such prompt.

    The names are those of `training.run.metrics.METRICS`.
    """
    graded = [(responses, choice) for responses, choice in prompts if choice.dropped != "ungraded"]
    found = {"best_of/kl_bound": kl_bound(samples)}
    if not graded:
        return found
    scores = [[response.score for response in responses] for responses, _ in graded]
    mean = fmean(choice.mean for _, choice in graded)
    found |= {
        "best_of/mean": mean,
        "best_of/gain": fmean(map(max, scores)) - mean,
        "best_of/gain_half": fmean(expected_best(s, max(1, len(s) // 2)) for s in scores) - mean,
    }
    words = [
        (word_count(choice.kept[0].response.text), fmean(word_count(one.response.text) for one in responses))
        for responses, choice in graded
        if choice.kept
    ]
    if total := math.fsum(every for _, every in words):
        found["best_of/words"] = math.fsum(best for best, _ in words) / total
    return found
