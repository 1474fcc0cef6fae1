"""How two responses differ in style: what a judge may like of them whatever they say.

Length, lists, headings and bold words are those that Chatbot Arena controls for (Li, Angelopoulos and Chiang 2024, "Does style
matter?", lmsys.org/blog/2024-08-28-style-control); agreement, certainty and doubt are the tones that `biases` lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from constitution.words import word_count
from critics.text.biases import boosters, hedges
from critics.text.tone import agrees, markup

STYLE: Mapping[str, Callable[[str], float]] = {
    "words": word_count,
    "markup": markup,
    "agreement": agrees,
    "certainty": boosters,
    "hedging": hedges,
}
"""Feature -> how much of it there is in a response; meanings are those of `evaluation.texts.MEASURES`."""


def difference(a: str, b: str) -> tuple[float, ...]:
    """(a - b) / (a + b) of each feature, from -1 to 1; 0 where neither response has any."""
    return tuple(_relative(float(count(a)), float(count(b))) for count in STYLE.values())


def _relative(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b else 0.0
