"""What an iteration of PPO learns from: responses, their log-probabilities before the update, and how much better than expected
each token was. One process holds the responses to its own prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from accelerate.utils import gather_object

from training.data.batches import Batch, Example, Layout, collate, unflatten
from training.model import launch
from training.ppo.config import PPO
from training.ppo.losses import (
    explained_variance,
    gae,
    group_advantages,
    importance,
    kl_estimates,
    token_rewards,
    whiten,
)


@dataclass(slots=True)
class Responses:
    """Rewarded responses, those to one prompt together."""

    examples: list[Example]
    """Each prompt with its responses; none is without."""
    places: list[int]
    """Of each example's prompt among all prompts of the iteration."""
    scores: list[float]
    """Of each response, as `shape_reward` gives them."""
    sampled: list[Sequence[float]]
    """Log-probabilities of each response's tokens as its sampler saw them."""
    dropped: frozenset[int] = frozenset()
    """Examples that the policy does not learn from."""

    @property
    def starts(self) -> list[int]:
        """Row of each example's first response, and the number of rows."""
        starts = [0]
        for example in self.examples:
            starts.append(starts[-1] + len(example.responses))
        return starts

    @property
    def longest(self) -> int:
        """Trained tokens of the response that has most, at least 1."""
        return max((n for example in self.examples for n in example.lengths), default=1)

    def table(self, rows: Sequence[Sequence[float]]) -> Any:
        """Values per token as [rows, longest] float32, filled up with 0."""
        table = torch.zeros(len(rows), self.longest)
        for i, values in enumerate(rows):
            table[i, : len(values)] = torch.tensor(list(values))
        return table

    def mask(self) -> Any:
        """[rows, longest] bool: the responses' own tokens."""
        return self.table([[1.0] * n for example in self.examples for n in example.lengths]).bool()


@dataclass(slots=True)
class Experience:
    """Tables [rows, longest] beside `responses`; all without gradient, in float32."""

    responses: Responses
    mask: Any
    logp: Any
    """Of the policy before the update, by the same forward pass that trains it: the ratio starts at 1."""
    ref_logp: Any
    advantages: Any
    importance: Any = None
    """Weight of each token's loss; None where it is 1."""
    values: Any = None
    """The critic's, before the update; None without a critic."""
    returns: Any = None


def chunks(examples: Sequence[Example], rows: int) -> Iterator[list[Example]]:
    """The examples in order, cut into parts of at most `rows` responses; responses to one prompt may be cut apart."""
    part: list[Example] = []
    room = rows
    for prompt, responses, trained in examples:
        done = 0
        while done < len(responses):
            taken = slice(done, done + room)
            part.append(Example(prompt, [*responses[taken]], trained and trained[taken]))
            done += len(part[-1].responses)
            room -= len(part[-1].responses)
            if not room:
                yield part
                part, room = [], rows
    if part:
        yield part


def on_device(batch: Batch, device: Any) -> Batch:
    """The batch's tensors moved."""
    return {name: value.to(device) for name, value in batch.items()}


