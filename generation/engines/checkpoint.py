"""A checkpoint that can be loaded, its tokenizer, and whether all its weights arrived in the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generation.engines.base import ModelError
from generation.engines.quiet import quiet

_NAMED = 5
"""Most tensors that a message names."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A checkpoint that can be used: safetensors, a fast tokenizer and a chat template."""

    name: str
    path: Path
    digest: str
    """32 hex characters over weights, configuration, tokenizer and chat template; the folder's place is not part of it."""
    context: int
    """Most tokens of prompt and completion together."""


def load_tokenizer(files: ModelFiles) -> Any:
    """The model's fast tokenizer (a transformers PreTrainedTokenizerFast). Raises ModelError."""
    quiet()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(files.path, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the tokenizers library raises Exception itself
        raise ModelError(
            f"model {files.path}: its tokenizer cannot be loaded ({error}); save it again with save_pretrained"
        ) from error


def check_weights(model: Any, report: Mapping[str, Any], files: ModelFiles, new: str = "") -> None:
    """Refuse a model that transformers filled up with random numbers, or whose checkpoint holds more layers than it has.

    report: what `from_pretrained(..., output_loading_info=True)` returns beside the model. new: name of a layer that is made
    anew where the checkpoint has none, or one of another size. Heads of other kinds of models may be left over.

    Raises ModelError with the names of the tensors.
    """
    trunk = f"{model.base_model_prefix}."

    def names(found: Any) -> list[str]:
        plain = (name if isinstance(name, str) else name[0] for name in found)
        return sorted(name for name in plain if not (new and name.startswith(f"{new}.")))

    wrong = [
        (names(report["missing_keys"]), "missing tensors, which would be random numbers"),
        (names(report["mismatched_keys"]), "tensors of another size than config.json says"),
        ([n for n in names(report["unexpected_keys"]) if n.startswith(trunk)], "tensors without a place in the model"),
    ]
    problems = [f"{what}: {_listed(tensors)}" for tensors, what in wrong if tensors]
    if problems:
        raise ModelError(
            f"model {files.path}: as a {type(model).__name__} it has {'; '.join(problems)}; allowed: every tensor that config.json "
            "describes and no other layers; fetch the checkpoint again, or save the whole model with save_pretrained"
        )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
