"""How one row of tokens is made up of prompts and responses: what attention asks of a packed batch.

Made where the batch is made, on the CPU, so that no layer ever waits for a GPU to say how long something is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """Each piece is a prompt, or a response that sees the prompt before it too."""

    sizes: list[int]
    """Tokens of each piece, in order."""
    prompts: list[int | None]
    """Which piece is the prompt of each; None for a prompt."""
    gather: Tensor
    """[K] places of the keys, piece after piece with its prompt's before it; for variable-length kernels."""
    queries: Tensor
    """[pieces + 1] where each piece's queries begin, int32."""
    keys: Tensor
    """[pieces + 1] where each piece's keys begin, int32."""
    longest: tuple[int, int]
    """Most queries and most keys of a piece."""

    @property
    def groups(self) -> list[tuple[int, list[int]]]:
        """Tokens of each prompt, and of the responses to it: what `segments` makes them of."""
        found: list[tuple[int, list[int]]] = []
        for n, home in zip(self.sizes, self.prompts, strict=True):
            if home is None:
                found.append((n, []))
            else:
                found[-1][1].append(n)
        return found

    @cached_property
    def masks(self) -> list[Tensor | None]:
        """[tokens, prompt + tokens] bool of each response: what each token sees. None for a prompt, which is plainly causal."""
        return [
            None
            if home is None
            else torch.ones(n, self.sizes[home] + n, dtype=torch.bool, device=self.gather.device).tril(self.sizes[home])
            for n, home in zip(self.sizes, self.prompts, strict=True)
        ]

    def to(self, device: Any, non_blocking: bool = False) -> Segments:
        """A copy whose tensors are on a device, by the name under which libraries move what a batch holds."""
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Segments:
        """A copy whose tensors are in memory from which a GPU reads by itself; asked by data loaders."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self, change: Callable[[Tensor], Tensor]) -> Segments:
        return replace(self, gather=change(self.gather), queries=change(self.queries), keys=change(self.keys))


def segments(lengths: Sequence[tuple[int, Sequence[int]]]) -> Segments:
    """lengths: of each prompt, and of the responses to it, in the order of the row."""
    sizes: list[int] = []
    prompts: list[int | None] = []
    counts: list[int] = []
    spans: list[NDArray[np.int64]] = []
    start = 0
    for prompt, responses in lengths:
        home, begin = len(sizes), np.arange(start, start + prompt)
        sizes.append(prompt)
        prompts.append(None)
        counts.append(prompt)
        spans.append(begin)
        start += prompt
        for n in responses:
            sizes.append(n)
            prompts.append(home)
            counts.append(prompt + n)
            spans += [begin, np.arange(start, start + n)]
            start += n
    gather, queries, keys = (torch.from_numpy(x) for x in (np.concatenate(spans), _starts(sizes), _starts(counts)))
    return Segments(sizes, prompts, gather, queries, keys, (max(sizes), max(counts)))


def _starts(sizes: list[int]) -> NDArray[np.int32]:
    return np.cumsum([0, *sizes], dtype=np.int32)
