"""Responses without a reward: each is left out by itself."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from constitution.records import Failure, Prompt, Response
from generation.settings import load
from tests.training.ppo_small import numbers, small_inputs
from training.ppo import trainer as ppo
from training.ppo.config import PPO
from training.ppo.job import prepare
from training.rollout.rewards import RewardSum
from training.rollout.rules import Part
from training.run.metrics import read


class FirstFails:
    """Rewards all but the first response to a prompt."""

    digests: Mapping[str, str] = {"first-fails": "0"}

    async def grade(self, prompt: Prompt, response: Response, ended: bool) -> Part | Failure:
        if response.id.endswith("/s0"):
            return Failure(prompt.id, "reward", "odd", subject=response.id)
        return Part(float(len(response.message.content)), {})

    async def close(self) -> None:
        pass


def test_a_failure_leaves_the_prompts_other_responses_in(tmp_path: Path) -> None:
    settings = load(PPO, None, [], {**small_inputs(tmp_path), "baseline": "group", "steps": 1})
    job = replace(prepare(settings, tmp_path / "run"), rewards=RewardSum({"own": (1.0, FirstFails())}))
    ppo.run(job, Console(quiet=True))
    (values,) = numbers(read(tmp_path / "run" / "metrics.jsonl"))
    assert (values["rewarded"], values["failed"]) == (12.0, 4.0)
