"""A trained module -> an ordinary checkpoint, by way of the weights as they are saved, which are what is measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from generation.engines.checkpoint import ModelFiles, end_tokens, load_config
from generation.output.files import write_atomically
from training.config import Training
from training.model import launch
from training.model.checkpoint.configs import keep_processor, write_model
from training.model.modules import TrainableModel
from training.model.quantized.layers import is_quantized
from training.model.quantized.merging import merged
from training.model.quantized.reading import reading
from training.model.rounding import Movement, round_weights

Module = TypeVar("Module", bound=TrainableModel)
ADAPTER = "adapter_config.json"
"""File that tells a LoRA adapter from a whole checkpoint."""


def settle(
    module: Module,
    files: ModelFiles,
    settings: Training,
    gather: Callable[[], Mapping[str, Tensor]],
    load: Callable[[], Module],
) -> tuple[Module, Movement | None]:
    """Give a trained module the weights that `save` writes, merged and rounded; every process must ask.

    Where weights are spread over processes, another module of the base has them all in the main one. gather: all weights by name,
    in the main process at least, asked by all. load: makes that module. Returns what is to be saved, and how far it is from the
    base, as `as_saved` does. Raises UserError for weights beyond the range of the type they are saved in.
    """
    if not launch.sharded():
        return module, as_saved(module, files, settings)
    state = gather()
    whole, moved = module, None
    if launch.state().is_main_process:
        whole = load()
        whole.load_state_dict(state)
        moved = as_saved(whole, files, settings)
    spread_saved(module, whole, settings.merges)
    return whole, moved


def as_saved(module: TrainableModel, files: ModelFiles, settings: Training) -> Movement | None:
    """Give a trained module the weights that `save` writes, still in float32 and fit to be evaluated.

    An adapter is merged where the settings say so. Weights are rounded to the type they are saved in: at random where the base has
    that type too, as small updates would vanish otherwise; to the nearest where the base was quantized. files: the base. Returns
    how far the weights are from the base's; None for an adapter that is saved alone, and in other processes than the main one.
    Raises UserError for weights beyond the type's range.
    """
    module.zero_grad(set_to_none=True)
    module.model.float()
    main, dtype = launch.state().is_main_process, module.saved_dtype
    if module.adapted and settings.merges:
        if is_quantized(module.model):
            module.model, counts = merged(module.model, dtype)
            round_weights(module.inner, dtype, {}, at_random=False, seed=settings.seed)
            return counts.movement(dtype) if main else None
        module.model = module.model.merge_and_unload()
    alone = module.adapted or not main
    base = {} if alone else _base(module, files, settings)
    at_random = module.rounds_at_random
    moved = round_weights(module.inner, dtype, base, at_random, settings.seed, trained_only=module.adapted)
    return None if alone else moved


@torch.no_grad()  # type: ignore[untyped-decorator]
def spread_saved(module: TrainableModel, whole: TrainableModel, merged: bool) -> None:
    """Give a module that is spread over processes the weights that `as_saved` gave the whole one, to be evaluated.

    Every process must ask; the main one's `whole` is taken. merged: an adapter was, whose update is 0 from then on.
    """
    known = dict(whole.inner.named_parameters()) if launch.state().is_main_process else {}
    for name, weight in module.inner.named_parameters():
        plain = name.replace(".base_layer.", ".").replace(".modules_to_save.default.", ".") if merged else name
        none = merged and any(part in name for part in (".lora_A.", ".lora_B.", ".original_module."))
        launch.put(weight, None if none else known.get(plain))


def _base(module: TrainableModel, files: ModelFiles, settings: Training) -> dict[str, Tensor]:
    """The base's weights by name, in its own type; without those that it lacks or has in another size, as a new head."""
    model, report = type(module.inner).from_pretrained(
        files.path, dtype=module.base_dtype, use_safetensors=True, local_files_only=True, ignore_mismatched_sizes=True,
        output_loading_info=True, **reading(load_config(files), files, settings),
    )  # fmt: skip
    new, ours = {*report["missing_keys"]}, {name: weight.shape for name, weight in module.inner.named_parameters()}
    same = ((name, weight.data) for name, weight in model.named_parameters() if ours.get(name) == weight.shape)
    return {name: weight for name, weight in same if name not in new}


def save(
    module: TrainableModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    merge: bool,
    ends: frozenset[int] = frozenset(),
) -> None:
    """Write an ordinary checkpoint: weights, configuration and tokenizer; or the adapter alone, where it is not merged.

    ends: tokens with which the template ends answers; generation_config.json names them, so that other programs stop there. The
    module is done with afterwards: its weights have the type they are saved in, and a merged one has no adapter any more.
    """
    if module.adapted and merge:
        module.model = merged(module.model, module.saved_dtype)[0]
    module.model.to(module.saved_dtype)
    module.inner.config.dtype = module.saved_dtype
    if ends and module.inner.generation_config is not None:
        named = sorted(end_tokens(module.inner.generation_config.eos_token_id) | ends)
        module.inner.generation_config.eos_token_id = named if len(named) > 1 else named[0]
    write_model(module.model, module.base_folder, folder)
    keep_processor(module.base_folder, folder)
    tokenizer.save_pretrained(folder)
    if module.adapted:
        path = folder / ADAPTER
        adapter_config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": module.base_name}
        write_atomically(path, json.dumps(adapter_config, indent=2, sort_keys=True) + "\n")
