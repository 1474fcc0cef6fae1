"""The update of PPO: the clipped objective over minibatches, exact whatever the micro-batches and the number of processes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from training.data.batches import collate
from training.model import launch
from training.model.modules import Policy, RewardModel
from training.ppo.config import PPO
from training.ppo.experience import IDLE, Experience, chunks, idle_passes, in_precision, on_device, tabled
from training.ppo.losses import masked_mean, policy_loss, response_weights, value_loss

POLICY_FIGURES = ("loss", "policy_loss", "clip_fraction", "approx_kl", "ratio", "entropy")
CRITIC_FIGURES = ("value_loss", "value_clip_fraction")
"""What is logged of a minibatch, in the order in which losses give them."""


def trainable_parameters(module: Any) -> list[Any]:
    """The parameters that training changes, in their order."""
    return [p for p in module.parameters() if p.requires_grad] if module is not None else []


def rate_factor(settings: PPO, iterations: int, iteration: int) -> float:
    """What the learning rate is multiplied by in an iteration, counted from 0, of so many; it rises for a part of them alone."""
    rising = round(settings.warmup * iterations)
    if iteration < rising:
        return (iteration + 1) / rising
    if settings.schedule == "constant":
        return 1.0
    done = (iteration - rising) / (iterations - rising)
    return 1 - done if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))


def minibatches(settings: PPO, places: Sequence[int], iteration: int) -> Iterator[list[int]]:
    """Our examples of each minibatch. What is in a minibatch does not depend on the number of processes.

    places: of our examples, among all prompts of the iteration.
    """
    parts = max(1, round(settings.prompts * settings.samples / settings.batch_size))
    ours = {place: i for i, place in enumerate(places)}
    for turn in range(settings.passes):
        order = np.random.default_rng([settings.seed, iteration, turn]).permutation(settings.prompts)
        for part in np.array_split(order, parts):
            yield [ours[place] for place in sorted(part.tolist()) if place in ours]


class BatchSize(NamedTuple):
    """What an optimizer step is of, over all processes."""

    tokens: float
    responses: float


class Update:
    """The optimizer of the policy and of its critic. Gradients are summed over processes by hand, since each has its own number of
    responses; the loss is the mean over all tokens of a minibatch in all processes.
    """

    def __init__(
        self, policy: Policy, critic: RewardModel | None, settings: PPO, accelerator: Any, iterations: int
    ) -> None:
        self._policy = policy
        self._critic = critic
        self._settings = settings
        self._accelerator = accelerator
        self._iterations = iterations
        groups: list[dict[str, Any]] = [{"params": trainable_parameters(policy), "lr": settings.learning_rate}]
        if critic is not None:
            groups.append({"params": trainable_parameters(critic), "lr": settings.critic_learning_rate})
        self.optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
        self._rates = [group["lr"] for group in groups]

    def set_rate(self, factor: float) -> None:
        """Multiply the peak learning rates."""
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def learn(self, experience: Experience, iteration: int) -> dict[str, float]:
        """All passes over an iteration's responses; the means of what is logged of them."""
        sums: dict[str, list[float]] = defaultdict(list)
        self.set_rate(rate_factor(self._settings, self._iterations, iteration))
        for part in minibatches(self._settings, experience.responses.places, iteration):
            for name, value in self._step(experience, part, iteration).items():
                sums[name].append(value)
        means = {name: math.fsum(values) / len(values) for name, values in sums.items()}
        return {**means, "lr": self.optimizer.param_groups[0]["lr"]}

    def _step(self, e: Experience, part: Sequence[int], iteration: int) -> dict[str, float]:
        """One optimizer step, on some of the examples. Where they have nothing to tell the policy, its weights stay as they are."""
        starts = e.responses.starts
        part = [i for i in part if i not in e.responses.dropped]
        rows = [row for i in part for row in range(starts[i], starts[i + 1])]
        own = [float(e.mask[rows].sum()), float(e.mask[rows].any(1).sum()), float(e.advantages[rows].abs().sum())]
        total, responses, told = self._summed(own)
        if not total:
            return {}
        alone = iteration < self._settings.critic_warmup and self._critic is not None
        sums: dict[str, Any] = dict.fromkeys(POLICY_FIGURES + (CRITIC_FIGURES if self._critic else ()), 0.0)
        size = BatchSize(total, responses)
        start = 0
        parts = [*chunks([e.responses.examples[i] for i in part], self._settings.micro_batch_size)]
        idle = idle_passes(len(parts))
        for examples in parts:
            count = sum(len(example.responses) for example in examples)
            self._backward(e, examples, rows[start : start + count], size, alone, sums)
            start += count
        for _ in range(idle):
            self._pass_idly(alone)
        found = dict(zip(sums, self._summed(list(sums.values())), strict=True))
        if not alone:
            found["grad_norm"] = self._clip(self._policy)
        if self._critic:
            found["critic_grad_norm"] = self._clip(self._critic)
        if not told and not self._settings.entropy:
            for p in trainable_parameters(self._policy):
                p.grad = None  # a gradient of 0 would still let the optimizer's momentum move the weights
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return found

    def _backward(
        self, e: Experience, examples: Any, rows: Sequence[int], size: BatchSize, alone: bool, sums: dict[str, Any]
    ) -> None:
        """Add the gradient of some responses, and their part of what is logged. alone: of the critic, not of the policy."""
        s, device, total = self._settings, self._accelerator.device, size.tokens
        batch = on_device(collate(examples, self._policy.layout), device)
        mask, old, advantages = (table[rows].to(device) for table in (e.mask, e.logp, e.advantages))
        weights = self._weights(e, rows, size)
        width = mask.shape[1]
        with torch.set_grad_enabled(not alone):
            with in_precision(s, device):
                scores = self._policy(batch, s.sampler.temperature)
            logp, entropy = (tabled(values, batch, width) for values in scores)
            surrogate = policy_loss(logp, old, advantages, mask, s.clip, s.clip_high, total, weights)
            spread = masked_mean(entropy, mask, total)
            loss = surrogate.loss - s.entropy * spread if s.entropy else surrogate.loss
        if not alone:
            self._add(loss)
        found: tuple[Any, ...] = (loss, *surrogate, spread)
        if self._critic is not None:
            layout = self._critic.layout
            batch = batch if layout == self._policy.layout else on_device(collate(examples, layout), device)
            with in_precision(s, device):
                values = self._critic(batch, tokens=True)[:, 0]
            error = value_loss(
                tabled(values, batch, width),
                e.values[rows].to(device),
                e.returns[rows].to(device),
                mask,
                math.inf if s.value_clip is None else s.value_clip,
                total,
            )
            self._add(error.loss)
            found += tuple(error)
        for name, value in zip(sums, found, strict=True):
            sums[name] = sums[name] + value.detach().double()  # on the device: nothing here waits for it

    def _add(self, loss: Any) -> None:
        """Add a loss's gradients; where weights are spread over processes, their mean over these is taken on the way."""
        (loss * self._accelerator.num_processes if launch.sharded() else loss).backward()

    def _pass_idly(self, alone: bool) -> None:
        """Take part in others' passes, in the order of `_backward`, with a gradient of 0."""
        device = self._accelerator.device
        with torch.set_grad_enabled(not alone), in_precision(self._settings, device):
            scores = self._policy(on_device(collate([IDLE], self._policy.layout), device))
        if not alone:
            (0 * scores.logprobs.sum()).backward()
        if self._critic is not None:
            with in_precision(self._settings, device):
                values = self._critic(on_device(collate([IDLE], self._critic.layout), device), tokens=True)
            (0 * values.sum()).backward()

    def _weights(self, e: Experience, rows: Sequence[int], size: BatchSize) -> Any:
        """What each token's loss is multiplied by, beside being one of all tokens; None where by 1."""
        s, weights = self._settings, None if e.importance is None else e.importance[rows]
        if s.loss_mean != "tokens":
            divisor = s.sampler.max_tokens if s.loss_mean == "max_tokens" else None
            share = response_weights(e.mask[rows], size.tokens, size.responses, divisor)
            weights = share if weights is None else weights * share
        return None if weights is None else weights.to(self._accelerator.device)

    def _clip(self, module: Any) -> float:
        """Gradients summed over processes and held within the norm that is allowed; the norm before."""
        parameters = trainable_parameters(module)
        if self._accelerator.num_processes > 1 and not launch.sharded():
            for p in parameters:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            flat = self._accelerator.reduce(torch.cat([p.grad.flatten() for p in parameters]), "sum")
            for p, grad in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
                p.grad.copy_(grad.view_as(p))
        return float(launch.whole(torch.nn.utils.clip_grad_norm_(parameters, self._settings.max_grad_norm)))

    def _summed(self, values: Sequence[Any]) -> list[float]:
        """Sums of numbers, on the device or not, over all processes, in one transfer. Every process must ask for as many."""
        device = self._accelerator.device
        table = torch.stack([torch.as_tensor(value, dtype=torch.float64, device=device) for value in values])
        if self._accelerator.num_processes > 1:
            table = self._accelerator.reduce(table, "sum")
        return list(table.tolist())
