"""Sampling in which each row has its own seed, so that what it becomes does not depend on what else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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
