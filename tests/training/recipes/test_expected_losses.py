"""Losses whose soft label is the mean of both hard ones, on numbers worked out by hand.

σ(0) = 1/2, σ(ln 3) = 3/4 and σ(-ln 3) = 1/4, with slope 3/16 at both; -log σ(ln 3) = ln 4 - ln 3, -log σ(-ln 3) = ln 4.
"""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from training.recipes.losses import DPOKind, dpo, log_odds, orpo, pair_loss, simpo

LN2, LN3, LN4 = math.log(2), math.log(3), math.log(4)
KINDS: tuple[DPOKind, ...] = ("apo_zero", "apo_down", "dpop")
ratios, labels = st.floats(-20, 20), st.floats(0, 1)


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Tensor, *expected: float) -> None:
    torch.testing.assert_close(found, t(*expected), rtol=1e-10, atol=1e-10)


def slopes(loss: Callable[[Tensor, Tensor], Tensor], chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
    c, r = chosen.clone().requires_grad_(), rejected.clone().requires_grad_()
    return torch.autograd.grad(loss(c, r).sum(), (c, r))


def odds(logp: Tensor) -> Tensor:
    """The paper's odds, without care for digits."""
    return logp.exp() / (1 - logp.exp())


INDEPENDENT: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "apo_zero": lambda c, r, beta: 1 - 1 / (1 + (-beta * c).exp()) + 1 / (1 + (-beta * r).exp()),
    "apo_down": lambda c, r, beta: 1 / (1 + (-beta * c).exp()) + 1 - 1 / (1 + (-beta * (c - r)).exp()),
    "dpop": lambda c, r, beta: (1 + (-beta * (c - r - 4 * torch.where(c < 0, -c, 0.0))).exp()).log(),
}
"""As the papers print them, for a label of 1 and a penalty of 4."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [1.0, 0.7, 0.5])
def test_losses_and_gradients_are_those_of_the_papers(kind: DPOKind, p: float) -> None:
    chosen, rejected = t(3, -2, 0.5, 0.1), t(1, 4, -0.25, -9)

    def ours(c: Tensor, r: Tensor) -> Tensor:
        return dpo(c, r, torch.full_like(c, p), 0.4, kind, penalty=4.0)

    def theirs(c: Tensor, r: Tensor) -> Tensor:
        return p * INDEPENDENT[kind](c, r, 0.4) + (1 - p) * INDEPENDENT[kind](r, c, 0.4)

    torch.testing.assert_close(ours(chosen, rejected), theirs(chosen, rejected), rtol=1e-10, atol=1e-10)
    for found, wanted in zip(slopes(ours, chosen, rejected), slopes(theirs, chosen, rejected), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


def test_apo_zero_by_hand() -> None:
    """At the reference 1/2 + 1/2. Log-ratios ln 3 and -ln 3: 1/4 + 1/4, the other way round 3/4 + 3/4; .7 and .3 of these."""
    close(dpo(t(0, LN3, LN3), t(0, -LN3, -LN3), t(1, 1, 0.7), 1.0, "apo_zero"), 1, 0.5, 0.8)
    down, up = slopes(lambda c, r: dpo(c, r, t(1), 1.0, "apo_zero"), t(LN3), t(-LN3))
    close(down, -3 / 16)
    close(up, 3 / 16)


def test_apo_down_by_hand() -> None:
    """Log-ratios ln 3 both: 3/4 + 1/2. Chosen falls: its slope is 3/16 - 1/4 there, and the other one's 1/4."""
    close(dpo(t(LN3), t(LN3), t(1), 1.0, "apo_down"), 1.25)
    first, second = slopes(lambda c, r: dpo(c, r, t(1), 1.0, "apo_down"), t(LN3), t(LN3))
    close(first, 3 / 16 - 1 / 4)
    close(second, 1 / 4)


def test_dpop_by_hand() -> None:
    """Chosen lost 1 at a penalty of 2: a difference of ln 3 + 2 counts as ln 3. Where it gained, nothing is taken off."""
    close(dpo(t(-1, 1), t(-LN3 - 3, 1 - LN3), t(1, 1), 1.0, "dpop", penalty=2.0), LN4 - LN3, LN4 - LN3)
    lost, _ = slopes(lambda c, r: dpo(c, r, t(1), 1.0, "dpop", penalty=2.0), t(-1), t(-LN3 - 3))
    close(lost, -(1 / 4) * 3)  # -σ(-m) (1 + penalty)


@given(ratios, ratios, labels)
def test_dpop_without_a_penalty_is_dpo(c: float, r: float, p: float) -> None:
    close(dpo(t(c), t(r), t(p), 0.3, "dpop"), *dpo(t(c), t(r), t(p), 0.3).tolist())


