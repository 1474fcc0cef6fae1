"""vLLM in this process: its asynchronous engine, fed with token ids."""

from __future__ import annotations

import asyncio
import math
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from pydantic import Field

from constitution.records import Strict
from generation.engines.base import (
    Completion,
    ErrorReason,
    ModelError,
    Request,
    Sampling,
    TransientError,
    Usage,
    failed,
    known_logprob,
    scored_completion,
    validate_request,
)
from generation.engines.checkpoint import ModelFiles
from generation.engines.child_processes import ChildLog, Watchdog, gather_sockets
from generation.engines.float32_head import Float32HeadWorker, has_plain_head
from generation.engines.quiet import quiet

FEW_CORES = 3
"""Up to here every core computes. vLLM keeps one for its scheduler, which costs two cores 40% of their tokens per second."""

CLOSING_SECONDS = 1.0
"""After which the engine's processes are killed. They stop work at once, and the interpreter's own exit takes longer than the five
seconds that vLLM would wait for it."""


class VLLMSettings(Strict):
    """How vLLM is set up. None leaves the choice to vLLM, or to what is best on the machine's kind."""

    max_model_len: int | None = Field(default=None, gt=0)
    """Most tokens of prompt and completion together; the model's own limit where None."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Number format of weights and activations; `auto` takes the checkpoint's."""
    enforce_eager: bool | None = None
    """Skip compilation. None: yes on a CPU (a job of minutes never earns back the start), no on a GPU."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs that share the model."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of the GPU's memory. Two models on one GPU must add up to less than 1."""
    kv_cache_gb: int = Field(default=4, ge=1)
    """KV cache in GiB, on a CPU only, for this model alone. The environment's VLLM_CPU_KVCACHE_SPACE goes before it."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Most requests in one batch."""
    block_size: int | None = Field(default=None, ge=1)
    """Tokens of one block of the KV cache. None: 32 on a CPU, where the default of 128 wastes the prefix cache."""
    seed: int = Field(default=0, ge=0)
    """Seed of requests that have none of their own."""


def unavailable() -> str | None:
    """Why vLLM cannot be used on this machine; None when it can. Imports vLLM, which takes seconds."""
    quiet()
    try:
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: F401
    except (ImportError, OSError, RuntimeError) as error:  # not installed, or a library it links to is missing
        return f"vLLM cannot be imported ({error})"
    return "vLLM is built for a device that this machine lacks" if current_platform.is_unspecified() else None


class Drawn(NamedTuple):
    """A sampled response, as tokens."""

    tokens: tuple[int, ...]
    """With the token that ended it, where one did."""
    logprobs: tuple[float, ...]
    """Of each token, in nats, as vLLM saw it; NaN where it saw none."""
    ended: bool
    """False where it was cut at the limit."""


class VLLM:
    """One model in vLLM. Continuous batching, prefix cache on, the model's own sampling defaults ignored.

    A program that opens one must guard its start with `if __name__ == "__main__":`, since vLLM spawns processes.
    """

    def __init__(
        self, files: ModelFiles, settings: VLLMSettings, more: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Load the model; takes a quarter of a minute or more. Raises ModelError.

        more: further arguments of vLLM's engine, by its own names.
        """
        quiet()
        os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
        gather_sockets()
        self._context = min(files.context, settings.max_model_len or files.context)
        self._log = ChildLog()
        self._watchdog = Watchdog()
        silent = os.environ["VLLM_LOGGING_LEVEL"] in ("ERROR", "CRITICAL")
        try:
            with self._log.capture() if silent else nullcontext(), self._watchdog.follow():
                self._llm: Any = _load(files, settings, self._context, more)
        except ImportError as error:
            raise ModelError(f"vLLM is not installed here ({error}); use --engine transformers") from error
        except (RuntimeError, ValueError, OSError) as error:
            reason = " ".join((self._log.cause() or str(error)).split())[:500]
            raise ModelError(
                f"model {files.path}: vLLM cannot load it ({reason}); lower vllm.max_model_len, vllm.kv_cache_gb or "
                "vllm.gpu_memory_utilization, see more with VLLM_LOGGING_LEVEL=INFO, or use --engine transformers"
            ) from error

        self._keeps_head = bool(self._llm.vllm_config.parallel_config.worker_extension_cls)
        self._head: asyncio.Future[Any] | None = None

    async def generate(self, request: Request) -> Completion:
        """Answer from token ids. Log-probabilities may be missing; readers check them.

        Safe to cancel: the engine then drops the request.
        """
        from vllm.exceptions import VLLMClientError, VLLMServerError

        if refused := validate_request(request, self._context):
            return refused
        if self._llm is None:
            raise TransientError("vLLM's engine is closed")
        final: Any = None
        try:
            prompt = {"prompt_token_ids": list(request.tokens)}
            await self._keep_head()
            async for output in self._llm.generate(prompt, _sampling(request), uuid.uuid4().hex):
                final = output
        except VLLMClientError as error:
            return failed(ErrorReason.BAD_REQUEST, str(error))
        except VLLMServerError as error:
            raise TransientError(f"vLLM's engine failed ({self._log.cause() or error})") from error
        return _completion(final, request)

    async def draw(self, prompt: Sequence[int], sampling: Sampling, ends: Iterable[int], adapter: Any = None) -> Drawn:
        """Sample tokens until one of `ends`. adapter: a LoRARequest, for an engine that was opened with enable_lora.

        Raises TransientError as `generate` does.
        """
        from vllm import SamplingParams
        from vllm.exceptions import VLLMServerError
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop_token_ids=sorted(ends),
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        final: Any = None
        try:
            tokens = {"prompt_token_ids": list(prompt)}
            await self._keep_head()
            async for output in self._llm.generate(tokens, parameters, uuid.uuid4().hex, lora_request=adapter):
                final = output
        except VLLMServerError as error:
            raise TransientError(f"vLLM's engine failed ({self._log.cause() or error})") from error
        answer = final.outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            raise TransientError(f"vLLM gave up on a request ({answer.finish_reason})")
        logprobs = tuple(math.nan if value is None else float(value) for value in answer.logprobs.logprobs)
        return Drawn(tuple(answer.token_ids), logprobs, answer.finish_reason == "stop")

    async def _keep_head(self) -> None:
        """On a CPU, have the workers keep the head's weights in float32; once, before the first request."""
        if self._keeps_head:
            if self._head is None:
                self._head = asyncio.ensure_future(self._llm.collective_rpc("keep_float32_head"))
            await asyncio.shield(self._head)

    async def reload(self, folder: Path) -> None:
        """Take other weights of the same shape from a folder of safetensors. No request may be under way."""
        if self._head:
            await self._head
            await self._llm.collective_rpc("give_plain_head_back")
            self._head = None
        await self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(folder)})
        await self._llm.reset_prefix_cache()

    async def reset_prefix_cache(self) -> None:
        """Forget cached prefixes, so that two measurements start alike."""
        await self._llm.reset_prefix_cache()

    async def close(self) -> None:
        """Stop the engine's processes. Requests under way raise TransientError."""
        from vllm.v1.engine.exceptions import EngineDeadError

        llm, self._llm = self._llm, None
        if llm is None:
            return
        if llm.output_handler is not None:  # first of all, or it would report the stop as a crash
            llm.output_handler.cancel()
            await asyncio.gather(llm.output_handler, return_exceptions=True)
        llm.output_processor.propagate_error(EngineDeadError())
        await asyncio.to_thread(llm.shutdown, CLOSING_SECONDS)
        self._watchdog.close()


