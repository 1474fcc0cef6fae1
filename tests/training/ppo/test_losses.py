"""What PPO computes per token, on numbers worked out by hand. `X` stands where no token is: it must never be read."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from training.ppo.losses import (
    entropy,
    explained_variance,
    gae,
    group_advantages,
    importance,
    kl_estimates,
    last_token,
    masked_mean,
    policy_loss,
    response_weights,
    token_rewards,
    value_loss,
    whiten,
)

X = math.nan
LN2 = math.log(2)
MASK = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]])
"""Three responses: of three tokens, of one, and an empty one."""

Batch = tuple[Tensor, Callable[[float], Tensor]]


def t(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def close(found: Tensor, *expected: object, atol: float = 1e-12) -> None:
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64).reshape(found.shape), rtol=1e-9, atol=atol
    )


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """A mask of responses that start at the first place, and a source of random tensors with NaN at the other places."""
    tokens = draw(st.integers(1, 6))
    lengths = torch.tensor(draw(st.lists(st.integers(0, tokens), min_size=1, max_size=5)))
    mask = torch.arange(tokens) < lengths[:, None]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def random(size: float = 1.0) -> Tensor:
        noise = torch.randn(mask.shape, generator=generator, dtype=torch.float64) * size
        return torch.where(mask, noise, X)

    return mask, random


# Means


@pytest.mark.parametrize("kind", [torch.bool, torch.float32, torch.int64])
def test_masked_mean_by_hand(kind: torch.dtype) -> None:
    """(1 + 2 + 3 + 6) / 4 tokens; of 8 in the whole batch: 12 / 8."""
    x = t([1, 2, 3], [6, X, X], [X, X, X])
    close(masked_mean(x, MASK.to(kind)), 3)
    close(masked_mean(x, MASK.to(kind), total=8), 1.5)


def test_the_mean_of_nothing_is_0() -> None:
    for total in (None, 0):
        close(masked_mean(t([X, X]), torch.zeros(1, 2), total), 0)


def test_whiten_by_hand() -> None:
    """1 and 5: mean 3, population variance 4, so -1 and 1; with their own mean 2 and 4."""
    x, mask = t([1, X], [X, 5]), torch.tensor([[1, 0], [0, 1]])
    close(whiten(x, mask), -1, 0, 0, 1, atol=1e-8)
    close(whiten(x, mask, shift_mean=False), 2, 0, 0, 4, atol=1e-8)


@given(batches())
def test_whitened_values_have_mean_0_and_variance_1(batch: Batch) -> None:
    mask, random = batch
    kept = whiten(random(3) + 7, mask)[mask]
    if len(kept) > 1:
        assert kept.mean().item() == pytest.approx(0, abs=1e-9)
        assert kept.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_whitening_equal_values_makes_no_noise() -> None:
    """0.1 has no exact float32: what is left of the mean's rounding must not be blown up to variance 1."""
    x = torch.full((4, 25), 0.1)
    assert whiten(x, torch.ones(4, 25)).abs().max() < 1e-3
    assert whiten(x, torch.zeros(4, 25)).tolist() == torch.zeros(4, 25).tolist()


# Rewards and advantages


def test_last_token() -> None:
    mask = torch.tensor([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 1, 1], [1, 0, 1]])
    assert last_token(mask).int().tolist() == [[0, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1]]
    assert last_token(torch.zeros(2, 0)).shape == (2, 0)


def test_token_rewards_by_hand() -> None:
    """Coefficient .5: half the log-ratio is paid at each token (one that the policy made likelier costs), the score comes at the end.
    An empty response has no place for its score.
    """
    logp, ref = t([-1, -2, -3], [-1, X, X], [X, X, X]), t([-2, -2, -2], [-5, X, X], [X, X, X])
    found = token_rewards(t(10, 20, 30), logp, ref, MASK, 0.5)
    close(found, [-0.5, 0, 10.5], [18, 0, 0], [0, 0, 0])


def test_gae_by_hand() -> None:
    """γ = .5, λ = .5, values 4, 2, 6 and a reward of 8 at the end. Backwards: δ = 8 + 0 - 6 = 2; δ = 0 + 3 - 2 = 1, A = 1 + 2/4 = 1.5;
    δ = 0 + 1 - 4 = -3, A = -3 + 1.5/4 = -2.625. Returns are A + V. The one-token response: 3 - 1.
    """
    rewards, values = t([0, 0, 8], [3, X, X], [X, X, X]), t([4, 2, 6], [1, X, X], [X, X, X])
    advantages, returns = gae(rewards, values, MASK, 0.5, 0.5)
    close(advantages, [-2.625, 1.5, 2], [2, 0, 0], [0, 0, 0])
    close(returns, [1.375, 3.5, 8], [3, 0, 0], [0, 0, 0])


