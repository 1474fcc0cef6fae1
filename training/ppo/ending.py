"""The end of a PPO run: the weights that are saved, and the checkpoint with its card."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from torch import Tensor

from training.model import launch, saving
from training.model.loading import load_policy
from training.model.modules import Policy
from training.model.rounding import Movement
from training.ppo.job import PPOJob
from training.rollout.rewards import CONSTITUTIONS
from training.run.card import Base, Data, write_card


class Saved(NamedTuple):
    """What is to be written."""

    policy: Policy
    """In the main process with all its weights."""
    moved: Movement | None = None
    """How far they are from the base's, where that is known."""


def settle(job: PPOJob, policy: Policy) -> Saved:
    """Give the policy the weights that are saved, as `saving.settle` does. Every process must ask."""

    def gathered() -> dict[str, Tensor]:
        state = {}
        for name, weight in policy.state_dict().items():
            found = launch.whole(weight)  # gathered by every process, and kept by one
            if launch.state().is_main_process:
                state[name] = found.cpu()
        return state

    if not launch.sharded():
        policy.inner.tie_weights()
    load = partial(load_policy, job.files, job.settings)
    return Saved(*saving.settle(policy, job.files, job.settings, gathered, load))


def write(job: PPOJob, policy: Policy, results: Mapping[str, float]) -> None:
    """The checkpoint and its card. The policy is done with afterwards."""
    saving.save(policy, job.tokenizer, job.out, job.settings.merges, job.encoder.ends)
    write_card(
        job.out,
        recipe=job.recipe,
        base=Base(job.files.name, job.files.digest),
        data=[Data(source.name, source.digest, source.rows, source.weight) for source in job.sources],
        constitutions=[d for name, d in job.rewards.digests.items() if name in CONSTITUTIONS],
        settings=job.run_record,
        results=results,
        license=job.settings.license,
    )
