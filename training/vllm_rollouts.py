"""Replies from vLLM, and the choice between it and transformers."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

import torch

from training.ppo_job import PPOJob
from training.rollouts import Generate, Writer


def open_writer(job: PPOJob, ends: frozenset[int], mixed: bool, runner: asyncio.Runner) -> Writer:
    """The sampler that the settings name. Raises ModelError where it cannot be opened."""
    return Generate(job.settings.sampler, ends, job.files, mixed)
