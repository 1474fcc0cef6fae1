"""What stands beside a checkpoint's weights: written as it was where transformers would refuse to write it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles
from generation.output.files import write_atomically

_GENERATION = "generation_config.json"
_PROCESSOR = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
"""Of models that read more than text; training on text changes nothing in them."""


def write_model(model: Any, base: Path | None, folder: Path, **more: Any) -> None:
    """`save_pretrained`, also for a base whose generation_config.json transformers reads and does not write.

    base: the folder that the model came from. more: arguments of `save_pretrained`.
    """
    settings = getattr(model, "generation_config", None)
    if settings is None or _writable(settings):
        model.save_pretrained(folder, **more)
        return
    ends = {"bos_token_id": settings.bos_token_id, "eos_token_id": settings.eos_token_id}
    model.generation_config = GenerationConfig(**ends, pad_token_id=settings.pad_token_id)
    try:
        model.save_pretrained(folder, **more)
    finally:
        model.generation_config = settings
    if base is not None and (base / _GENERATION).is_file():
        text = (base / _GENERATION).read_text(encoding="utf-8")
        given = json.loads(text)
        if given.get("eos_token_id") != settings.eos_token_id:
            text = json.dumps(given | {"eos_token_id": settings.eos_token_id}, indent=2, sort_keys=True) + "\n"
        write_atomically(folder / _GENERATION, text)


def keep_processor(base: Path | None, folder: Path) -> None:
    """Copy what tells how images and the like are read, where the base has it."""
    for name in _PROCESSOR:
        if base is not None and (base / name).is_file():
            shutil.copyfile(base / name, folder / name)


def check_savable(config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase, files: ModelFiles) -> None:
    """Raises ModelError for configuration or tokenizer that could not be saved after training."""
    with tempfile.TemporaryDirectory(prefix="solon-save-") as folder:
        for name, one in (("configuration", config), ("tokenizer", tokenizer)):
            try:
                one.save_pretrained(folder)
            except Exception as error:  # a wrong value may raise anything
                reason = " ".join(str(error).split())[:300]
                got = f"its {name} can be read and not saved, so that training would be lost ({reason})"
                fix = "correct it, or fetch the model's files again"
                raise ModelError(Problem(f"model {files.path}", got=got, fix=fix)) from error


def _writable(settings: GenerationConfig) -> bool:
    try:
        settings.validate(strict=True)
    except ValueError:
        return False
    return True
