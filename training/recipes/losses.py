"""Losses on pairs of responses that carry the judge's probability p that `chosen` is the better one.

Tensors are float32 or wider: a difference of log-probabilities of whole responses has no digits left in half precision. A loss is
one value per pair; weighting and averaging are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, assert_never

import torch
from torch import Tensor
from torch.nn import functional

DPOKind = Literal["soft", "sigmoid", "ipo", "cdpo", "robust", "gdpo", "apo_zero", "apo_down", "dpop"]
"""How `dpo` uses a label; see there."""


def pair_loss(margin: Tensor, p: Tensor | float) -> Tensor:
    """Cross-entropy of a label p with the model's sigmoid(margin): -p log σ(m) - (1-p) log σ(-m).

    Shapes: margin any, p the same or broadcast to it; the result has margin's. Its slope is σ(m) - p, so it is least at logit(p),
    where the model is exactly as sure as the label; a label of 1 has no such place and pulls for ever. Finite for every finite
    margin. With p = 1 this is the pairwise loss of Bradley and Terry (1952).
    """
    return -p * functional.logsigmoid(margin) - (1 - p) * functional.logsigmoid(-margin)


def optimal_margin(p: Tensor) -> Tensor:
    """The margin at which `pair_loss` is least: logit(p), so infinite for a label of 0 or 1. Shape of p."""
    return torch.logit(p)


def bradley_terry(
    chosen: Tensor, rejected: Tensor, p: Tensor | float, margin: Tensor | None = None, center: float = 0.0
) -> Tensor:
    """Loss of a reward model on the rewards of both responses, [n], or [n, heads] for an ensemble; the result has that shape.

    With p = 1, no margin and no centring: -log σ(r_w - r_l). `p` and `margin` are [n] (p may be one number).
    `margin` is taken off the difference before the label is applied, as in Llama 2 (2307.09288, equation 2). A soft label already
    says how far apart the two are: with both, the best difference is logit(p) + margin.
    `center` weighs (r_w + r_l)^2, which holds the rewards, that pairs alone determine only up to a constant, near zero
    (Eisenstein et al. 2023, 2312.09244).
    """
    difference = chosen - rejected
    if margin is not None:
        difference = difference - _beside(margin, difference)
    loss = pair_loss(difference, _beside(p, difference))
    return loss + center * (chosen + rejected).square() if center else loss


def dpo(
    chosen: Tensor,
    rejected: Tensor,
    p: Tensor | float,
    beta: float,
    kind: DPOKind = "soft",
    smoothing: float = 0.0,
    margin: Tensor | float = 0.0,
    penalty: float = 0.0,
) -> Tensor:
    """Direct preference optimisation (Rafailov et al. 2023, 2305.18290) on log-ratios log π/π_ref of responses, [n]; gives [n].

    With c = chosen, r = rejected, h = chosen - rejected and m = beta * h, the label p enters so:
    - soft: `pair_loss(m, p)`. With p = 1 this is the paper's loss.
    - sigmoid: p is rounded to 1 (from 0.5 on) or 0, then as soft: the paper's loss.
    - ipo: (h - (2p - 1) / (2 beta))^2. With p = 1 equation 17 of Azar et al. 2023 (2310.12036); else the mean of that over labels
      drawn with probability p, less a term without h. The target does not grow with length: give log-ratios per token
      (`length_normalized`).
    - cdpo: labels are flipped with probability `smoothing` (cDPO, Mitchell 2023): as soft, p moved to s + (1 - 2s) p.
    - robust: takes such flips to be in the labels and undoes them (Chowdhury et al. 2024, 2403.00409): as soft, p moved to
      (p - s) / (1 - 2s). For labels surer than 1 - s that is over 1, and the loss has no lower bound.
    - gdpo: -log σ((2p - 1) m), geometric averaging of the two responses (Furuta et al. 2024, 2409.06691). The pull fades as p nears
      0.5, and never stops at a margin.
    - apo_zero: `expected` of σ(-beta c) + σ(beta r), equation 7 of anchored preference optimisation (D'Oosterlinck et al. 2024,
      2408.06266): chosen responses become likelier, rejected ones less likely. For responses better than the model's own.
    - apo_down: `expected` of σ(beta c) + σ(-m), its equation 8: both become less likely, the rejected one more so. For responses
      worse than the model's own.
    - dpop: `expected` of -log σ(beta (h - penalty max(0, -c))), DPO-positive (Pal et al. 2024, 2402.13228, equation 3): a chosen
      response that becomes less likely than under the reference costs.

    `margin`, [n] or a number, is taken off m before the label is applied, as in ODPO (Amini et al. 2024, 2402.10571, equation 7);
    ipo, gdpo and apo do not read it. A soft label already says how far apart the two are: with both, the best m is
    logit(p) + margin. `smoothing` is read by cdpo and robust only, `penalty` by dpop only. Raises ValueError where smoothing is
    not from 0 to below 0.5.
    """
    if not 0 <= smoothing < 0.5:
        raise ValueError(f"smoothing is {smoothing}; it is a share of flipped labels, from 0 to below 0.5")
    difference = chosen - rejected
    apart = beta * difference - margin
    match kind:
        case "soft":
            return pair_loss(apart, p)
        case "sigmoid":
            return pair_loss(apart, (p >= 0.5) * 1.0)
        case "ipo":
            return (difference - (2 * p - 1) / (2 * beta)).square()
        case "cdpo":
            return pair_loss(apart, smoothing + (1 - 2 * smoothing) * p)
        case "robust":
            return pair_loss(apart, (p - smoothing) / (1 - 2 * smoothing))
        case "gdpo":
            return -functional.logsigmoid(beta * (2 * p - 1) * difference)
        case "apo_zero" | "apo_down" | "dpop":
            return _of_anchors(chosen, rejected, p, beta, kind, margin, penalty)
        case _:
            assert_never(kind)


def _of_anchors(
    chosen: Tensor,
    rejected: Tensor,
    p: Tensor | float,
    beta: float,
    kind: Literal["apo_zero", "apo_down", "dpop"],
    margin: Tensor | float,
    penalty: float,
) -> Tensor:
    """The kinds of `dpo` that look at one response beside the reference, not at the difference alone."""
    if kind == "apo_zero":
        return expected(lambda c, r, _: (-beta * c).sigmoid() + (beta * r).sigmoid(), chosen, rejected, p)
    if kind == "apo_down":
        return expected(lambda c, r, _: (beta * c).sigmoid() + (beta * (r - c)).sigmoid(), chosen, rejected, p)

    def positive(c: Tensor, r: Tensor, off: Tensor | float) -> Tensor:
        return -functional.logsigmoid(beta * (c - r - penalty * (-c).relu()) - off)

    return expected(positive, chosen, rejected, p, margin)


def expected(
    loss: Callable[[Tensor, Tensor, Tensor | float], Tensor],
    chosen: Tensor,
    rejected: Tensor,
    p: Tensor | float,
    margin: Tensor | float = 0.0,
) -> Tensor:
    """The mean of a loss of (better, worse, margin) where chosen is the better one with probability p: [n].

    Where it is the other, the margin by which chosen should be ahead is behind. Exchanging the responses of a pair, with 1 - p and
    -margin, changes nothing.
    """
    return p * loss(chosen, rejected, margin) + (1 - p) * loss(rejected, chosen, -margin)


def simpo(chosen: Tensor, rejected: Tensor, p: Tensor | float, beta: float, gamma: float) -> Tensor:
    """SimPO (Meng et al. 2024, 2405.14734, equation 6) on log-probabilities per token, [n]: no reference; gives [n].

    With p = 1: -log σ(beta (chosen - rejected) - gamma). Whichever response is better is to be ahead by gamma, so a soft label is
    the mean of both cases.
    """
    return expected(lambda c, r, _: -functional.logsigmoid(beta * (c - r) - gamma), chosen, rejected, p)


def orpo(chosen: Tensor, rejected: Tensor, p: Tensor | float, weight: float) -> Tensor:
    """Odds-ratio preference optimisation (Hong et al. 2024, 2403.07691, equation 6) on log-probabilities per token, [n]; gives [n].

    With p = 1: -chosen + weight * -log σ(log odds(chosen) - log odds(rejected)): the imitation of the better response, and that its
    odds be higher. A soft label is the mean of that under p, of the imitation too.
    """
    better, worse = log_odds(chosen), log_odds(rejected)
    return weight * pair_loss(better - worse, p) - p * chosen - (1 - p) * rejected


def log_odds(logp: Tensor) -> Tensor:
    """log(P / (1 - P)) of log P, up to the largest log P below 0; with all digits at both ends. Any shape."""
    logp = logp.clamp(max=-torch.finfo(logp.dtype).eps)
    return logp - (-torch.expm1(logp)).log()


def reference_free(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """-log σ(beta (log π(chosen) - log π(rejected))): no reference, no soft label. Log-probabilities of responses, [n]; gives [n].

    What keeps the policy near its start is missing.
    """
    return -functional.logsigmoid(beta * (chosen - rejected))


def length_normalized(logprob: Tensor, length: Tensor) -> Tensor:
    """Nats per token: log-probabilities or log-ratios of responses over their tokens, both [n]. An empty one keeps its 0."""
    return logprob / length.clamp(min=1)


def pairwise_accuracy(margin: Tensor, p: Tensor) -> Tensor:
    """1 where margin and label prefer the same response, 0 where not, 1/2 where one of them prefers neither. Shape of margin.

    margin [n] or [n, heads], p [n]. Exchanging the responses of a pair, (-m, 1-p), changes nothing.
    """
    return 0.5 + 0.5 * margin.sign() * _beside((p - 0.5).sign(), margin)


def _beside(per_pair: Tensor | float, rewards: Tensor) -> Tensor | float:
    """A value per pair [n] in a shape that meets rewards [n] or [n, heads] pair by pair."""
    if isinstance(per_pair, Tensor) and per_pair.dim() == 1:
        return per_pair.reshape(-1, *[1] * (rewards.dim() - 1))
    return per_pair