@given(ratios, ratios, labels, st.floats(-5, 5), st.sampled_from((*KINDS, "soft", "cdpo", "robust")))
def test_exchanging_the_responses_changes_nothing(c: float, r: float, p: float, margin: float, kind: DPOKind) -> None:
    found = dpo(t(c), t(r), t(p), 0.3, kind, 0.1, t(margin), 5.0)
    close(found, *dpo(t(r), t(c), 1 - t(p), 0.3, kind, 0.1, -t(margin), 5.0).tolist())


def test_a_margin_is_taken_off_the_rewards_difference() -> None:
    """beta = .1, log-ratios 10 (ln 3 + 2) apart, 2 asked for: as ln 3 without; the label is applied after."""
    for kind in ("soft", "dpop"):
        close(dpo(t(10 * (LN3 + 2)), t(0), t(1), 0.1, kind, margin=t(2), penalty=1.0), LN4 - LN3)
    close(dpo(t(10 * (LN3 + 2)), t(0), t(0.7), 0.1, margin=t(2)), LN4 - 0.7 * LN3)
    close(dpo(t(10 * (LN3 + 2)), t(0), t(0.7), 0.1, "sigmoid", margin=t(2)), LN4 - LN3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("h", [1e4, -1e4])
def test_far_away_policies_are_finite(kind: DPOKind, h: float) -> None:
    chosen = torch.tensor([h], requires_grad=True)
    loss = dpo(chosen, torch.zeros(1), torch.tensor([0.7]), 1.0, kind, penalty=50.0)
    (slope,) = torch.autograd.grad(loss.sum(), chosen)
    assert loss.isfinite().all()
    assert slope.isfinite().all()


# SimPO


def test_simpo_by_hand() -> None:
    """beta = 2, gamma = 1, nats per token (ln 3 + 1) / 2 apart: ln 3. Were the other better: -(ln 3 + 2)."""
    chosen, rejected = t(-1, -1), t(-1 - (LN3 + 1) / 2, -1 - (LN3 + 1) / 2)
    other = math.log1p(math.exp(LN3 + 2))
    close(simpo(chosen, rejected, t(1, 0.7), 2.0, 1.0), LN4 - LN3, 0.7 * (LN4 - LN3) + 0.3 * other)
    first, second = slopes(lambda c, r: simpo(c, r, t(1, 1), 2.0, 1.0), chosen, rejected)
    close(first, -0.5, -0.5)  # -beta σ(-ln 3)
    close(second, 0.5, 0.5)


@given(ratios, ratios, labels, st.floats(0, 5))
def test_simpo_is_symmetric_and_without_a_margin_the_pair_loss(c: float, r: float, p: float, gamma: float) -> None:
    close(simpo(t(c), t(r), t(p), 2.0, gamma), *simpo(t(r), t(c), 1 - t(p), 2.0, gamma).tolist())
    close(simpo(t(c), t(r), t(p), 2.0, 0.0), *pair_loss(2 * (t(c) - t(r)), t(p)).tolist())


# ORPO


def test_log_odds_keep_their_digits() -> None:
    """log(3/4 : 1/4) = ln 3. Next to certainty: -log(1e-12); next to impossibility the odds are the probability."""
    close(log_odds(t(math.log(0.75), math.log(0.5), -1e-12)), LN3, 0, 12 * math.log(10))
    close(log_odds(t(-800)), -800)
    assert log_odds(torch.zeros(1)).isfinite().all()


def test_orpo_by_hand() -> None:
    """Probabilities per token 3/4 and 1/2, log-odds ln 3 and 0: -ln 3/4 + .1 (ln 4 - ln 3); the other way round ln 2 + .1 ln 4."""
    chosen, rejected = t(math.log(0.75)), t(math.log(0.5))
    one, other = -math.log(0.75) + 0.1 * (LN4 - LN3), LN2 + 0.1 * LN4
    close(orpo(chosen, rejected, t(1), 0.1), one)
    close(orpo(chosen, rejected, t(0.7), 0.1), 0.7 * one + 0.3 * other)


@pytest.mark.parametrize("p", [1.0, 0.7])
def test_the_gradient_of_orpo_is_that_of_its_odds(p: float) -> None:
    chosen, rejected = t(-0.3, -2, -0.01), t(-1, -0.5, -4)

    def theirs(c: Tensor, r: Tensor) -> Tensor:
        one = -c - 0.3 * functional.logsigmoid((odds(c) / odds(r)).log())
        return p * one + (1 - p) * (-r - 0.3 * functional.logsigmoid((odds(r) / odds(c)).log()))

    found = slopes(lambda c, r: orpo(c, r, p, 0.3), chosen, rejected)
    for ours, wanted in zip(found, slopes(theirs, chosen, rejected), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-8, atol=1e-10)


@given(st.floats(-20, -0.01), st.floats(-20, -0.01), labels)
def test_orpo_is_symmetric(c: float, r: float, p: float) -> None:
    close(orpo(t(c), t(r), t(p), 0.2), *orpo(t(r), t(c), 1 - t(p), 0.2).tolist())