def _load(files: ModelFiles, settings: VLLMSettings, context: int, more: Mapping[str, Any]) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    on_cpu = current_platform.is_cpu()
    if on_cpu and settings.tensor_parallel_size == 1:
        _use_every_core()
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**_arguments(files, settings, context, on_cpu), **more))


def _use_every_core() -> None:
    """Compute on all cores where there are few, one thread for each physical core."""
    from vllm.utils.cpu_resource_utils import get_allowed_cpu_list

    cores = {cpu.physical_core: cpu.id for cpu in get_allowed_cpu_list()}
    if 1 < len(cores) <= FEW_CORES:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, sorted(cores.values()))))


def _arguments(files: ModelFiles, settings: VLLMSettings, context: int, on_cpu: bool) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "model": str(files.path),
        "max_model_len": context,
        "dtype": settings.dtype,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "enforce_eager": on_cpu if settings.enforce_eager is None else settings.enforce_eager,
        "enable_prefix_caching": True,
        "generation_config": "vllm",
        "trust_remote_code": False,
        "load_format": "safetensors",
        "use_tqdm_on_load": False,
        "seed": settings.seed,
        "disable_log_stats": True,
        "enable_log_requests": False,
    }
    if on_cpu:
        # A seeded request that is prefilled in pieces kills the CPU engine, so no prompt may be split.
        arguments |= {"enable_chunked_prefill": False, "max_num_batched_tokens": max(context, 4096)}
        arguments["kv_cache_memory_bytes"] = settings.kv_cache_gb << 30
    else:
        arguments["gpu_memory_utilization"] = settings.gpu_memory_utilization
    if has_plain_head(files):
        arguments["hf_overrides"] = {"head_dtype": "float32"}
        if on_cpu:
            arguments["worker_extension_cls"] = f"{Float32HeadWorker.__module__}.{Float32HeadWorker.__qualname__}"
    block_size = settings.block_size or (32 if on_cpu else None)
    optional = {"block_size": block_size, "max_num_seqs": settings.max_num_seqs}
    return arguments | {name: value for name, value in optional.items() if value is not None}


def _sampling(request: Request) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    if request.scored:
        # 0 asks for each prompt token alone. vLLM then reads nothing from its prefix cache, where there are no logits.
        return SamplingParams(
            max_tokens=1,
            temperature=0.0,
            prompt_logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
    s = request.sampling
    return SamplingParams(
        max_tokens=s.max_tokens,
        temperature=s.temperature,
        top_p=s.top_p,
        seed=s.seed,
        stop=list(s.stop) or None,
        stop_token_ids=list(s.ends) or None,
        logprob_token_ids=[token for _, token in request.labels] or None,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: Any, request: Request) -> Completion:
    """Raises TransientError for an answer that the engine gave up on."""
    answer = output.outputs[0]
    if answer.finish_reason in ("abort", "error"):
        raise TransientError(f"vLLM gave up on a request ({answer.finish_reason})")
    if request.scored:
        usage = Usage(len(request.tokens), output.num_cached_tokens or 0, 0)
        return scored_completion(output.prompt_logprobs.logprobs[-request.scored :], usage)
    first = answer.logprobs[0] if request.labels and answer.logprobs else {}
    known = ((label, known_logprob(first[token].logprob)) for label, token in request.labels if token in first)
    logprobs = {label: value for label, value in known if value is not None}
    usage = Usage(len(request.tokens), output.num_cached_tokens or 0, len(answer.token_ids))
    return Completion(answer.text, "length" if answer.finish_reason == "length" else "stop", logprobs, usage)
