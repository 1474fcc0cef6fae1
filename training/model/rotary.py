"""Rotary positions whose frequencies depend on a sequence's length, given to each sequence by its own.

LongRoPE (Ding et al. 2024, arXiv:2402.13753) has two sets of frequencies, for sequences up to the length of pretraining and for
longer ones; dynamic NTK scaling has one for each length. transformers goes by the longest sequence of a batch, so what a model says
of a row would depend on the rows beside it, and on those before it. Here each sequence, a prompt with one response, has the
frequencies that it has alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from training.data.batches import Batch
from training.data.segments import segments


class Switch(NamedTuple):
    """How frequencies depend on the length."""

    limit: int
    """Longest sequence with the frequencies of short ones."""
    by_length: bool
    """Whether each longer length has its own frequencies."""

    def side(self, lengths: Tensor) -> Tensor:
        """Equal where two lengths have the same frequencies."""
        return lengths.clamp(min=self.limit) if self.by_length else (lengths > self.limit).long()


class Rotary:
    """The rotary embeddings of a model that depend on the length; each sequence's own is set while the model runs."""

    def __init__(self, model: nn.Module) -> None:
        self._lengths: Tensor | None = None
        self.switches: set[Switch] = set()
        """None where the model has no such embeddings."""
        for part in model.modules():
            if found := _switches(part):
                self.switches |= {*found.values()}
                part.forward = self._by_sequence(part, part.forward, found)

    @contextmanager
    def of(self, batch: Batch) -> Iterator[None]:
        """Frequencies by the lengths of the batch's sequences."""
        self._lengths = lengths(batch) if self.switches else None
        try:
            yield
        finally:
            self._lengths = None

    def apart(self, batch: Batch) -> Batch:
        """The batch with a prompt of its own for each response where those of one prompt have different frequencies."""
        if not self.switches or "segments" not in batch:
            return batch
        splits = []
        for prompt, own in batch["segments"].groups:
            whole = torch.tensor(own) + prompt
            splits.append(any(len(switch.side(whole).unique()) > 1 for switch in self.switches))
        return _apart(batch, splits) if any(splits) else batch

    def _by_sequence(self, part: nn.Module, forward: Callable[..., Any], found: dict[str | None, Switch]) -> Any:
        def run(x: Tensor, position_ids: Tensor, layer_type: str | None = None) -> tuple[Tensor, ...]:
            kind = () if layer_type is None else (layer_type,)
            if self._lengths is None or layer_type not in found:
                made: tuple[Tensor, ...] = forward(x, position_ids, *kind)
                return made
            own = self._lengths.expand_as(position_ids).reshape(-1)
            positions = position_ids.reshape(-1).minimum(own - 1)  # padding is in no sequence
            tables: list[Tensor] = []
            sides = found[layer_type].side(own)
            for side in sides.unique():
                places = (sides == side).nonzero()[:, 0]
                _forget(part, layer_type)
                made = forward(x[:1], positions[places][None], *kind)
                tables = tables or [one.new_empty(len(own), one.shape[-1]) for one in made]
                for table, one in zip(tables, made, strict=True):
                    table[places] = one[0]
            return tuple(table.view(*position_ids.shape, -1) for table in tables)

        return run


def lengths(batch: Batch) -> Tensor:
    """Tokens of the sequence that each token is of: [1, T] packed, of a prompt the longest; [R, 1] padded."""
    if "mask" in batch:
        return batch["mask"].sum(-1, keepdim=True)
    pieces: list[int] = []
    tokens: list[int] = []
    for prompt, own in batch["segments"].groups:
        pieces += [prompt + max(own), *(prompt + size for size in own)]
        tokens += [prompt, *own]
    return torch.from_numpy(np.repeat(pieces, tokens))[None].to(batch["tokens"].device)


def _apart(batch: Batch, splits: Sequence[bool]) -> Batch:
    """splits: of which prompts each response gets one of its own."""
    taken, groups = [], list[tuple[int, list[int]]]()
    starts, shifts, homes = list[int](), list[int](), list[int]()
    first, at = 0, 0
    for (prompt, own), split in zip(batch["segments"].groups, splits, strict=True):
        begin = first + prompt
        for group in [[size] for size in own] if split else [own]:
            taken.append(np.arange(first, first + prompt))
            at += prompt
            home = at - 1
            groups.append((prompt, group))
            for size in group:
                taken.append(np.arange(begin, begin + size))
                starts.append(begin)
                shifts.append(at - begin)
                homes.append(home)
                begin, at = begin + size, at + size
        first = begin
    device = batch["tokens"].device
    order = torch.from_numpy(np.concatenate(taken)).to(device)
    start, shift, home_of = (torch.tensor(values, device=device) for values in (starts, shifts, homes))
    row, where = batch["row"], batch["where"]
    return batch | {
        "tokens": batch["tokens"][:, order],
        "positions": batch["positions"][:, order],
        "where": torch.where(where >= start[row], where + shift[row], home_of[row]),
        "last": batch["last"] + shift,
        "segments": segments(groups).to(device),
    }


def _switches(part: nn.Module) -> dict[str | None, Switch]:
    """Kind of layer (None where there is one kind) -> how a rotary embedding depends on the length."""
    kinds, config = getattr(part, "rope_type", None), getattr(part, "config", None)
    if config is None or not isinstance(kinds, str | dict):
        return {}
    found: dict[str | None, Switch] = {}
    for layer, kind in (kinds if isinstance(kinds, dict) else {None: kinds}).items():
        settings = config.rope_parameters if layer is None else config.rope_parameters[layer]
        if kind == "longrope":
            found[layer] = Switch(int(settings["original_max_position_embeddings"]), False)
        elif "dynamic" in kind:
            found[layer] = Switch(int(part.original_max_seq_len), True)
    return found


def _forget(part: nn.Module, layer: str | None) -> None:
    """Undo what dynamic scaling keeps of longer sequences that were seen before."""
    prefix = "" if layer is None else f"{layer}_"
    if hasattr(part, f"{prefix}original_inv_freq"):
        setattr(part, f"{prefix}inv_freq", getattr(part, f"{prefix}original_inv_freq"))
    if hasattr(part, f"{prefix}max_seq_len_cached") or not prefix:
        setattr(part, f"{prefix}max_seq_len_cached", part.original_max_seq_len)
