"""What answers say of the panel and of people."""

import math

import numpy as np
import pytest

from evaluation.review.progress import Labelled, kappa, progress


def pair(logit: float, drawn: bool = True, **said: str) -> Labelled:
    return Labelled(said, logit, np.array([logit]), drawn)


def test_kappa_is_agreement_beyond_chance() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: 0.7 agree, 0.5 by chance
    answers = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert kappa(answers) == pytest.approx(0.4)
    assert kappa([(1, 0), (0, 1)]) == -1
    assert math.isnan(kappa([]))
    assert math.isnan(kappa([(1, 1), (1, 1)]))


def test_the_panels_accuracy_is_of_pairs_that_were_drawn_alone() -> None:
    drawn = [pair(1.0, u="a")] * 6 + [pair(-2.0, u="b")] * 2 + [pair(1.0, u="b")] * 2
    found = progress([*drawn, pair(1.0, False, u="b"), pair(1.0, u="tie"), pair(1.0, u="a", v="b")])
    assert (found.labels, found.preferences, found.sampled) == (13, 11, 10)
    assert found.accuracy.value == pytest.approx(0.8)
    assert found.chosen.value == 0
    assert found.kappa == pytest.approx((0.8 - (0.6 * 0.8 + 0.4 * 0.2)) / (1 - (0.6 * 0.8 + 0.4 * 0.2)))
    assert found.needed == math.ceil(1.96**2 * 0.16 / 0.05**2) - 10
    assert found.people == {"u": 13, "v": 1}
    words = "\n".join(found.lines())
    assert "panel right on 80% (49% to 94%) of 10 pairs drawn at random" in words
    assert "236 more pairs drawn at random for +-5 points" in words


def test_people_are_compared_on_what_both_answered() -> None:
    found = progress([pair(1.0, u="a", v="a"), pair(1.0, u="b", v="b"), pair(1.0, u="a", v="tie"), pair(1.0, w="a")])
    (agreement,) = found.agreements
    assert (agreement.one, agreement.other, agreement.pairs) == ("u", "v", 3)
    assert agreement.share.value == pytest.approx(2 / 3)
    assert "u and v agree on 67%" in "\n".join(found.lines())


def test_the_learning_curve_is_of_later_labels() -> None:
    right = [pair(1.0, u="a"), pair(-1.0, u="b")] * 20
    curve = progress([*right, *[pair(1.0, u="b")] * 10]).curve
    assert curve[0][0] == 10
    assert curve[0][1].value == pytest.approx(30 / 40)
    assert curve[-1] == (40, curve[-1][1])
    assert curve[-1][1].value == 0
    assert progress(right[:19]).curve == ()


def test_nothing_was_said() -> None:
    found = progress([])
    assert found.lines() == ["no labels yet"]
    assert math.isnan(found.accuracy.value)
