"""What proximal policy optimisation computes from numbers per token: rewards, advantages, losses, KL.

Tensors are [rows, tokens], a row per response, with a mask of the same shape (bool or 0/1) that is true at its own tokens.
What stands at other places is never read, not even a NaN, and comes out as 0. A row without tokens adds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

LOG_RATIO_CAP = 20.0
"""A ratio is kept within e^±20, so that one token of a policy that ran away cannot turn a whole batch into inf or NaN."""


class PolicyLoss(NamedTuple):
    """Scalars. With `total`, each is this micro-batch's part: the parts of all micro-batches add up to the batch's value."""

    loss: Tensor
    clip_fraction: Tensor
    """Share of tokens whose gradient the clip removed."""
    approx_kl: Tensor
    """KL(sampling policy || present policy) in nats per token, by k3 as in `kl_estimates`."""
    ratio_mean: Tensor
    """Mean of π/π_old; 1 at the first step."""


class ValueLoss(NamedTuple):
    """Scalars, with `total` as in PolicyLoss."""

    loss: Tensor
    clip_fraction: Tensor
    """Share of tokens whose gradient the clip removed."""


class KL(NamedTuple):
    """Estimates of KL(policy || reference), [rows], in nats per response."""

    k1: Tensor
    """Sum of log π/π_ref: unbiased, may be negative."""
    k2: Tensor
    """Sum of half its square: biased, steady."""
    k3: Tensor
    """Sum of π_ref/π - 1 + log π/π_ref: unbiased, never negative."""


def masked_mean(x: Tensor, mask: Tensor, total: float | None = None) -> Tensor:
    """Mean of x over the mask, a scalar; 0 where the mask is empty.

    `total` replaces the number of tokens by that of the whole batch: the values of its micro-batches then add up to its mean.
    """
    count = mask.sum().clamp(min=1) if total is None else (total or 1)
    return _kept(x, mask).sum() / count


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """x with mean 0 (or, without `shift_mean`, its own mean) and variance 1 over the mask, [rows, tokens].

    The variance is the population's: the sum of squares over the number of tokens. Equal values stay equal.
    """
    mean = masked_mean(x, mask)
    centred = x - mean
    scaled = centred * torch.rsqrt(masked_mean(centred.square(), mask) + 1e-8)
    return _kept(scaled if shift_mean else scaled + mean, mask)


def last_token(mask: Tensor) -> Tensor:
    """True at the last token of each row, [rows, tokens] bool; nowhere in a row without tokens."""
    left = mask.long().flip(1).cumsum(1).flip(1)
    return mask.bool() & (left == 1)


def token_rewards(scores: Tensor, logp: Tensor, ref_logp: Tensor, mask: Tensor, kl_coefficient: float) -> Tensor:
    """Reward of each token, [rows, tokens]: -kl_coefficient * log π/π_ref (k1), and at the last token also the response's score.

    scores [rows]; logp and ref_logp are log-probabilities of the tokens sampled (Ziegler et al. 2019, 1909.08593). A row's sum is
    its score less kl_coefficient times its KL.
    """
    penalty = _kept(-kl_coefficient * (logp - ref_logp), mask)
    return penalty + torch.where(last_token(mask), scores[:, None], 0)


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2015, 1506.02438): advantages and returns, both [rows, tokens].

    A_t = δ_t + γλ A_{t+1} with δ_t = r_t + γ V_{t+1} - V_t, where values [rows, tokens] are before each token and 0 after the last;
    returns are A + V. Places outside the mask are stepped over, so that tokens the policy did not write may lie between.
    """
    kept = mask.bool()
    advantages = torch.zeros_like(values)
    running = next_value = values.new_zeros(len(values))
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        running = torch.where(kept[:, t], delta + gamma * lam * running, running)
        next_value = torch.where(kept[:, t], values[:, t], next_value)
        advantages[:, t] = torch.where(kept[:, t], running, 0)
    return advantages, advantages + _kept(values, mask)


def policy_loss(
    logp: Tensor,
    old_logp: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    clip_high: float | None = None,
    total: float | None = None,
    weights: Tensor | None = None,
) -> PolicyLoss:
    """PPO's clipped objective (Schulman et al. 2017, 1707.06347), negated, as a mean over tokens.

    Per token -min(ρ A, clip(ρ, 1 - clip, 1 + clip_high) A) with ρ = π/π_old; clip_high is clip unless given (DAPO, 2503.14476).
    Every token of the batch counts the same, whichever response it is in. advantages [rows, tokens], or [rows, 1] for one each.
    `total`: tokens of the whole batch, where this is a part of it. weights [rows, tokens] or [rows, 1]: what each token's loss is
    multiplied by (`response_weights`, `importance`). A ratio beyond e^±20 is held there and has no gradient.
    """
    log_ratio = _kept(logp - old_logp, mask).clamp(-LOG_RATIO_CAP, LOG_RATIO_CAP)
    ratio = log_ratio.exp()
    free = ratio * advantages
    clipped = ratio.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high)) * advantages
    loss = -torch.minimum(free, clipped)
    loss = loss if weights is None else loss * weights
    per_token = loss, (clipped < free).to(ratio), (ratio - 1 - log_ratio).detach(), ratio.detach()
    return PolicyLoss(*(masked_mean(x, mask, total) for x in per_token))


def response_weights(mask: Tensor, total: float, responses: float, divisor: float | None = None) -> Tensor:
    """What makes of a mean over `total` tokens a mean over so many `responses`, each the sum over its tokens divided by its length,
    or by `divisor`: [rows, 1]."""
    lengths = mask.sum(1, keepdim=True).clamp(min=1).float()
    return total / (responses * (lengths if divisor is None else torch.full_like(lengths, divisor)))