def test_gae_steps_over_places_between_tokens() -> None:
    mask = torch.tensor([[0, 1, 0, 1, 0, 1]])
    with_gaps, _ = gae(t([X, 0, X, 0, X, 8]), t([X, 4, X, 2, X, 6]), mask, 0.5, 0.5)
    close(with_gaps, 0, -2.625, 0, 1.5, 0, 2)


@given(batches(), st.floats(0, 1), st.floats(0, 1))
def test_gae_is_the_weighted_sum_of_later_surprises(batch: Batch, gamma: float, lam: float) -> None:
    """A_t = Σ (γλ)^l δ_{t+l}, equation 16 of the paper, summed out; λ = 1 and λ = 0 are in it."""
    mask, random = batch
    rewards, values = random(1), random(1)
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for row in range(len(mask)):
        n = int(mask[row].sum())
        r, v = rewards[row, :n].tolist(), [*values[row, :n].tolist(), 0.0]
        deltas = [r[i] + gamma * v[i + 1] - v[i] for i in range(n)]
        expected = [sum((gamma * lam) ** (j - i) * deltas[j] for j in range(i, n)) for i in range(n)]
        assert advantages[row, :n].tolist() == pytest.approx(expected)
        assert returns[row, :n].tolist() == pytest.approx([a + b for a, b in zip(expected, v[:n], strict=True)])
    assert not advantages[~mask].any()
    assert not returns[~mask].any()


@given(batches())
def test_gae_without_discount_is_the_reward_to_go_less_the_value(
    batch: Batch,
) -> None:
    mask, random = batch
    rewards, values = random(1), random(1)
    advantages, returns = gae(rewards, values, mask, 1, 1)
    to_go = rewards.nan_to_num().flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(returns[mask], to_go[mask])
    torch.testing.assert_close(advantages[mask], (to_go - values)[mask])


def test_group_advantages_by_hand() -> None:
    """Scores 1, 2, 6: mean 3; the means of the others are 4, 3.5 and 1.5; sample variance (4 + 1 + 9) / 2 = 7."""
    scores = t([1, 2, 6], [5, 5, 5])
    close(group_advantages(scores), [-2, -1, 3], [0, 0, 0])
    close(group_advantages(scores, baseline="leave_one_out"), [-3, -1.5, 4.5], [0, 0, 0])
    unit = math.sqrt(7) + 1e-4
    close(group_advantages(scores, scale=True), [-2 / unit, -1 / unit, 3 / unit], [0, 0, 0])


@pytest.mark.parametrize("scale", [True, False])
def test_a_group_of_one_has_no_advantage(scale: bool) -> None:
    for baseline in ("mean", "leave_one_out"):
        close(group_advantages(t([3], [4]), baseline=baseline, scale=scale), 0, 0)  # type: ignore[arg-type]


# The policy's loss


def test_policy_loss_is_minus_the_advantage_at_the_first_step() -> None:
    logp = t([-1, -2, -3], [-4, X, X], [X, X, X])
    found = policy_loss(logp, logp, t([1, 2, 3], [6, X, X], [X, X, X]), MASK, 0.2)
    close(torch.stack(found), -3, 0, 0, 1)


def test_policy_loss_by_hand() -> None:
    """Ratios 2, 2, 1/2, 1/2 with advantages 1, -1, 1, -1, clipped to 0.8 .. 1.2: the lesser of ρA and clip(ρ)A is 1.2, -2, 0.5, -0.8,
    so the loss is (-1.2 + 2 - .5 + .8) / 4 = .275. The clip holds the first and the last. k3 of ρ = 2 is 1 - ln 2, of 1/2
    -1/2 + ln 2: together 1/4 per token. The mean ratio is 1.25.
    """
    logp = t([LN2, LN2], [-LN2, -LN2])
    found = policy_loss(logp, torch.zeros(2, 2), t([1, -1], [1, -1]), torch.ones(2, 2), 0.2)
    close(torch.stack(found), 0.275, 0.5, 0.25, 1.25)


