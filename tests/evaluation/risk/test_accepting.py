"""Where labels are accepted: a cascade's steps on one scale."""

import numpy as np
import pytest
from scipy.special import expit

from critics.ranking.accept import Acceptance
from critics.ranking.weights import Origin
from evaluation.risk.accepting import accepting
from evaluation.statistics import Floats

ORIGIN = Origin(data="d", pairs=800, constitution="c", judges={}, templates="t")


def accepted(logits: Floats, *cascade: str) -> Acceptance:
    prompts = [f"p{i}" for i in range(len(logits))]
    return accepting(logits, cascade, prompts, ORIGIN, (0.05, None, "mid-p"), ("w", ""), {})


def test_a_step_that_says_the_same_more_loudly_accepts_nothing_more() -> None:
    draw = np.random.default_rng(0)
    sure = draw.gamma(2.0, 1.5, 800)
    logits = np.where(draw.random(800) < expit(-sure), -sure, sure)
    alone = accepted(logits[:, None], "small").steps[0]
    first, second = accepted(np.stack([logits, 4 * logits], axis=1), "small", "large").steps
    assert 200 < alone.accepted < 800
    assert (first.judges, second.judges) == (("small",), ("large",))
    assert first.accepted == pytest.approx(alone.accepted, rel=0.01)
    assert first.threshold is not None
    assert second.threshold == pytest.approx(4 * first.threshold, rel=0.01)
    assert second.labels == 800 - first.accepted
    assert second.accepted <= 0.01 * first.accepted
    assert first.wrong / first.accepted <= 0.05
