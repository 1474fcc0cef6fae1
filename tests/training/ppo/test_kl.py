"""KL estimates, KL coefficients and entropy, on numbers worked out by hand. `X` stands where no token is."""

import math

import pytest
import torch
from torch import Tensor

from training.ppo.losses import AdaptiveKL, FixedKL, entropy, kl_estimates

X = math.nan
LN2 = math.log(2)


def t(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Tensor, *expected: object) -> None:
    torch.testing.assert_close(found, t(*expected).reshape(found.shape), rtol=1e-9, atol=1e-12)


def test_kl_estimates_by_hand() -> None:
    """Log-ratios ln 2 and -ln 2. k1: 0. k2: ln² 2. k3: (1/2 - 1 + ln 2) + (2 - 1 - ln 2) = 1/2. One token at ln 2: ln 2, ln² 2 / 2,
    ln 2 - 1/2. An empty response is at no distance.
    """
    mask = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]])
    found = kl_estimates(t([LN2, -LN2, 0], [LN2, X, X], [X, X, X]), t([0, 0, 0], [0, X, X], [X, X, X]), mask)
    close(found.k1, 0, LN2, 0)
    close(found.k2, LN2**2, LN2**2 / 2, 0)
    close(found.k3, 0.5, LN2 - 0.5, 0)


def test_k1_and_k3_are_the_kl_in_expectation() -> None:
    """Over a whole vocabulary, weighted by the policy, both are Σ π log π/π_ref: policy (1/2, 1/4, 1/4), reference (1/4, 1/4, 1/2):
    ½ ln 2 - ¼ ln 2 = ¼ ln 2. A k3 of the ratio the other way round would be off.
    """
    policy, reference = t([0.5], [0.25], [0.25]), t([0.25], [0.25], [0.5])
    found = kl_estimates(policy.log(), reference.log(), torch.ones(3, 1))
    assert (policy[:, 0] * found.k1).sum().item() == pytest.approx(LN2 / 4)
    assert (policy[:, 0] * found.k3).sum().item() == pytest.approx(LN2 / 4)
    assert (found.k3 >= 0).all()


def test_a_fixed_coefficient_stays() -> None:
    kl = FixedKL(0.1)
    kl.update(100, 1000)
    assert kl.value == 0.1
    other = FixedKL(0.5)
    other.load(kl.state())
    assert other.value == 0.1


@pytest.mark.parametrize(
    ("kl", "n", "factor"),
    [
        (6, 100, 1),  # on target
        (6.6, 100, 1.01),  # 10% over, a tenth of the horizon
        (5.4, 100, 0.99),
        (60, 100, 1.02),  # the error is held at 20%
        (0, 100, 0.98),
        (-3, 100, 0.98),
        (60, 5000, 1.2),  # more responses than the horizon count as one horizon
        (math.inf, 1000, 1.2),
        (math.nan, 1000, 1),
    ],
)
def test_an_adaptive_coefficient_moves_towards_its_target(kl: float, n: int, factor: float) -> None:
    controller = AdaptiveKL(0.2, target=6, horizon=1000)
    controller.update(kl, n)
    assert controller.value == pytest.approx(0.2 * factor)


def test_an_adaptive_coefficient_goes_on_where_it_was() -> None:
    first, second = (AdaptiveKL(0.2, target=6, horizon=1000) for _ in range(2))
    first.update(12, 64)
    second.load(first.state())
    for controller in (first, second):
        controller.update(5, 64)
    assert second.value == first.value != 0.2


def test_entropy_by_hand() -> None:
    """Four equal tokens: ln 4. Three to one: ln 4 - ¾ ln 3. A sure one: 0. Two equal ones and one that cannot come: ln 2."""
    inf = math.inf
    logits = t([7, 7, 7, 7], [math.log(3), 0, -inf, -inf], [1e4, 0, 0, 0], [2, 2, -inf, -inf])
    close(entropy(logits), 2 * LN2, 2 * LN2 - 0.75 * math.log(3), 0, LN2)
    assert entropy(torch.zeros(2, 3, 5)).shape == (2, 3)


def test_entropy_of_half_precision_is_computed_in_full() -> None:
    """ln 50,000 = 10.8198; bfloat16 has 10.8125 beside it, and its sums of 50,000 terms are far off."""
    found = entropy(torch.zeros(50_000, dtype=torch.bfloat16))
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(math.log(50_000), rel=1e-5)


def test_a_token_that_cannot_come_has_no_gradient() -> None:
    logits = t([2, 2, -math.inf]).requires_grad_()
    entropy(logits).backward()
    assert logits.grad is not None
    close(logits.grad, 0, 0, 0)
