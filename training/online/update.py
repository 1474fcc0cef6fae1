"""The update of `dpo --online`: DPO's loss over minibatches of pairs, the mean over the pairs of all processes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from accelerate.utils import gather_object

from training.data.encode import PairRow
from training.model.modules import Policy
from training.ppo.config import PPO
from training.ppo.experience import in_precision, on_device
from training.ppo.update import Update, minibatches, rate_factor
from training.recipes.dpo import DPORecipe
from training.recipes.recipe import WEIGHT


class PairUpdate(Update):
    """The optimizer of a policy that learns from pairs."""

    def __init__(self, policy: Policy, recipe: DPORecipe, settings: PPO, accelerator: Any, iterations: int) -> None:
        super().__init__(policy, None, settings, accelerator, iterations)
        self._recipe = recipe

    def learn_pairs(
        self, pairs: Sequence[Sequence[PairRow]], places: Sequence[int], iteration: int
    ) -> dict[str, float]:
        """One pass over an iteration's pairs, those of each of our prompts; the means of what is logged of them."""
        self.set_rate(rate_factor(self._settings, self._iterations, iteration))
        found: dict[str, list[float]] = defaultdict(list)
        for part in minibatches(self._settings, places, iteration):
            for name, value in self._step_on([row for i in part for row in pairs[i]]).items():
                found[name].append(value)
        means = {name: math.fsum(values) / len(values) for name, values in found.items()}
        return {**means, "lr": self.optimizer.param_groups[0]["lr"]}

    def _step_on(self, rows: Sequence[PairRow]) -> dict[str, float]:
        """One optimizer step on our pairs of a minibatch; nothing where no process has any."""
        (total,) = self._summed([float(len(rows))])
        if not total:
            return {}
        device, size = self._accelerator.device, self._settings.micro_batch_size // 2
        sums: dict[str, float] = defaultdict(float)
        for start in range(0, len(rows), size):
            batch = on_device(self._recipe.collate(rows[start : start + size], self._policy.layout), device)
            with in_precision(self._settings, device):
                outcome = self._recipe.outcome(self._policy, batch)
            loss = (outcome.loss * batch[WEIGHT]).sum() / total
            loss.backward()
            sums["loss"] += float(loss.detach())
            for name, values in outcome.values.items():
                sums[name] += float(values.sum()) / total
        parts: list[dict[str, float]] = gather_object([dict(sums)])
        found = {name: math.fsum(part.get(name, 0.0) for part in parts) for name in parts[0] | parts[-1]}
        found["grad_norm"] = self._clip(self._policy)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return found
