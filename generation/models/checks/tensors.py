"""The headers of a checkpoint's weights: whole files, each tensor once, of a kind that a model can have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

from generation.models.checks.configuration import layers, read_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_NAMED = 3
"""Most tensors or files that a message names."""


class Tensor(NamedTuple):
    """What a header says of a tensor."""

    name: str
    file: str
    dtype: str
    """As safetensors writes it, such as `BF16`."""
    shape: tuple[int, ...]


def weight_problems(path: Path, config: dict[str, Any]) -> Iterator[str]:
    """Sentences on what is wrong with the weights in a folder. config: its config.json."""
    shards = sorted(path.glob("*.safetensors"))
    if not shards:
        pickled = any(path.glob("*.bin")) or any(path.glob("*.pt")) or any(path.glob("*.pth"))
        got = "has pickled weights only, which can run code" if pickled else "has no weights"
        yield f"{got}; allowed: *.safetensors, as save_pretrained writes them"
    found: dict[str, list[Tensor]] = {}
    for shard in shards:
        try:
            found[shard.name] = _header(shard)
        except (SafetensorError, OSError, ValueError) as error:
            yield f"{shard.name} is damaged, cut short or a Git LFS pointer ({error}); fetch it again"
    try:
        index = read_json(path / INDEX)
    except ValueError as error:
        yield str(error)
        return
    names = {shard.name for shard in shards}
    loaded = {SINGLE} & names
    if index:
        listed, wrong = _listed(index, names, found)
        yield from wrong
        if wrong:
            return
        if loaded and listed - loaded:
            yield f"has {SINGLE} beside {INDEX}, which lists {_few(sorted(listed))}; remove whichever is older"
        loaded = loaded or listed
    elif shards and not loaded:
        yield f"has {_few(sorted(names))} and neither {SINGLE} nor {INDEX}; fetch the missing file"
    if loaded and names <= found.keys():
        yield from _tensor_problems([tensor for name in sorted(loaded) for tensor in found[name]], config)


def _header(shard: Path) -> list[Tensor]:
    """Raises SafetensorError, OSError and ValueError for a file that is not whole."""
    if shard.is_dir():
        raise ValueError("it is a folder")
    with safe_open(shard, framework="numpy"):  # which holds the header against the file's size
        pass
    with shard.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__", None)
    return [Tensor(name, shard.name, entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()]


def _listed(index: dict[str, Any], names: set[str], found: dict[str, list[Tensor]]) -> tuple[set[str], list[str]]:
    """(files that the index lists, problems)."""
    placed = index.get("weight_map")
    if not isinstance(placed, dict) or not placed:
        return set(), [f"{INDEX} lists no weights; fetch it again"]
    listed = set(map(str, placed.values()))
    if absent := sorted(listed - names):
        return listed, [f"has no {name}, which {INDEX} lists; fetch it" for name in absent]
    there = {tensor.name for name in listed & found.keys() for tensor in found[name]}
    lost = sorted(set(placed) - there) if listed <= found.keys() else []
    if lost:
        return listed, [f"{INDEX} lists tensors that its files do not hold: {_few(lost)}; fetch both again"]
    return listed, []


def _tensor_problems(tensors: list[Tensor], config: dict[str, Any]) -> Iterator[str]:
    if not tensors:
        yield "has no tensors in its weights; fetch them again"
        return
    seen: dict[str, str] = {}
    twice = sorted({t.name for t in tensors if seen.setdefault(t.name, t.file) != t.file})
    if twice:
        yield f"has tensors in two files each: {_few(twice)}; fetch the weights again"
    if empty := sorted(t.name for t in tensors if 0 in t.shape):
        yield f"has tensors without a number in them: {_few(empty)}; fetch the weights again"
    if not config.get("quantization_config"):
        odd = sorted(f"{t.name} ({t.dtype})" for t in tensors if t.name.endswith("weight") and t.dtype not in _FLOATS)
        if odd:
            yield (
                f"has weights that are no plain floating-point numbers, and config.json has no quantization_config: {_few(odd)}; "
                "fetch config.json again, or the model as it was before it was quantized"
            )
    if (described := layers(config)) > len(tensors):
        yield f"has {len(tensors)} tensors, and config.json describes {described} layers; fetch all of them again"


def _few(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
