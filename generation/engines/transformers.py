"""transformers in this process: for machines where vLLM has no wheel. Slower, same answers for the same seed."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from constitution.records import Strict
from generation.engines.base import (
    Completion,
    ErrorReason,
    ModelError,
    Request,
    Usage,
    failed,
    known_logprob,
    scored_completion,
    validate_request,
)
from generation.engines.batching import Batcher, SeededGumbel, padded
from generation.engines.checkpoint import (
    ModelFiles,
    check_weights,
    end_tokens,
    exact_attention,
    load_config,
    load_tokenizer,
)
from generation.engines.float32_head import compute_head_in_float32
from generation.engines.quiet import quiet

LOGITS = 1 << 28
"""Most logits that scoring makes at once: 1 GiB in float32."""


class TransformersSettings(Strict):
    """How transformers runs the model."""

    batch_size: int = Field(default=32, ge=1)
    """Most requests in one batch."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Precision of the weights; `auto` takes the checkpoint's."""
    device: str = "auto"
    """`auto` takes a GPU where there is one."""


class Transformers:
    """One model in transformers, in batches of requests with the same sampling."""

    def __init__(self, files: ModelFiles, settings: TransformersSettings) -> None:
        """Load the model. Raises ModelError."""
        quiet()
        from transformers import AutoModelForCausalLM, GenerationConfig

        self._context = files.context
        self._tokenizer = load_tokenizer(files)
        self._model = load_model(AutoModelForCausalLM, files, settings)
        self._ends = end_tokens(self._model.generation_config.eos_token_id) | end_tokens(self._tokenizer.eos_token_id)
        # In place of the model's own, which may sample or penalise in its own way
        self._model.generation_config = GenerationConfig()
        compute_head_in_float32(self._model)
        self._narrows = "logits_to_keep" in inspect.signature(self._model.forward).parameters
        self._batcher = Batcher(self._answer, settings.batch_size, _shape)

    async def generate(self, request: Request) -> Completion:
        """Answer from token ids, whatever else is in the batch. A cancelled request is left out of the next batch."""
        return (
            validate_request(request, self._context)
            or unknown_tokens(request, self._model)
            or await self._batcher.ask(request)
        )

    async def close(self) -> None:
        """Stop the worker thread when its batch is done. Requests still waiting raise TransientError."""
        await self._batcher.close()

    def _answer(self, requests: Sequence[Request]) -> list[Completion]:
        """One batch, in the worker thread."""
        return self._scores(requests) if requests[0].scored else self._texts(requests)

    def _scores(self, requests: Sequence[Request]) -> list[Completion]:
        """Logits of the last positions alone, in as many parts as memory asks for."""
        import torch

        ids, mask = padded(requests)  # on the right, where it touches no position before it
        keep = ids.shape[1] - min(len(r.tokens) - r.scored for r in requests) + 1
        half = len(requests) // 2
        if half and len(requests) * keep * self._model.config.get_text_config().vocab_size > LOGITS:
            return [*self._scores(requests[:half]), *self._scores(requests[half:])]
        device = self._model.device
        narrow = {"logits_to_keep": keep} if self._narrows else {}
        with torch.inference_mode():
            out = self._model(ids.to(device), attention_mask=mask.to(device), use_cache=False, **narrow)
            logits = out.logits[:, -keep:]
            rows = [_target_logprobs(logits[i], ids.shape[1] - keep, r) for i, r in enumerate(requests)]
        return [scored_completion(row, Usage(len(r.tokens))) for r, row in zip(requests, rows, strict=True)]

    def _texts(self, requests: Sequence[Request]) -> list[Completion]:
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        sampling = requests[0].sampling
        ids, mask = padded(requests, left=True)
        longest = ids.shape[1]
        watch = _FirstLogprobs([[token for _, token in r.labels] for r in requests])
        processors = [watch, *([_gumbel(requests)] if sampling.temperature else [])]
        stops = [_Stop(self._tokenizer, sampling.stop, longest)] if sampling.stop else []
        # rows that are done are filled with an end token, so that the first one ends a row whatever ended it
        ends = sorted(self._ends.union(sampling.ends))
        device = self._model.device
        with torch.inference_mode():
            out = self._model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=sampling.max_tokens,
                eos_token_id=ends or None,
                pad_token_id=min(ends, default=0),
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList(stops),
            )
        rows = out[:, longest:].tolist()
        return [self._completion(*each) for each in zip(requests, rows, watch.logprobs, strict=True)]

    def _completion(self, request: Request, generated: list[int], logprobs: list[float]) -> Completion:
        ends = self._ends.union(request.sampling.ends)
        end = next((i for i, token in enumerate(generated) if token in ends), None)
        tokens = generated[:end]
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        cut = min((text.index(stop) for stop in request.sampling.stop if stop in text), default=None)
        known = zip(request.labels, map(known_logprob, logprobs), strict=True)
        labels = {label: value for (label, _), value in known if value is not None}
        ended = end is not None and cut is None  # after a stop string, end tokens are padding
        usage = Usage(len(request.tokens), 0, len(tokens) + ended)
        return Completion(text[:cut], "length" if end is None and cut is None else "stop", labels, usage)


