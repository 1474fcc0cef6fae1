"""The end of a PPO run: the weights that are saved, and the checkpoint with its card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from training.model import launch
from training.model.loading import load_policy
from training.model.modules import Policy
from training.model.rounding import Movement
from training.model.saving import as_saved, save, spread_saved
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
    """Give the policy the weights that are saved, merged and rounded. Every process must ask.

    Where weights are spread over processes, what is written is another module, in the main one. Raises UserError for weights beyond
    the range of the type they are saved in.
    """
    if not launch.sharded():
        policy.inner.tie_weights()
        return Saved(policy, as_saved(policy, job.files, job.settings))
    state, main = {}, launch.state().is_main_process
    for name, weight in policy.named_parameters():
        found = launch.whole(weight.detach())  # gathered by every process, and kept by one
        if main:
            state[name] = found.cpu()
    whole, moved = policy, None
    if main:
        whole = load_policy(job.files, job.settings)
        whole.load_state_dict(state, strict=False)  # tied weights have one name
        moved = as_saved(whole, job.files, job.settings)
    spread_saved(policy, whole, job.settings.merges)
    return Saved(whole, moved)


def write(job: PPOJob, policy: Policy, results: Mapping[str, float]) -> None:
    """The checkpoint and its card. The policy is done with afterwards."""
    save(policy, job.tokenizer, job.out, job.settings.merges, job.encoder.ends)
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
