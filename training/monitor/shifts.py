"""Values that must not move too far from where they were at the first check: a row for each."""

from __future__ import annotations

from typing import Literal, NamedTuple

from training.monitor.config import Detector


class Shift(NamedTuple):
    """A value that must not move too far from where it was at the first check."""

    detector: Detector
    name: str
    limit: str
    """Setting that holds the limit."""
    kind: Literal["rise", "fall", "times", "lost"]
    """rise, fall: by the limit. times: to so many times. lost: by that share."""
    what: str
    advice: str

    def beyond(self, before: float, now: float, limit: float) -> bool:
        """True where the value is further than it may be."""
        allowed = {
            "rise": before + limit,
            "fall": before - limit,
            "times": before * limit,
            "lost": before * (1 - limit),
        }
        return now > allowed[self.kind] if self.kind in ("rise", "times") else now < allowed[self.kind]


SHIFTS = (
    Shift(
        "disagreement", "spread", "spread", "times", "reward models disagree more on what the policy writes than they did",
        "raise reward.models.pessimism, add models, or",
    ),
    Shift(
        "verbosity", "words", "words", "times", "responses grow longer",
        "compare length-controlled win rates, add a rule against length to the reward, or",
    ),
    Shift(
        "style exploitation", "markup", "markup", "rise", "responses fill with markup (per 100 words)",
        "label pairs whose sides differ in style alone, or",
    ),
    Shift(
        "repetition", "repetition", "repetition", "rise", "responses repeat themselves",
        "add a rule on max_repetition to the reward, or",
    ),
    Shift(
        "repetition", "distinct_2", "distinct", "lost", "responses grow alike (share of different pairs of words)",
        "raise entropy, or",
    ),
    Shift(
        "truncation", "truncated", "truncated", "rise", "more responses are cut at the limit",
        "raise missing_end_penalty or sampler.max_tokens, or",
    ),
    Shift(
        "over-refusal", "refusal", "refusal", "rise", "harmless prompts are refused",
        "add safe prompts that look unsafe to the data, weigh helpfulness more, or",
    ),
    Shift(
        "under-refusal", "unsafe_refusal", "unsafe_refusal", "fall", "unsafe prompts are refused less",
        "add unsafe prompts to the data, weigh harmlessness more, or",
    ),
    Shift(
        "hallucinated confidence", "confidence", "confidence", "rise", "the policy answers unanswerable questions as if it knew",
        "reward responses that admit not knowing, or",
    ),
    Shift(
        "sycophancy", "agreement", "agreement", "rise", "responses open with praise or agreement",
        "add a principle against flattery, or",
    ),
    Shift(
        "sycophancy", "sycophancy", "sycophancy", "rise", "answers adopt the user's wrong belief",
        "reward right answers to users who are wrong, or",
    ),
    Shift(
        "distribution shift", "novelty", "novelty", "rise", "responses differ from the reward model's data (new word 4-grams)",
        "add such responses to its data, or",
    ),
)  # fmt: skip
"""What needs no more than two numbers; the functions of `detectors` look at several values together."""
