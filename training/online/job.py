"""Settings of `dpo --online` -> a job that is checked through before any weights load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from constitution.errors import Problem, UserError
from generation.output.folder import day_of
from training.model import launch
from training.online.config import OnlineDPO, own_place
from training.ppo import job as ppo_job
from training.ppo.job import PPOJob
from training.run.snapshot import settings_snapshot


def prepare(settings: OnlineDPO, out: Path) -> PPOJob:
    """As `ppo.job.prepare`, of the loop that the settings name. Raises UserError with every problem that is found."""
    if launch.sharded():
        fix = "launch it with configs/accelerate/ddp.yaml, and set lora: {r: 16} where memory is short"
        raise UserError(Problem("", "distributed_type", "dpo --online keeps whole weights in each process", fix=fix))
    try:
        job = ppo_job.prepare(settings.loop(), out)
    except UserError as error:
        raise UserError(own_place(problem) for problem in error.problems) from None
    fitting = settings.model_copy(update={"max_length": job.settings.max_length})
    digests = job.run_record["digests"]
    return replace(job, recipe="dpo", run_record=settings_snapshot("dpo", fitting, digests, day_of(out)))
