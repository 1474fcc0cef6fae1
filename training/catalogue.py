"""The commands that train: their names, their settings models, what they are for.

Settings models are named, not imported: help must not wait for the models of recipes that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from constitution.listing import model_named

LOOP = "loop"


class Entry(NamedTuple):
    """A command."""

    settings: str
    """Dotted name of its settings model."""
    purpose: str
    example: str
    """A setting, as `--set` takes it."""
    online: str = ""
    """Dotted name of its settings model with `--online`; empty where there is no such flag."""


COMMANDS: Mapping[str, Entry] = {
    "sft": Entry(
        "training.recipes.config.SFT", "supervised fine-tuning, as on the accepted revisions of a run", "lora.r=8"
    ),
    "best_of": Entry(
        "training.best_of.config.BestOf",
        "rejection sampling: supervised fine-tuning on the best of several responses of the policy",
        "samples=8",
    ),
    "reward": Entry(
        "training.recipes.config.Reward",
        "a reward model on preference pairs, with the judge's probability as label",
        "heads=4",
    ),
    "dpo": Entry(
        "training.recipes.config.DPO",
        "direct preference optimization on preference pairs, without a reward model",
        "beta=0.1",
        "training.online.config.OnlineDPO",
    ),
    "simpo": Entry(
        "training.recipes.config.SimPO",
        "simple preference optimization on preference pairs: no reference, log-probabilities per token",
        "gamma=1.0",
    ),
    "orpo": Entry(
        "training.recipes.config.ORPO",
        "fine-tuning and preference in one, by the odds ratio: no reference",
        "odds_weight=0.1",
    ),
    "kto": Entry(
        "training.recipes.config.KTO",
        "Kahneman-Tversky optimization on single responses that are good or bad, or on both responses of pairs",
        "undesirable_weight=1.3",
    ),
    "process": Entry(
        "training.recipes.config.Process",
        "a process reward model on responses whose steps are labelled",
        "aggregate=product",
    ),
    "ppo": Entry(
        "training.ppo.config.PPO",
        "reinforcement learning on the policy's own responses, rewarded by rules, reward models or a judge",
        "kl.coefficient=0.05",
    ),
    LOOP: Entry(
        "training.loop.config.LoopConfig",
        "round after round: sample, label, train, evaluate, and keep what passes the gates",
        "retry.times=2",
    ),
}


def settings_model(name: str, online: bool = False) -> type[Any]:
    """The pydantic model of a command's settings. online: with that flag."""
    return model_named(COMMANDS[name].online if online else COMMANDS[name].settings)