def in_precision(settings: PPO, device: Any) -> Any:
    """The context of every forward pass: automatic mixed precision, or none."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=settings.precision == "bf16")


IDLE = Example((0, 0), ((0,),))
"""What a process passes through a model that is spread over processes while others have more rows than it has."""


def idle_passes(passes: int) -> int:
    """How many passes the busiest process has more than this one, with so many; 0 where models are whole in each."""
    return max(gather_object([passes])) - passes if launch.sharded() else 0


def measured(run: Callable[[Batch], Any], responses: Responses, rows: int, layout: Layout, device: Any) -> Any:
    """What `run` says of each response token, [responses, longest], without gradient. run: batch -> [N]."""
    tables, parts = [], [*chunks(responses.examples, rows)]
    idle = idle_passes(len(parts))  # asked before the first of them, by all at once
    with torch.no_grad():
        for part in parts:
            batch = on_device(collate(part, layout), device)
            tables.append(tabled(run(batch), batch, responses.longest).cpu())
        for _ in range(idle):
            run(on_device(collate([IDLE], layout), device))
    return torch.cat(tables) if tables else torch.zeros(0, responses.longest)


def tabled(values: Any, batch: Batch, width: int) -> Any:
    """values [N] of a batch -> [R, width] float32, filled up with 0. Differentiable."""
    table, _ = unflatten(values.float(), batch["lengths"])
    return torch.nn.functional.pad(table, (0, width - table.shape[1]))


def gather_tables(accelerator: Any, mask: Any, *tables: Any) -> tuple[list[Any], slice]:
    """(the mask and the tables with the rows of all processes, which of those rows are ours)."""
    if accelerator.num_processes == 1:
        return [mask, *tables], slice(0, len(mask))
    padded = []
    for table in (mask.long(), *tables):
        for side in (1, 0):
            table = accelerator.pad_across_processes(table.to(accelerator.device), dim=side)
        padded.append(accelerator.gather(table).cpu())
    rows = len(padded[0]) // accelerator.num_processes
    start = rows * accelerator.process_index
    return [padded[0].bool(), *padded[1:]], slice(start, start + len(mask))


def whitened(table: Any, mask: Any, accelerator: Any, shift_mean: bool = True) -> Any:
    """`whiten` over the tokens of all processes."""
    (every, values), ours = gather_tables(accelerator, mask, table)
    return whiten(values, every, shift_mean)[ours, : table.shape[1]]


def shape_reward(score: float, ended: bool, settings: PPO, length: int = 0, hidden: bool = False) -> float:
    """The score that is learnt from: clipped, then less the penalties of a response that was cut, is nearly too long, or hides
    something. length: in tokens.
    """
    most = settings.reward_clip
    held = score if most is None else max(-most, min(most, score))
    if near := settings.overlong:
        into = length - (settings.sampler.max_tokens - near.tokens)
        held -= near.penalty * min(max(into / near.tokens, 0.0), 1.0)
    held -= settings.hidden_penalty if hidden else 0.0
    return held if ended else held - settings.missing_end_penalty


def equal(scores: Sequence[float], settings: PPO) -> bool:
    """Whether scores differ by so little that they have nothing to tell."""
    return not scores or max(scores) - min(scores) <= settings.min_spread


def build_experience(
    responses: Responses, logp: Any, ref_logp: Any, values: Any, coefficient: float, settings: PPO, accelerator: Any
) -> Experience:
    """Rewards and advantages. values: the critic's [rows, longest]; None for the group baseline."""
    mask = responses.mask()
    rewards = token_rewards(torch.tensor(responses.scores), logp, ref_logp, mask, coefficient)
    returns = None
    if values is None:
        advantages = by_group(rewards.sum(1), responses, settings)
        if settings.whiten_advantages:
            advantages = scaled(advantages, accelerator)
        advantages = advantages[:, None] * mask
    else:
        if settings.whiten_rewards:
            rewards = whitened(rewards, mask, accelerator, shift_mean=False)
        advantages, returns = gae(rewards, values, mask, settings.gamma, settings.lam)
        if equal(gather_object(list(responses.scores)), settings):
            advantages = torch.zeros_like(advantages)
        elif settings.whiten_advantages:
            advantages = whitened(advantages, mask, accelerator)
    cap = settings.importance_cap
    weights = None if cap is None else importance(logp, responses.table(responses.sampled), mask, cap).weights
    return Experience(responses, mask, logp, ref_logp, advantages, weights, values, returns)


def by_group(totals: Any, responses: Responses, settings: PPO) -> Any:
    """Each response's advantage over the others to its prompt, [rows]; 0 where it is the only one, and where their scores are
    equal.

    totals: scores less the KL penalty. Of equal scores the penalty would be all that is left, which is noise.
    """
    baseline: Literal["leave_one_out", "mean"] = "leave_one_out" if settings.leave_one_out else "mean"
    groups = []
    for start, end in pairwise(responses.starts):
        group = totals[start:end]
        if equal(responses.scores[start:end], settings):
            groups.append(torch.zeros_like(group))
        else:
            groups.append(group_advantages(group[None], baseline=baseline, scale=settings.scale)[0])
    return torch.cat(groups) if groups else totals


def scaled(advantages: Any, accelerator: Any) -> Any:
    """Advantages [rows] over their root mean square, over all processes, among those that are not 0. Their mean stays what it
    is."""
    own = torch.stack([advantages.square().sum(), (advantages != 0).sum().float()])
    squares, count = accelerator.reduce(own.to(accelerator.device), "sum").tolist()
    return advantages / (squares / count) ** 0.5 if count else advantages


def figures(experience: Experience, sampled: Any, accelerator: Any, cap: float | None = None) -> dict[str, float]:
    """What is logged of an iteration's responses before the update, over all processes. cap: of importance weights."""
    e = experience
    tables = [e.logp, e.ref_logp, sampled, *([e.values, e.returns] if e.values is not None else [])]
    (mask, logp, ref_logp, seen, *critic), _ = gather_tables(accelerator, e.mask, *tables)
    tokens, rows = mask.sum().clamp(min=1), mask.any(1).sum().clamp(min=1)
    kl = kl_estimates(logp, ref_logp, mask)
    found = {
        "kl": float(kl.k1.sum() / rows),
        "kl_k3": float(kl.k3.sum() / rows),
        "mismatch": float(((seen - logp).abs() * mask).sum() / tokens),
        "mismatch_kl": float(kl_estimates(seen, logp, mask).k3.sum() / tokens),
        "length": float(tokens / rows),
    }
    if cap is not None:
        weights, truncated = importance(logp, seen, mask, cap)
        found["mismatch_weight"] = float(weights.sum() / tokens)
        found["mismatch_truncated"] = float(truncated.sum() / tokens)
    if critic:
        values, returns = critic
        found["explained_variance"] = float(explained_variance(values, returns, mask))
    return found
