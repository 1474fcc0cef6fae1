"""Batches for models that run in this process: who may share one, one after the other in a thread of its own; and sampling in which
each row has its own seed, so that what it becomes does not depend on what else is in the batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from generation.engines.base import Completion, Request, TransientError

GATHER_SECONDS = 0.01
"""How long a batch waits for company."""

Answer = Callable[[Sequence[Request]], list[Completion]]
"""Answers one batch, in its order."""


class _Waiting(NamedTuple):
    request: Request
    answer: asyncio.Future[Completion]


class Batcher:
    """Gathers requests that are made at once into batches of similar length."""

    def __init__(self, answer: Answer, batch_size: int, shape: Callable[[Request], Hashable]) -> None:
        """`answer` is called in a worker thread, with requests of one `shape`, `batch_size` at most."""
        self._answer = answer
        self._batch_size = batch_size
        self._shape = shape
        self._waiting: list[_Waiting] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, request: Request) -> Completion:
        """The answer, whatever else is in the batch. A cancelled request is left out of the next batch."""
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
        shape = self._shape(first)
        alike = [w for w in self._waiting if self._shape(w.request) == shape]
        alike.sort(key=lambda w: abs(len(w.request.tokens) - len(first.tokens)))
        batch = alike[: self._batch_size]
        chosen = set(map(id, batch))
        self._waiting = [w for w in self._waiting if id(w) not in chosen]
        return batch


def padded(requests: Sequence[Request], left: bool = False) -> tuple[Any, Any]:
    """Token ids and attention mask, [requests, longest prompt] each.

    The mask comes from the lengths, since in some models the padding token is a real one.
    """
    import torch

    longest = max(len(r.tokens) for r in requests)
    ids = torch.zeros(len(requests), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, r in enumerate(requests):
        place = slice(longest - len(r.tokens), None) if left else slice(len(r.tokens))
        ids[row, place] = torch.tensor(r.tokens)
        mask[row, place] = 1
    return ids, mask


class SeededGumbel:
    """Turns greedy choice into sampling: argmax of log-probabilities plus Gumbel noise from each row's own generator.

    The Gumbel-max trick (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). Called as transformers calls its processors of
    logits.
    """

    def __init__(self, seeds: Sequence[int], temperature: float = 1.0, top_p: float = 1.0) -> None:
        import torch

        self._temperature = temperature
        self._top_p = top_p
        self._rows = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, _ids: Any, scores: Any) -> Any:
        """Scores [rows, vocabulary] whose argmax is the sampled token."""
        return self.noisy(self.logprobs(scores))

    def logprobs(self, scores: Any) -> Any:
        """Log-probabilities of what is sampled from, [rows, vocabulary] float32: after temperature and top_p."""
        import torch

        logprobs = (scores.float() / self._temperature).log_softmax(-1)
        if self._top_p < 1:
            ordered, places = logprobs.sort(descending=True)
            before = ordered.exp().cumsum(-1) - ordered.exp()
            cut = torch.zeros_like(before, dtype=torch.bool).scatter(-1, places, before >= self._top_p)
            logprobs = logprobs.masked_fill(cut, -torch.inf).log_softmax(-1)
        return logprobs

    def noisy(self, logprobs: Any) -> Any:
        """`logprobs` with the next noise of each row taken on."""
        import torch

        width = logprobs.shape[-1]
        noise = torch.stack([torch.empty(width).exponential_(generator=row) for row in self._rows])
        return logprobs - noise.to(logprobs.device).log()

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows alone, in this order."""
        self._rows = [self._rows[row] for row in rows]
