"""A trained module -> an ordinary checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from generation.output.files import write_atomically
from training.model.modules import TrainableModel

ADAPTER = "adapter_config.json"
"""File that tells a LoRA adapter from a whole checkpoint."""


def save(module: TrainableModel, tokenizer: PreTrainedTokenizerBase, folder: Path, merge: bool) -> None:
    """Write an ordinary checkpoint: weights, configuration and tokenizer; or the adapter alone, where it is not merged.

    The module is done with afterwards: its weights have the checkpoint's type, and a merged one has no adapter any more.
    """
    if module.adapted and merge:
        module.model = module.model.merge_and_unload()
    module.model.to(module.saved_dtype)
    module.inner.config.dtype = module.saved_dtype
    module.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if module.adapted:
        path = folder / ADAPTER
        adapter_config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": module.base_name}
        write_atomically(path, json.dumps(adapter_config, indent=2, sort_keys=True) + "\n")
