"""Responses from vLLM, which takes over the policy's weights before each iteration, and the choice between it and transformers."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from asyncio import gather
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from constitution.terminal import complain
from generation.engines.base import ModelError, Sampling
from generation.engines.checkpoint import ModelFiles, load_config
from generation.engines.vllm import VLLM, unavailable
from generation.scratch import Scratch, place
from training.config import Training
from training.data.encode import PromptRow
from training.model import launch
from training.model.checkpoint.configs import write_model
from training.model.modules import Policy
from training.rollout.config import SamplerSettings
from training.rollout.rollouts import Generate, Rollout, Writer, whole_weights
from training.run.card import RANKS

HANDED = "solon-weights"
"""Name of the folders through which weights are handed over."""


class FromVLLM:
    """Responses by vLLM in a process of its own. Under LoRA it is given the new adapter, otherwise all weights, through a folder,
    which is in memory where there is room.

    Where several processes train, each has an engine, on its GPU, for its own prompts; on each machine one of them writes the
    weights for all. Weights that are spread over processes are gathered first, an adapter's update added.
    Responses follow the seeds, but vLLM does not promise the same bits whatever else is in a batch.
    """

    def __init__(
        self,
        settings: Training,
        sampler: SamplerSettings,
        files: ModelFiles,
        ends: frozenset[int],
        runner: asyncio.Runner,
    ) -> None:
        """Open the engine. ends: token ids that end a response. Raises ModelError where it cannot be opened."""
        self._settings = sampler
        self._ends = ends
        self._runner = runner
        size = sum(file.stat().st_size for file in Path(files.path).glob("*.safetensors"))
        self._writes = bool(launch.state().is_local_main_process)
        parent = memory_folder(2 * size) or Path(tempfile.gettempdir())
        # the same name on every machine, each of which has its own
        parent, token = broadcast_object_list([parent, secrets.token_hex(8)])
        self._scratch = Scratch(parent, HANDED, token) if self._writes else None
        self._folder = place(parent, HANDED, token)
        self._turn = 0
        self._adapter: Any = None
        lora = None if launch.sharded() else settings.lora
        if lora and lora.r > RANKS[-1]:
            raise ModelError(f"lora.r: got {lora.r}, and vLLM takes at most {RANKS[-1]}; set sampler.engine: generate")
        length = sampler.vllm.max_model_len or settings.max_length
        if told := other_frequencies(load_config(files), length):
            complain(f"sampler.vllm: {told}")
        vllm = sampler.vllm.model_copy(update={"max_model_len": length})
        more: dict[str, Any] = {"logprobs_mode": "processed_logprobs"}
        if lora:
            more |= {"enable_lora": True, "max_loras": 1, "max_lora_rank": next(r for r in RANKS if r >= lora.r)}

        async def opened() -> VLLM:
            return VLLM(files, vllm, more)  # an engine belongs to the loop in which it is opened

        with launch.alone():
            self._engine: VLLM = runner.run(opened())

    def refresh(self, policy: Policy, iteration: int) -> None:
        """Hand over the weights as they are now."""
        self._turn += 1
        alone = policy.adapted and not launch.sharded()
        folder = self._folder / f"{'adapter' if alone else 'weights'}-{self._turn % 2}"  # vLLM reads all that is in one
        if alone:
            if self._writes:
                policy.model.save_pretrained(folder)
            self._adapter = _adapter(self._turn, folder)
            launch.state().wait_for_everyone()
            return
        self._adapter = None  # where there was one, it is merged
        named = self._settings.vllm.dtype
        kind = policy.base_dtype if named == "auto" else getattr(torch, named)
        weights = whole_weights(policy.inner) if launch.sharded() else policy.inner.state_dict().items()
        # what is spread is gathered as it is asked for, by every process
        state = {name: value.detach().to(kind).cpu() for name, value in weights if self._writes}
        if self._writes:
            write_model(policy.inner, policy.base_folder, folder, state_dict=state)
        launch.state().wait_for_everyone()
        self._runner.run(self._engine.reload(folder))

    def write(self, prompts: Sequence[PromptRow], seeds: Sequence[Sequence[int]]) -> list[list[Rollout]]:
        """All responses at once. Raises TransientError when the engine fails."""

        async def one(prompt: PromptRow, seed: int) -> Rollout:
            s = self._settings
            sampling = Sampling(s.max_tokens, s.temperature, s.top_p, seed)
            return Rollout(*await self._engine.draw(prompt.tokens, sampling, self._ends, self._adapter))

        async def all_of_them() -> list[Rollout]:
            return await gather(
                *(one(prompt, seed) for prompt, own in zip(prompts, seeds, strict=True) for seed in own)
            )

        written = iter(self._runner.run(all_of_them()))
        return [[next(written) for _ in own] for own in seeds]

    def close(self) -> None:
        """Stop the engine's processes and delete the folder."""
        self._runner.run(self._engine.close())
        if self._scratch:
            self._scratch.close()


def other_frequencies(config: Any, length: int) -> str:
    """What is to be told of a model with LongRoPE that vLLM runs with room for `length` tokens; empty where it samples from the
    distribution that is trained.

    vLLM takes the frequencies of long sequences for all as soon as there is room for one; training takes each sequence's own.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    limit = rope.get("original_max_position_embeddings") if rope.get("rope_type") == "longrope" else None
    if not limit or length <= limit:
        return ""
    return (
        f"with room for {length:,} tokens vLLM reads every sequence of this model (LongRoPE) as those beyond {limit:,}, and "
        f"training reads each by its own length; set max_length: {limit}, or sampler.engine: generate"
    )


def memory_folder(size: int, shared: Path = Path("/dev/shm")) -> Path | None:
    """The folder of shared memory, where it has room for so many bytes twice over; None where the disk is to be used."""
    return shared if shared.is_dir() and shutil.disk_usage(shared).free > 2 * size else None


def _adapter(number: int, folder: Path) -> Any:
    """An adapter under a name of its own, so that nothing cached of another is taken for it."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(f"policy-{number}", number, str(folder))


def open_writer(
    settings: Training, sampler: SamplerSettings, files: ModelFiles, ends: frozenset[int], runner: asyncio.Runner
) -> Writer:
    """The sampler that the settings name, of the policy in `files`.

    settings: those of its training. ends: token ids that end a response. Raises ModelError where it cannot be opened.
    """
    engine = sampler.engine
    if engine == "auto":
        alone = launch.state().num_processes == 1
        fits = alone and not launch.on_cpu() and settings.quantize is None and find_spec("vllm") and not unavailable()
        engine = "vllm" if fits else "generate"
    if engine == "generate":
        return Generate(sampler, ends, files, settings.precision == "bf16")
    if reason := unavailable():
        raise ModelError(f"sampler.engine: got vllm, and {reason}; set sampler.engine: generate")
    return FromVLLM(settings, sampler, files, ends, runner)
