"""Wins that style explains are told from wins of content; how much samples of one prompt differ."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from evaluation.policy.style import STYLE, difference
from evaluation.policy.variety import variety
from evaluation.policy.winrate import STYLE_PENALTY, controlled, fit, style_controlled, win_rate
from evaluation.statistics import Cell, resampled

MARKUP = [*STYLE].index("markup")


def judged(taste: float, better: float, prompts: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes by how much more markup a's responses have, which is mostly more, and by how much better they are."""
    chance = np.random.default_rng(0)
    style = np.clip(chance.normal(0.0, 0.3, (prompts, len(STYLE))), -1, 1)
    style[:, MARKUP] = np.clip(style[:, MARKUP] + 0.5, -1, 1)
    logits = taste * style[:, MARKUP] + better
    return (chance.random(prompts) < 1 / (1 + np.exp(-logits))).astype(float), style


def test_a_win_by_markup_is_none_at_equal_style() -> None:
    won, style = judged(taste=4.0, better=0.0)
    words = style[:, [*STYLE].index("words")]
    assert win_rate(won).low > 0.7
    assert controlled(won, words).low > 0.7
    found, worth = style_controlled(won, style)
    assert found.low < 0.5 < found.high
    assert worth[MARKUP].low > 0.4
    assert all(e.low < 0 < e.high for j, e in enumerate(worth) if j != MARKUP)


def test_a_win_by_content_is_left_alone() -> None:
    won, style = judged(taste=0.0, better=1.2)
    found, worth = style_controlled(won, style)
    assert abs(found.value - win_rate(won).value) < 0.06
    assert found.low > 0.6
    assert all(e.low < 0 < e.high for e in worth)


def test_the_other_way_round_is_one_minus() -> None:
    won, style = judged(taste=2.0, better=0.5, prompts=60)
    forth, back = style_controlled(won, style)[0], style_controlled(1 - won, -style)[0]
    assert (back.value, back.low, back.high) == pytest.approx(
        (1 - forth.value, 1 - forth.high, 1 - forth.low), abs=1e-6
    )


def test_several_slopes_against_scikit_learn() -> None:
    won, style = judged(taste=1.0, better=0.2, prompts=80)
    (ours,) = fit(won, style, np.ones((1, 80)), penalty=STYLE_PENALTY)
    model = LogisticRegression(C=1 / STYLE_PENALTY, tol=1e-10, max_iter=10_000).fit(style, won)
    assert ours == pytest.approx([model.intercept_[0], *model.coef_[0]], abs=1e-4)


def test_differences_by_hand() -> None:
    """Five words against one: 4 / 6. One bold word against none: 1. Praise on one side; no words of certainty or doubt."""
    assert difference("What a great question **that**", "Yes") == pytest.approx((4 / 6, 1, 1, 0, 0))
    assert difference("", "") == (0, 0, 0, 0, 0)


def test_two_ways_are_resampled_where_rows_have_seeds() -> None:
    """Seeds that differ by 1 at each of many prompts: over prompts alone there is no spread, over seeds there is much."""
    cells = [Cell(prompt, seed) for prompt in range(30) for seed in range(4)]
    values = np.array([float(cell.seed % 2) for cell in cells])

    def mean(weights: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(1)

    assert np.std(resampled(mean, len(cells), clusters=[cell.prompt for cell in cells])) == pytest.approx(0, abs=1e-9)
    # of four seeds drawn with replacement, the share of odd ones: sqrt(1/4 / 4)
    assert np.std(resampled(mean, len(cells), clusters=cells)) == pytest.approx(0.25, rel=0.1)


def test_how_much_samples_differ() -> None:
    """By words: {tea, is, good, "tea is", "is good"} and {tea, is, bad, "tea is", "is bad"} share 3 of 7."""
    assert variety(["one"]) is None
    alike, other = variety(["Tea is good."] * 3), variety(["Tea is good.", "Tea is bad."])
    assert alike == pytest.approx((0, 0), abs=1e-9)
    assert other is not None
    assert other.words == pytest.approx(4 / 7)
    assert 0.1 < other.vectors < 0.9
    forms, apart = variety(["walk talks", "walking talked"]), variety(["walk talks", "seven birds"])
    assert forms is not None
    assert apart is not None
    assert forms.words == apart.words == 1.0, "no word in common"
    assert forms.vectors < 0.8 < apart.vectors
    assert variety(["", ""]) == (0, 0)