def test_a_higher_upper_clip_lets_a_ratio_grow_further() -> None:
    """ρ = 1.25 and A = 1: held at 1.2, free up to 1.28, which itself holds ρ = 1.5. The lower side stays at 0.8."""
    logp, one = t([math.log(1.25), math.log(1.5)]), torch.ones(1, 2)
    assert policy_loss(logp, 0 * one, one, one, 0.2).loss.item() == pytest.approx(-1.2)
    raised = policy_loss(logp, 0 * one, one, one, 0.2, clip_high=0.28)
    assert raised.loss.item() == pytest.approx(-(1.25 + 1.28) / 2)
    assert raised.clip_fraction.item() == 0.5
    assert policy_loss(-logp - 1, 0 * one, -one, one, 0.2, clip_high=0.28).loss.item() == pytest.approx(0.8)


def test_the_slope_of_the_policy_loss_by_hand() -> None:
    """-ρA / tokens where the clip is not active: ρ = 2 and A = -1 over four tokens gives 1/2; ρ = 1/2 and A = 1 gives -1/8; else 0."""
    logp = t([LN2, LN2], [-LN2, -LN2]).requires_grad_()
    policy_loss(logp, torch.zeros(2, 2), t([1, -1], [1, -1]), torch.ones(2, 2), 0.2).loss.backward()
    assert logp.grad is not None
    close(logp.grad, [0, 0.5], [-0.125, 0])


def test_the_gradients_of_ppo_are_derivatives() -> None:
    logp, values = t([0.1, -0.5, 0.3], [0.05, -1, 2]).requires_grad_(), t([1, 2, -1], [0.5, 3, 0]).requires_grad_()
    zero, mask, advantages = torch.zeros(2, 3), torch.tensor([[1, 1, 0], [1, 1, 1]]), t([1, -1, 2], [-2, 1, -1])
    assert torch.autograd.gradcheck(lambda x: policy_loss(x, zero, advantages, mask, 0.2).loss, logp)
    assert torch.autograd.gradcheck(lambda x: value_loss(x, zero, advantages, mask, 0.8).loss, values)
    assert torch.autograd.gradcheck(lambda x: entropy(x), logp)


def test_one_advantage_per_response_serves_all_its_tokens() -> None:
    logp, old = t([-1, -2, -3], [-4, X, X], [X, X, X]), t([-1.1, -2, -3], [-3.9, X, X], [X, X, X])
    per_row = policy_loss(logp, old, t([2], [-1], [5]), MASK, 0.2)
    per_token = policy_loss(logp, old, t([2, 2, 2], [-1, -1, -1], [5, 5, 5]), MASK, 0.2)
    assert per_row == per_token
    assert per_row.loss.item() == pytest.approx((-2 * (math.exp(0.1) + 2) + math.exp(-0.1)) / 4)


@given(batches(), st.integers(1, 4))
def test_micro_batches_add_up_to_the_whole_batch(batch: Batch, size: int) -> None:
    mask, random = batch
    a, b, c, total = random(1), random(1), random(1), int(mask.sum())
    policy = [
        policy_loss(*(x[i : i + size] for x in (a, b, c, mask)), 0.2, total=total) for i in range(0, len(a), size)
    ]
    value = [value_loss(*(x[i : i + size] for x in (a, b, c, mask)), 0.2, total=total) for i in range(0, len(a), size)]
    for parts, whole in ((policy, policy_loss(a, b, c, mask, 0.2)), (value, value_loss(a, b, c, mask, 0.2))):
        summed = [torch.stack(field).sum() for field in zip(*parts, strict=True)]
        torch.testing.assert_close(summed, list(whole))


@given(batches(), st.booleans())
def test_what_stands_outside_the_mask_reaches_neither_loss_nor_gradient(batch: Batch, finite: bool) -> None:
    """Whether the policy has numbers there, as it has after a padded token, or none."""
    mask, random = batch
    logp, values = ((x.nan_to_num() if finite else x).requires_grad_() for x in (random(1), random(1)))
    policy = policy_loss(logp, random(1).nan_to_num(), random(1), mask, 0.2).loss
    (policy + value_loss(values, random(1), random(1), mask, 0.2).loss).backward()
    for x in (logp, values):
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert not x.grad[~mask].any()


def test_a_policy_that_ran_away_gives_finite_losses() -> None:
    """A log-ratio of ±10,000 is held at ±20."""
    logp = torch.tensor([[1e4, 1e4, -1e4, -1e4]], requires_grad=True)
    advantages, mask = torch.tensor([[1.0, -1, 1, -1]]), torch.ones(1, 4)
    found = policy_loss(logp, torch.zeros(1, 4), advantages, mask, 0.2)
    assert found.ratio_mean.item() == pytest.approx(math.exp(20) / 2)
    assert found.loss.item() == pytest.approx((-1.2 + math.exp(20) - math.exp(-20) + 0.8) / 4)
    found.loss.backward()
    assert logp.grad is not None
    assert logp.grad.isfinite().all()
    assert all(x.isfinite().all() for x in (*found, *kl_estimates(logp, torch.zeros(1, 4), mask)))


