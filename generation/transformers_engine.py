"""transformers in this process: for machines where vLLM has no wheel. Slower, same answers for the same seed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from pydantic import Field

from constitution.records import Strict
from generation.engine import Completion, ModelError, Request, TransientError, Usage
from generation.models import ModelFiles, load_tokenizer
from generation.quiet import quiet

GATHER_SECONDS = 0.01
"""How long a batch waits for company."""


class TransformersSettings(Strict):
    """How transformers runs the model."""

    batch_size: int = Field(default=32, ge=1)
    """Most requests in one batch."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    device: str = "auto"
    """`auto` takes a GPU where there is one."""


class _Waiting(NamedTuple):
    request: Request
    answer: asyncio.Future[Completion]


class Transformers:
    """One model in transformers, in batches of requests with the same sampling."""

    def __init__(self, files: ModelFiles, settings: TransformersSettings) -> None:
        """Load the model. Raises ModelError."""
        quiet()
        import torch
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM, GenerationConfig

        self._context = files.context
        self._batch_size = settings.batch_size
        self._tokenizer = load_tokenizer(files)
        device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model = AutoModelForCausalLM.from_pretrained(
                files.path, dtype=settings.dtype, trust_remote_code=False, use_safetensors=True, local_files_only=True
            )
            self._model: Any = model.to(device).eval()
        except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:500]
            raise ModelError(
                f"model {files.path}: transformers cannot load it ({reason}); check the folder, transformers.device "
                "and transformers.dtype"
            ) from error
        named = self._model.generation_config.eos_token_id
        ends = {*(named if isinstance(named, list) else [named]), self._tokenizer.eos_token_id} - {None}
        self._ends: frozenset[int] = frozenset(ends)
        # In place of the model's own, which may sample or penalise in its own way. Rows that are done are filled with an
        # end token, so that the first one ends a row whatever ended it.
        self._model.generation_config = GenerationConfig(
            eos_token_id=sorted(ends) or None, pad_token_id=min(ends, default=0)
        )
        self._vocabulary = int(self._model.get_input_embeddings().num_embeddings)
        self._waiting: list[_Waiting] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transformers")
        self._worker: asyncio.Task[None] | None = None

    async def generate(self, request: Request) -> Completion:
        """Answer from token ids, whatever else is in the batch. A cancelled request is left out of the next batch."""
        need = len(request.tokens) + request.sampling.max_tokens
        if need > self._context:
            return Completion("", "error", error=f"prompt_too_long: {need} tokens > context of {self._context}")
        if not request.tokens or max(request.tokens) >= self._vocabulary:
            return Completion("", "error", error=f"bad_request: token ids must be some, each below {self._vocabulary}")
        waiting = _Waiting(request, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def close(self) -> None:
        """Stop the worker thread when its batch is done. Requests still waiting raise TransientError."""
        for item in self._waiting:
            if not item.answer.done():
                item.answer.set_exception(TransientError("the transformers engine is closed"))
        self._waiting.clear()
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self) -> None:
        """Batches until nobody waits."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(GATHER_SECONDS)
        while batch := self._next_batch():
            try:
                completions = await loop.run_in_executor(self._thread, self._answer, [item.request for item in batch])
            except Exception as error:  # whoever waits must hear of it, whatever it is
                for item in batch:
                    if not item.answer.done():
                        item.answer.set_exception(
                            TransientError(f"transformers failed on {len(batch)} requests ({error})")
                        )
                continue
            for item, completion in zip(batch, completions, strict=True):
                if not item.answer.done():
                    item.answer.set_result(completion)

    def _next_batch(self) -> list[_Waiting]:
        """The longest-waiting request and those it can share a batch with, of similar length to save padding."""
        self._waiting = [w for w in self._waiting if not w.answer.done()]  # done means cancelled
        if not self._waiting:
            return []
        first = self._waiting[0].request
        shape = replace(first.sampling, seed=None)
        alike = [w for w in self._waiting if replace(w.request.sampling, seed=None) == shape]
        alike.sort(key=lambda w: abs(len(w.request.tokens) - len(first.tokens)))
        batch = alike[: self._batch_size]
        chosen = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in chosen]
        return batch

    def _answer(self, requests: Sequence[Request]) -> list[Completion]:
        """One batch, in the worker thread. ids and mask: [requests, longest prompt], padded on the left."""
        import torch
        from transformers import LogitsProcessorList, StoppingCriteriaList

        sampling = requests[0].sampling
        longest = max(len(r.tokens) for r in requests)
        ids = torch.zeros(len(requests), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)  # from lengths: in some models the padding token is a real one
        for row, r in enumerate(requests):
            ids[row, longest - len(r.tokens) :] = torch.tensor(r.tokens)
            mask[row, longest - len(r.tokens) :] = 1
        watch = _FirstLogprobs([[token for _, token in r.labels] for r in requests])
        processors = [watch, *([_SeededGumbel(requests)] if sampling.temperature else [])]
        stops = [_Stop(self._tokenizer, sampling.stop, longest)] if sampling.stop else []
        device = self._model.device
        with torch.inference_mode():
            out = self._model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                max_new_tokens=sampling.max_tokens,
                logits_processor=LogitsProcessorList(processors),
                stopping_criteria=StoppingCriteriaList(stops),
            )
        rows = out[:, longest:].tolist()
        return [self._completion(*each) for each in zip(requests, rows, watch.logprobs, strict=True)]

    def _completion(self, request: Request, generated: list[int], logprobs: list[float]) -> Completion:
        end = next((i for i, token in enumerate(generated) if token in self._ends), None)
        tokens = generated[:end]
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        cut = min((text.index(stop) for stop in request.sampling.stop if stop in text), default=None)
        labels = {label: value for (label, _), value in zip(request.labels, logprobs, strict=True)}
        ended = end is not None and cut is None  # after a stop string, end tokens are padding
        usage = Usage(len(request.tokens), 0, len(tokens) + ended)
        return Completion(text[:cut], "length" if end is None and cut is None else "stop", labels, usage)


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


class _SeededGumbel:
    """Turns greedy choice into sampling with each row's own seed: argmax of log-probabilities plus Gumbel noise.

    The Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). A row's noise is its own generator's, so its
    text does not depend on what else is in the batch.
    """

    def __init__(self, requests: Sequence[Request]) -> None:
        import torch

        self._temperature = requests[0].sampling.temperature
        self._top_p = requests[0].sampling.top_p
        self._rows = [
            torch.Generator().manual_seed(r.index if r.sampling.seed is None else r.sampling.seed) for r in requests
        ]

    def __call__(self, _ids: Any, scores: Any) -> Any:
        import torch

        logits = (scores.float() / self._temperature).log_softmax(-1)
        if self._top_p < 1:
            ordered, places = logits.sort(descending=True)
            before = ordered.exp().cumsum(-1) - ordered.exp()
            cut = torch.zeros_like(before, dtype=torch.bool).scatter(-1, places, before >= self._top_p)
            logits = logits.masked_fill(cut, -torch.inf)
        width = logits.shape[-1]
        noise = torch.stack([torch.empty(width).exponential_(generator=row) for row in self._rows])
        return logits - noise.to(logits.device).log()