def load_model(kind: Any, files: ModelFiles, settings: TransformersSettings) -> Any:
    """The checkpoint as `kind`, one of transformers' AutoModel classes. Raises ModelError."""
    import torch

    config = load_config(files)
    device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model, report = kind.from_pretrained(
            files.path,
            dtype=settings.dtype,
            attn_implementation=exact_attention(config),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # check_weights refuses them, with their names
            output_loading_info=True,
        )
        check_weights(model, report, files)
        return model.to(device).eval()
    except ModelError:
        raise
    except Exception as error:  # a wrong value in config.json may raise anything
        reason = " ".join(str(error).split())[:500]
        raise ModelError(
            f"model {files.path}: transformers cannot load it ({reason}); check the folder, transformers.device "
            "and transformers.dtype"
        ) from error


def unknown_tokens(request: Request, model: Any) -> Completion | None:
    """The error of a request with no tokens or with some that the model has not; None for others."""
    vocabulary = int(model.get_input_embeddings().num_embeddings)
    if request.tokens and max(request.tokens) < vocabulary:
        return None
    return failed(ErrorReason.BAD_REQUEST, f"token ids must be some, each below {vocabulary}")


def _shape(request: Request) -> Hashable:
    """Equal for requests that can share a batch: all those for scores, and texts sampled alike."""
    return None if request.scored else replace(request.sampling, seed=None)


def _gumbel(requests: Sequence[Request]) -> SeededGumbel:
    seeds = [r.index if r.sampling.seed is None else r.sampling.seed for r in requests]
    return SeededGumbel(seeds, requests[0].sampling.temperature, requests[0].sampling.top_p)


def _target_logprobs(logits: Any, start: int, request: Request) -> list[float]:
    """Log-probability of each scored token, at the position before it. logits: [positions, vocabulary], the first at `start`."""
    import torch

    first = len(request.tokens) - request.scored - 1 - start
    table = logits[first : first + request.scored].float().log_softmax(-1)
    targets = torch.tensor(request.tokens[-request.scored :], device=table.device)
    scores: list[float] = table.gather(-1, targets[:, None]).squeeze(-1).tolist()
    return scores


class _Stop:
    """Ends a row when its text, prompt left out, holds a stop string."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], prompt: int) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._prompt = prompt
        self._reach = max(len(stop.encode()) for stop in stops) + 4
        """Last tokens that can hold a stop string: a token is a byte at least, and one character may straddle the edge."""

    def __call__(self, ids: Any, _scores: Any) -> Any:
        import torch

        tails = ids[:, self._prompt :][:, -self._reach :].tolist()
        texts = self._tokenizer.batch_decode(tails, skip_special_tokens=True)
        return torch.tensor([any(stop in text for stop in self._stops) for text in texts], device=ids.device)


class _FirstLogprobs:
    """Keeps the log-probabilities of each row's label tokens at the first position."""

    def __init__(self, labels: list[list[int]]) -> None:
        self._labels = labels
        self.logprobs: list[list[float]] = []

    def __call__(self, _ids: Any, scores: Any) -> Any:
        if not self.logprobs:
            table = scores.float().log_softmax(-1)
            self.logprobs = [table[row, tokens].tolist() if tokens else [] for row, tokens in enumerate(self._labels)]
        return scores