# The critic's loss


def test_value_loss_by_hand() -> None:
    """Old value 0, clip 1, return 3. V = 2: free (2-3)^2 = 1, held at 1: 4, so 4. V = .5: 6.25 both ways. V = -2: free 25, held at -1: 16,
    so 25. V = 5: free 4, held at 1: 4. Half the mean: (4 + 6.25 + 25 + 4) / 8. Only the first is held by the clip.
    """
    values = t([2, 0.5], [-2, 5])
    found = value_loss(values, torch.zeros(2, 2), torch.full((2, 2), 3.0), torch.ones(2, 2), 1.0)
    close(torch.stack(found), 39.25 / 8, 0.25)


def test_a_value_held_by_the_clip_gets_no_gradient() -> None:
    """(V - R) / tokens: 0, (.5 - 3)/3, (-2 - 3)/3."""
    values = t([2, 0.5, -2]).requires_grad_()
    value_loss(values, torch.zeros(1, 3), torch.full((1, 3), 3.0), torch.ones(1, 3), 1.0).loss.backward()
    assert values.grad is not None
    close(values.grad, 0, -2.5 / 3, -5 / 3)


def test_an_infinite_clip_is_the_plain_squared_error() -> None:
    values, mask = t([2, 0.5, -2]), torch.tensor([[1, 1, 0]])
    found = value_loss(values, torch.zeros(1, 3), torch.full((1, 3), 3.0), mask, math.inf)
    close(torch.stack(found), (1 + 6.25) / 4, 0)


@pytest.mark.parametrize(
    ("values", "explained"),
    [
        ([1, 2, 6], 1.0),
        ([8, 9, 13], 1.0),  # a constant error is not variance
        ([5, 5, 5], 0.0),
        ([-1, -2, -6], -3.0),  # errors are twice the returns: 1 - 4
        ([1, 2, 3], 1 - 2 / (14 / 3)),  # errors 0, 0, 3 of variance 2; returns of variance (4 + 1 + 9) / 3
    ],
)
def test_explained_variance_by_hand(values: list[float], explained: float) -> None:
    found = explained_variance(t([*values, X]), t([1, 2, 6, X]), torch.tensor([[1, 1, 1, 0]]))
    close(found, explained)


def test_nothing_is_explained_where_returns_do_not_vary() -> None:
    close(explained_variance(t([1, 2]), t([4, 4]), torch.ones(1, 2)), 0)
    close(explained_variance(t([1, 2]), t([3, 4]), torch.zeros(1, 2)), 0)


# What weighs tokens


def test_importance_weights_by_hand() -> None:
    """Ratios 2, 1/2 and 8 of the first response; the cap of 2 holds at the third alone."""
    logp, sampled = t([LN2, -LN2, 3 * LN2], [0, X, X], [X, X, X]), t([0, 0, 0], [LN2, X, X], [X, X, X])
    found = importance(logp, sampled, MASK, 2.0)
    close(found.weights, [2, 0.5, 2], [0.5, 0, 0], [0, 0, 0])
    assert found.truncated.tolist() == [[False, False, True], [False] * 3, [False] * 3]


def test_a_loss_may_be_the_mean_over_responses_or_over_the_limit() -> None:
    """Ratio 1, so a token's loss is minus its advantage: -1 for three tokens of a response, -4 for the one of the other. The mean over
    tokens is -7/4, over responses -(1 + 4)/2, over twice ten tokens -(3 + 4)/20.
    """
    mask = MASK[:2]
    logp, advantages = torch.zeros(2, 3), torch.tensor([[1.0], [4.0]])
    by_tokens = policy_loss(logp, logp, advantages, mask, 0.2, total=4.0)
    weights = [response_weights(mask, 4.0, 2.0), response_weights(mask, 4.0, 2.0, 10.0)]
    by_response, by_limit = (policy_loss(logp, logp, advantages, mask, 0.2, None, 4.0, one) for one in weights)
    assert [float(found.loss) for found in (by_tokens, by_response, by_limit)] == pytest.approx([-1.75, -2.5, -0.35])
    assert {float(found.ratio_mean) for found in (by_tokens, by_response, by_limit)} == {1.0}