class Importance(NamedTuple):
    """Truncated importance weights of tokens that another distribution than the policy's was sampled from."""

    weights: Tensor
    """min(π/π_sampler, cap), [rows, tokens], 0 outside the mask."""
    truncated: Tensor
    """True where the cap held, [rows, tokens] bool."""


def importance(logp: Tensor, sampled: Tensor, mask: Tensor, cap: float) -> Importance:
    """Weights by which a mean over sampled tokens becomes one over the policy's own (truncated as in Ionides 2008; for engines that
    round differently: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

    logp: of the policy that is trained, before the update; sampled: of the distribution that tokens were drawn from.
    """
    ratio = _kept(logp - sampled, mask).clamp(-LOG_RATIO_CAP, LOG_RATIO_CAP).exp()
    return Importance(_kept(ratio.clamp(max=cap), mask), mask.bool() & (ratio > cap))


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float, total: float | None = None
) -> ValueLoss:
    """Half the squared error of the critic, as a mean over tokens, clipped as in the PPO2 code of OpenAI's baselines.

    Per token 0.5 max((V - R)^2, (V' - R)^2), V' being V held within `clip` of old_values: a value that has moved further towards
    the return gets no gradient. A `clip` of `math.inf` turns that off. `total` as in `policy_loss`.
    """
    near = torch.maximum(torch.minimum(values, old_values + clip), old_values - clip)
    free, held = (_kept(x - returns, mask).square() for x in (values, near))
    return ValueLoss(
        0.5 * masked_mean(torch.maximum(free, held), mask, total), masked_mean((held > free).to(values), mask, total)
    )


def kl_estimates(logp: Tensor, ref_logp: Tensor, mask: Tensor) -> KL:
    """How far the policy is from the reference, from log-probabilities of tokens that the policy sampled (Schulman 2020,
    http://joschu.net/blog/kl-approx.html).
    """
    difference = _kept(logp - ref_logp, mask)
    inverse = (-difference).clamp(-LOG_RATIO_CAP, LOG_RATIO_CAP)
    return KL(difference.sum(1), 0.5 * difference.square().sum(1), (torch.expm1(inverse) - inverse).sum(1))


class FixedKL:
    """A KL coefficient that stays what it is."""

    def __init__(self, value: float) -> None:
        self.value = value

    def update(self, kl: float, n: int) -> None:
        """Changes nothing."""

    def state(self) -> dict[str, float]:
        """What `load` takes after a restart."""
        return {"value": self.value}

    def load(self, state: Mapping[str, float]) -> None:
        """Go on from a saved state."""
        self.value = state["value"]


class AdaptiveKL(FixedKL):
    """A KL coefficient steered towards a target KL (Ziegler et al. 2019, 1909.08593, section 2.2).

    After n responses of mean KL `kl` (nats per response) the coefficient is multiplied by 1 + e n/horizon, where e is the relative
    error (kl - target) / target held within ±0.2, and n/horizon within 1. A KL that is NaN changes nothing.
    """

    def __init__(self, initial: float, target: float, horizon: float) -> None:
        super().__init__(initial)
        self.target = target
        self.horizon = horizon

    def update(self, kl: float, n: int) -> None:
        """Move the coefficient after n responses whose mean KL was `kl` nats."""
        error = (kl - self.target) / self.target
        if error == error:
            self.value *= 1 + max(-0.2, min(0.2, error)) * min(n / self.horizon, 1.0)


def group_advantages(
    scores: Tensor, *, baseline: Literal["mean", "leave_one_out"] = "mean", scale: bool = False
) -> Tensor:
    """Advantages of responses to the same prompt without a critic; scores and result are [prompts, group].

    baseline `mean`: score less the group's mean, as in GRPO (2402.03300). `leave_one_out`: less the mean of the others (RLOO,
    2402.14740), which keeps the gradient unbiased and is the former times group / (group - 1).
    `scale` divides by the group's standard deviation (the sample's, plus 1e-4), as GRPO does; Dr. GRPO (2503.20783) leaves it out,
    since it weighs prompts whose responses hardly differ as much as any other. A group of one has advantage 0.
    """
    size = scores.shape[1]
    if size == 1:
        return torch.zeros_like(scores)
    centred = scores - scores.mean(1, keepdim=True)
    advantages = centred * (size / (size - 1)) if baseline == "leave_one_out" else centred
    return advantages / (scores.std(1, keepdim=True) + 1e-4) if scale else advantages


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over the mask, a scalar: 1 a perfect critic, 0 a constant, below 0 a harmful one.

    0 where the returns do not vary.
    """
    variance = _variance(returns, mask)
    explained = 1 - _variance(returns - values, mask) / variance.clamp(min=torch.finfo(variance.dtype).tiny)
    return torch.where(variance > 0, explained, 0)


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of the distribution that logits [..., vocabulary] stand for, [...]; computed in float32 or wider.

    Logits of -inf are tokens that cannot come, and count nothing.
    """
    logp = functional.log_softmax(logits, -1, dtype=torch.promote_types(logits.dtype, torch.float32))
    return -(logp.exp() * logp.clamp(min=torch.finfo(logp.dtype).min)).sum(-1)


def _kept(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask.bool(), x, 0)


def _variance(x: Tensor, mask: Tensor) -> Tensor:
    return masked_mean((x - masked_mean(x, mask)).square(), mask)
