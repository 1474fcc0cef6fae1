"""Losses on pairs, on numbers worked out by hand.

Two margins make the arithmetic easy: σ(0) = 1/2, and σ(ln 3) = 3/4, so that -log σ(ln 3) = ln 4 - ln 3 and -log σ(-ln 3) = ln 4.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.recipes.losses import (
    DPOKind,
    bradley_terry,
    dpo,
    length_normalized,
    optimal_margin,
    pair_loss,
    pairwise_accuracy,
    reference_free,
)

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)
KINDS: tuple[DPOKind, ...] = ("soft", "sigmoid", "ipo", "cdpo", "robust", "gdpo")
margins, labels = st.floats(-60, 60), st.floats(0, 1)


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Tensor, *expected: float) -> None:
    torch.testing.assert_close(found, t(*expected), rtol=1e-12, atol=1e-12)


def slope(loss_of: object, at: Tensor) -> Tensor:
    at = at.clone().requires_grad_()
    loss_of(at).sum().backward()  # type: ignore[operator]
    assert at.grad is not None
    return at.grad


# The pair loss


def test_pair_loss_by_hand() -> None:
    """Margin 0: ln 2 whatever the label. Margin ln 3: .7 (ln 4 - ln 3) + .3 ln 4 = ln 4 - .7 ln 3. Label 0 charges the other side."""
    found = pair_loss(t(0, 0, LN3, LN3, -LN3, LN3), t(1, 0.3, 1, 0.7, 0.7, 0))
    close(found, LN2, LN2, LN4 - LN3, LN4 - 0.7 * LN3, LN4 - 0.3 * LN3, LN4)


def test_the_slope_of_the_pair_loss_is_the_model_less_the_label() -> None:
    """σ(m) - p: 1/2 - .7 = -.2; 3/4 - .7 = .05; 1/4 - 1 = -.75; and at the ends of the scale 1 - p and -p."""
    p = t(0.7, 0.7, 1, 0.7, 0.7)
    close(slope(lambda m: pair_loss(m, p), t(0, LN3, -LN3, 1e4, -1e4)), -0.2, 0.05, -0.75, 0.3, -0.7)


@given(margins, labels)
def test_exchanging_the_responses_changes_nothing(m: float, p: float) -> None:
    close(pair_loss(t(m), t(p)), *pair_loss(-t(m), 1 - t(p)).tolist())


@given(st.floats(0.01, 0.99), st.floats(0.05, 5))
def test_the_loss_is_least_at_the_logit_of_the_label(p: float, away: float) -> None:
    best = optimal_margin(t(p))
    close(slope(lambda m: pair_loss(m, t(p)), best), 0)
    least = pair_loss(best, t(p))
    close(least, -p * math.log(p) - (1 - p) * math.log(1 - p))  # the entropy of the label
    assert pair_loss(best + away, t(p)) > least
    assert pair_loss(best - away, t(p)) > least


def test_optimal_margin_by_hand() -> None:
    """logit(3/4) = ln(3/4 : 1/4) = ln 3."""
    close(optimal_margin(t(0.5, 0.75, 0.25, 1)), 0, LN3, -LN3, math.inf)


def test_training_on_seven_of_ten_settles_at_its_logit() -> None:
    """ln(.7/.3) = 0.8473, from either side, where a label of 1 pulls on for ever."""
    margin = torch.tensor([-3.0, 5.0, 0.0], dtype=torch.float64, requires_grad=True)
    p = t(0.7, 0.7, 1)
    optimiser = torch.optim.SGD([margin], lr=1)
    for _ in range(300):
        optimiser.zero_grad()
        pair_loss(margin, p).sum().backward()
        optimiser.step()
    assert margin[:2].tolist() == pytest.approx([0.8473, 0.8473], abs=1e-4)
    assert margin[2] > 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_margins_of_any_size_stay_finite(dtype: torch.dtype) -> None:
    """At m = 10,000 the loss is (1 - p) m: 0 for a label of 1, 3,000 for .7, and so on, mirrored on the other side."""
    m = torch.tensor([1e4, 1e4, 1e4, -1e4, -1e4, -1e4], dtype=dtype)
    p = torch.tensor([1.0, 0.7, 0.0, 1.0, 0.7, 0.0], dtype=dtype)
    found = pair_loss(m, p)
    assert found.dtype == dtype
    assert found.tolist() == pytest.approx([0, 3000, 1e4, 1e4, 7000, 0], rel=1e-5)
    assert slope(lambda x: pair_loss(x, p), m).isfinite().all()


def test_small_losses_keep_their_digits() -> None:
    """-log σ(30) = log(1 + e^-30) = e^-30 to 13 digits; rounding it to 0 would end the gradient."""
    assert pair_loss(t(30), 1.0).item() == pytest.approx(math.exp(-30), rel=1e-12)


# Reward models


def test_bradley_terry_in_its_textbook_form() -> None:
    """Rewards ln 3 + 5 and 5: ln 4 - ln 3; a zero head: ln 2."""
    close(bradley_terry(t(LN3 + 5, 0), t(5, 0), 1.0), LN4 - LN3, LN2)


def test_bradley_terry_with_a_soft_label() -> None:
    close(bradley_terry(t(LN3, LN3), t(0, 0), t(0.7, 1)), LN4 - 0.7 * LN3, LN4 - LN3)


def test_a_margin_is_taken_off_the_difference() -> None:
    """ln 3 + 2 apart where 2 are asked: as ln 3 without. Asked for 2 ln 3 while ln 3 apart: as -ln 3."""
    found = bradley_terry(t(LN3 + 2, LN3), t(0, 0), 1.0, margin=t(2, 2 * LN3))
    close(found, LN4 - LN3, LN4)


def test_centring_charges_the_square_of_the_sum() -> None:
    """Rewards ln 3 + 1 and 1 sum to ln 3 + 2. Rewards that mirror each other pay nothing."""
    found = bradley_terry(t(LN3 + 1, 1), t(1, -1), 1.0, center=0.1)
    close(found, LN4 - LN3 + 0.1 * (LN3 + 2) ** 2, math.log1p(math.exp(-2)))


def test_heads_of_an_ensemble_share_label_and_margin() -> None:
    """As many heads as pairs, so that nothing but the numbers shows a label that met a head instead of a pair."""
    chosen, p, margin = torch.stack([t(LN3, 0), t(0, LN3)]), t(0.7, 1), t(0, LN3)
    found = bradley_terry(chosen, torch.zeros_like(chosen), p, margin=margin)
    assert found.shape == (2, 2)
    close(found[0], LN4 - 0.7 * LN3, LN2)
    close(found[1], LN4, LN2)


# DPO


def test_every_kind_of_dpo_starts_at_ln_2_where_policy_and_reference_are_one() -> None:
    """A margin of 0 costs ln 2 under any label; IPO starts at the square of its target instead: (.4 / .2)^2 = 4."""
    for kind in KINDS:
        found = dpo(t(-30), t(-30), t(0.7), 0.1, kind, smoothing=0.2)
        close(found, 4.0 if kind == "ipo" else LN2)


@pytest.mark.parametrize(
    ("kind", "p", "expected"),
    [
        ("soft", 1, LN4 - LN3),
        ("soft", 0.7, LN4 - 0.7 * LN3),
        ("sigmoid", 0.7, LN4 - LN3),
        ("sigmoid", 0.5, LN4 - LN3),
        ("sigmoid", 0.49, LN4),
        ("cdpo", 1, LN4 - 0.9 * LN3),  # flipped one time in ten: .9 (ln 4 - ln 3) + .1 ln 4
        ("cdpo", 0.7, LN4 - 0.66 * LN3),  # .9 * .7 + .1 * .3 = .66
        ("robust", 1, LN4 - 1.125 * LN3),  # (.9 (ln 4 - ln 3) - .1 ln 4) / .8
        ("robust", 0.7, LN4 - 0.75 * LN3),  # (.7 - .1) / .8 = .75
        ("gdpo", 1, LN4 - LN3),
        ("gdpo", 0.75, math.log1p(3**-0.5)),  # half the margin: -log σ(ln 3 / 2) = log(1 + 1/√3)
        ("gdpo", 0.5, LN2),
    ],
)
def test_dpo_by_hand(kind: DPOKind, p: float, expected: float) -> None:
    """beta = .1 and log-ratios 10 ln 3 apart make a margin of ln 3; smoothing is .1."""
    close(dpo(t(10 * LN3 - 7), t(-7), t(p), 0.1, kind, smoothing=0.1), expected)


def test_ipo_by_hand() -> None:
    """beta = .1: the target is (2p - 1) / .2, so 5, 2, 0 and -5 for labels 1, .7, .5 and 0; log-ratios are 3 apart."""
    close(dpo(t(4, 4, 4, 4), t(1, 1, 1, 1), t(1, 0.7, 0.5, 0), 0.1, "ipo"), 4, 1, 9, 64)


@given(st.floats(-20, 20), labels)
def test_ipo_with_a_soft_label_has_the_mean_slope_of_its_two_hard_labels(h: float, p: float) -> None:
    def of(p: float) -> Tensor:
        return slope(lambda c: dpo(c, t(0), t(p), 0.1, "ipo"), t(h))

    torch.testing.assert_close(of(p), p * of(1) + (1 - p) * of(0), rtol=1e-9, atol=1e-9)


@given(st.floats(-20, 20), labels, st.sampled_from(KINDS))
def test_exchanging_the_responses_changes_no_kind_of_dpo(h: float, p: float, kind: DPOKind) -> None:
    if p != 0.5:  # a label of 1/2 is rounded up
        torch.testing.assert_close(
            dpo(t(h), t(0), t(p), 0.3, kind, 0.1), dpo(t(0), t(h), 1 - t(p), 0.3, kind, 0.1), rtol=1e-9, atol=1e-9
        )


@given(st.floats(-20, 20), labels, st.floats(0, 0.45))
def test_robust_undoes_the_flips_of_its_labels(h: float, p: float, s: float) -> None:
    """On labels flipped with probability s its mean is the loss on the true ones."""
    flipped = t(p) * (1 - s) + (1 - t(p)) * s
    torch.testing.assert_close(
        dpo(t(h), t(0), flipped, 0.3, "robust", s), dpo(t(h), t(0), t(p), 0.3), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_of_dpo_is_its_derivative(kind: DPOKind) -> None:
    chosen, rejected = t(3, -2, 0.5).requires_grad_(), t(1, 4, 0).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, r: dpo(c, r, t(0.8, 1, 0.3), 0.4, kind, 0.1), (chosen, rejected))


def test_the_slope_of_dpo_by_hand() -> None:
    """beta (σ(m) - p) for the chosen response, the opposite for the other: .1 (3/4 - .7) = .005."""
    chosen, rejected = t(10 * LN3).requires_grad_(), t(0).requires_grad_()
    dpo(chosen, rejected, t(0.7), 0.1).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    close(chosen.grad, 0.005)
    close(rejected.grad, -0.005)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("h", [1e4, -1e4])
def test_dpo_of_far_away_policies_is_finite(kind: DPOKind, h: float) -> None:
    chosen = torch.tensor([h], requires_grad=True)
    loss = dpo(chosen, torch.zeros(1), torch.tensor([0.7]), 1.0, kind, 0.1)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert chosen.grad is not None
    assert chosen.grad.isfinite().all()


@pytest.mark.parametrize("smoothing", [-0.1, 0.5, 1.0, math.nan])
def test_a_smoothing_that_means_nothing_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"smoothing is \S+; it is a share of flipped labels, from 0 to below 0\.5"):
        dpo(t(0), t(0), t(1), 0.1, "robust", smoothing)


def test_plain_by_hand() -> None:
    """Log-probabilities 2 ln 3 apart at beta = 1/2: margin ln 3; its slope is beta (σ(m) - 1) = (3/4 - 1) / 2."""
    close(reference_free(t(2 * LN3 - 9, -9), t(-9, 2 * LN3 - 9), 0.5), LN4 - LN3, LN4)
    close(slope(lambda c: reference_free(c, t(-9), 0.5), t(2 * LN3 - 9)), -0.125)
    assert reference_free(torch.tensor([1e4, -1e4]), torch.zeros(2), 1.0).tolist() == [0, 1e4]


# Measures


def test_nats_per_token() -> None:
    found = length_normalized(t(-6, -6, 0), torch.tensor([3, 4, 0]))
    close(found, -2, -1.5, 0)


def test_accuracy_counts_ties_as_half() -> None:
    """Right, wrong, a tie of the model, right about a label under 1/2, wrong about it, a label that prefers neither."""
    m, p = t(2, -2, 0, -1, 1, 3), t(0.9, 0.9, 1, 0.2, 0.2, 0.5)
    close(pairwise_accuracy(m, p), 1, 0, 0.5, 1, 0, 0.5)


def test_accuracy_of_heads() -> None:
    m = torch.stack([t(1, -1), t(1, 2)])
    close(pairwise_accuracy(m, t(0.9, 0.1))[0], 1, 0)
    close(pairwise_accuracy(m, t(0.9, 0.1))[1], 0, 0)


@given(margins, labels)
def test_exchanging_the_responses_does_not_change_who_is_right(m: float, p: float) -> None:
    mirrored = 1 - t(p)
    if mirrored.item() != 0.5 or p == 0.5:  # 1 - p rounds the least differences from 1/2 away
        close(pairwise_accuracy(t(m), t(p)), *pairwise_accuracy(-t(m), mirrored).tolist())
