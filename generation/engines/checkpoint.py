"""A checkpoint that can be loaded, its tokenizer, and whether all its weights arrived in the model."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.quiet import quiet

_CONSTANTS = ("inv_freq", "attn.bias", "attn.masked_bias", "position_ids")
"""Ends of names under which checkpoints of older programs keep what is computed from the configuration."""
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


def named_ends(files: ModelFiles) -> frozenset[int]:
    """Tokens at which engines end a text because generation_config.json says so, or config.json where there is none."""
    for name in ("generation_config.json", "config.json"):
        with suppress(OSError, ValueError, AttributeError):  # what is wrong with a file is told where it is loaded
            config = json.loads((files.path / name).read_text(encoding="utf-8"))
            return end_tokens(config.get("eos_token_id", (config.get("text_config") or {}).get("eos_token_id")))
    return frozenset()


def end_tokens(named: Any) -> frozenset[int]:
    """An `eos_token_id` as configurations have it, which is one token, several or none, as a set."""
    return frozenset(token for token in (named if isinstance(named, list) else [named]) if isinstance(token, int))


def load_config(files: ModelFiles) -> Any:
    """config.json as transformers has it (a PretrainedConfig), the caller's own. Raises ModelError."""
    try:
        written = (files.path / "config.json").stat()
        return copy.deepcopy(_config(files.path, written.st_mtime_ns, written.st_ino, written.st_size))
    except Exception as error:  # a wrong value in it may raise anything
        reason = " ".join(str(error).split())[:300]
        if _own_code(files.path):
            got = "needs code of its own (auto_map in config.json), which is never run"
            fix = "name a model whose architecture comes with transformers, or its conversion to one"
        else:
            got = f"transformers cannot read its config.json ({reason})"
            fix = "fetch config.json again, or update transformers where the model is newer"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=fix)) from error


@lru_cache(maxsize=16)
def _config(path: Path, *written: int) -> Any:
    """The config of a folder, read again where its file was written again: a start of training asks for it ten times."""
    quiet()
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(path, trust_remote_code=False, local_files_only=True)


def _own_code(path: Path) -> bool:
    try:
        return "auto_map" in json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def exact_attention(config: Any) -> str | None:
    """The attention that computes all that a model's layers ask for; None where transformers' own choice does.

    transformers' fused kernels leave out the soft cap of attention scores (Gemma 2) without a word.
    """
    return "eager" if getattr(config.get_text_config(), "attn_logit_softcapping", None) else None


def trunk(model: Any) -> tuple[str, Any]:
    """(name, module) of all of a model but its head; some classes name another module than the one they have."""
    name = model.base_model_prefix if hasattr(model, model.base_model_prefix) else "model"
    return name, getattr(model, name, model)


def check_weights(model: Any, report: Mapping[str, Any], files: ModelFiles, new: str = "") -> list[str]:
    """Refuse a model that transformers filled up with random numbers, whose checkpoint holds more layers than it has, or whose
    numbers are none.

    report: what `from_pretrained(..., output_loading_info=True)` returns beside the model. new: name of a layer that is made
    anew where the checkpoint has none, or one of another size.

    Returns names of tensors that are left over and harmless: heads of other kinds of models, and constants that a model computes
    itself. Raises ModelError with the names of the tensors.
    """
    prefix = f"{trunk(model)[0]}."

    def names(found: Any) -> list[str]:
        plain = (name if isinstance(name, str) else name[0] for name in found)
        return sorted(name for name in plain if not (new and name.startswith(f"{new}.")))

    left = names(report["unexpected_keys"])
    lost = [name for name in left if name.startswith(prefix) and not name.endswith(_CONSTANTS)]
    numbers = [name for name, weight in model.named_parameters() if not _finite(weight)]
    wrong = [
        (names(report["missing_keys"]), "missing tensors, which would be random numbers"),
        (names(report["mismatched_keys"]), "tensors of another size than config.json says"),
        (lost, "tensors without a place in the model"),
        (numbers, "weights that are not finite"),
    ]
    problems = [f"{what}: {_listed(tensors)}" for tensors, what in wrong if tensors]
    if problems:
        raise ModelError(
            f"model {files.path}: as a {type(model).__name__} it has {'; '.join(problems)}; allowed: every tensor that config.json "
            "describes, of finite numbers, and no other layers; fetch the checkpoint again, or save the whole model with "
            "save_pretrained"
        )
    return [name for name in left if name not in lost]


def _finite(weight: Any) -> bool:
    """A sum over finite numbers may be infinite, hence the second look."""
    return weight.is_meta or bool(weight.sum().isfinite()) or bool(weight.isfinite().all())


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
