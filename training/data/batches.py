"""Token ids -> the tensors of one micro-batch, and the order in which rows are seen.

A batch is a mapping of tensors, and of segments that move as tensors do, so that every library can move it. Responses are
numbered in order over the examples.

    tokens, positions  [1, T] packed, each prompt once and its responses after it; [R, L] padded, the prompt before each response
    where              [N] place, in the flattened tokens, of the hidden state that predicts each trained token
    targets            [N] those tokens
    row                [N] the response that each belongs to
    last               [R] place of each response's last token, trained or not
    lengths            [R] trained tokens of each response
    segments           how the row is made up of prompts and responses, for attention; packed only
    mask               [R, L] which tokens are real; padded only

A token that is not trained is read by those after it, and is no target: whatever counts or sums targets passes over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.segments import segments

Layout = Literal["packed", "padded"]
Batch = dict[str, Any]

MEGABATCH = 50
"""Batches among which rows are sorted by length; more would make the order of lengths too regular."""


class Example(NamedTuple):
    """One prompt and the responses to it, as token ids."""

    prompt: Sequence[int]
    responses: Sequence[Sequence[int]]
    """None is empty."""
    trained: Sequence[Sequence[bool]] | None = None
    """Which tokens of each response are learnt, some of each; None where all are."""

    @property
    def size(self) -> int:
        """Tokens, the prompt counted once."""
        return len(self.prompt) + sum(map(len, self.responses))

    @property
    def lengths(self) -> list[int]:
        """Trained tokens of each response."""
        return [*map(len, self.responses)] if self.trained is None else [*map(sum, self.trained)]


def collate(examples: Sequence[Example], layout: Layout) -> Batch:
    """The batch of some examples; see the module."""
    return _packed(examples) if layout == "packed" else _padded(examples)


def _packed(examples: Sequence[Example]) -> Batch:
    parts: list[Sequence[int]] = []
    positions: list[NDArray[np.int64]] = []
    where: list[NDArray[np.int64]] = []
    last: list[int] = []
    first = 0
    for prompt, responses, _ in examples:
        n, before = len(prompt), first + len(prompt) - 1
        parts.append(prompt)
        positions.append(np.arange(n))
        first += n
        for response in responses:
            parts.append(response)
            positions.append(np.arange(n, n + len(response)))
            where.append(np.arange(first - 1, first - 1 + len(response)))
            where[-1][0] = before  # the prompt's last token, which may lie before another response
            first += len(response)
            last.append(first - 1)
    return {
        "tokens": _flat(parts)[None],
        "positions": torch.from_numpy(np.concatenate(positions))[None],
        **_responses(examples, where, last),
        "segments": segments([(len(e.prompt), [len(response) for response in e.responses]) for e in examples]),
    }


def _padded(examples: Sequence[Example]) -> Batch:
    rows = [(len(e.prompt), [*e.prompt, *response]) for e in examples for response in e.responses]
    longest = max(len(ids) for _, ids in rows)
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    where, last = [], []
    for i, (n, ids) in enumerate(rows):
        tokens[i, : len(ids)] = _flat([ids])
        mask[i, : len(ids)] = 1
        where.append(np.arange(i * longest + n - 1, i * longest + len(ids) - 1))
        last.append(i * longest + len(ids) - 1)
    positions = torch.arange(longest).repeat(len(rows), 1)  # no view of one row: memory for a GPU is pinned
    return {"tokens": tokens, "positions": positions, "mask": mask, **_responses(examples, where, last)}


def _responses(examples: Sequence[Example], where: Sequence[NDArray[np.int64]], last: Sequence[int]) -> Batch:
    """where: the place before each token of each response, trained or not."""
    lengths = torch.tensor([n for e in examples for n in e.lengths])
    places = torch.from_numpy(np.concatenate(where))
    targets = _flat([response for e in examples for response in e.responses])
    if any(e.trained is not None for e in examples):
        trained = torch.from_numpy(np.concatenate([_trained(e) for e in examples]))
        places, targets = places[trained], targets[trained]
    return {
        "where": places,
        "targets": targets,
        "row": torch.repeat_interleave(torch.arange(len(lengths)), lengths),
        "last": torch.tensor(last),
        "lengths": lengths,
    }


def _trained(example: Example) -> NDArray[np.bool_]:
    """Of each token of the responses, in order."""
    tokens = sum(map(len, example.responses))
    if example.trained is None:
        return np.ones(tokens, bool)
    return np.fromiter(chain.from_iterable(example.trained), bool, tokens)


def _flat(parts: Sequence[Sequence[int]]) -> Tensor:
    """One tensor of all tokens, by way of numpy: torch reads a list ten times slower."""
    return torch.from_numpy(np.fromiter(chain.from_iterable(parts), np.int64, sum(map(len, parts))))


def by_response(values: Tensor, batch: Batch) -> Tensor:
    """values [N] summed over each response: [R]."""
    return torch.zeros(len(batch["lengths"]), dtype=values.dtype, device=values.device).index_add(
        0, batch["row"], values
    )


def unflatten(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """values [N], response after response -> ([R, longest] filled up with 0, mask of what is real)."""
    mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
    table = torch.zeros(mask.shape, dtype=values.dtype, device=values.device)
    return table.masked_scatter(mask, values), mask


def order(lengths: Sequence[int], turns: int, batch: int, bucket: bool, seed: int) -> list[int]:
    """Whose turn it is, `turns` times: a pure function of its arguments, so a resumed run sees what it would have seen.

    Every row has had n turns before one has n + 1. With `bucket`, rows of similar length are neighbours: an epoch's shuffled
    rows are sorted by length within stretches of MEGABATCH batches, and the batches are shuffled again.
    """
    found: list[int] = []
    epoch = 0
    while len(found) < turns:
        random = np.random.default_rng([seed, epoch])
        permuted = random.permutation(len(lengths))
        found += _bucketed(permuted, np.asarray(lengths), batch, random) if bucket else permuted.tolist()
        epoch += 1
    return found[:turns]


def _bucketed(
    permuted: NDArray[np.int64], lengths: NDArray[np.int64], batch: int, random: np.random.Generator
) -> list[int]:
    stretch = batch * MEGABATCH
    batches = []
    for start in range(0, len(permuted), stretch):
        part = permuted[start : start + stretch]
        part = part[np.argsort(-lengths[part], kind="stable")]
        batches += [part[i : i + batch] for i in range(0, len(part), batch)]
    whole, rest = [b for b in batches if len(b) == batch], [b for b in batches if len(b) < batch]
    shuffled = [whole[i] for i in random.permutation(len(whole))]
    return [int(row) for part in (*shuffled, *rest) for row in part]
