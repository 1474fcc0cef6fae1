"""The recipes: their names, their settings, what they are for. Imports nothing heavy; `training/commands.py` runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from training.best_of.config import BestOf
from training.config import DPO, SFT, Reward, Training
from training.ppo.config import PPO


class Entry(NamedTuple):
    """A recipe on the command line."""

    kind: type[Training]
    """Its settings."""
    purpose: str


RECIPES: Mapping[str, Entry] = {
    "sft": Entry(SFT, "imitate replies: the supervised phase, on a run's accepted revisions"),
    "best_of": Entry(BestOf, "imitate the best of several replies of its own, by rules, reward models or a judge"),
    "reward": Entry(Reward, "a reward model on a run's pairs, with the judge's probability as label"),
    "dpo": Entry(DPO, "a policy on a run's pairs, without a reward model"),
    "ppo": Entry(PPO, "a policy on its own replies, rewarded by rules, reward models or a judge"),
}
