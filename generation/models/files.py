"""Where a model's files are, whether they can be used, and what names them. No weights are loaded to answer that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from constitution.digest import hasher
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles
from generation.engines.quiet import quiet
from generation.models import embedded
from generation.models.digests import remembered_digest

EMBEDDED = "embedded"
"""The model that comes with the package."""
_NAMING = (
    "*.safetensors",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""Files that decide what a model answers, and so make up its digest. generation_config.json names tokens that end a response."""
MAX_JSON = 256 << 20
"""Bytes of the longest file of settings that is read."""
_HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
_HUB_IGNORED = ("*/*", "consolidated*")
"""The same weights once more, in the form of another program."""


def resolve(spec: str) -> ModelFiles:
    """The files of `embedded`, a local folder, or a hub id. Raises ModelError with every problem of the folder."""
    path, name = _locate(spec)
    context = _check(path)
    try:
        return ModelFiles(name, path, _digest(path), context)
    except OSError as error:
        raise ModelError(
            f"model {path}: {error.filename} cannot be read ({error.strerror}); check its permissions"
        ) from None


def _locate(spec: str) -> tuple[Path, str]:
    local = Path(spec).expanduser()
    if spec == EMBEDDED:
        return embedded.checkpoint(), embedded.NAME
    if local.is_dir():
        return local, local.resolve().name
    allowed = f"allowed: `{EMBEDDED}`, a local folder, or a hub id such as owner/name"
    if local.is_file():
        raise ModelError(f"model {spec!r}: is a file; {allowed}")
    if spec.startswith((".", "/", "~")) or spec.count("/") > 1:
        raise ModelError(f"model {spec!r}: no such folder; {allowed}")
    return _from_hub(spec), spec


def _check(path: Path) -> int:
    """The context length of a checkpoint that can be used. Raises ModelError with every problem."""
    if (path / "adapter_config.json").is_file():
        raise ModelError(
            f"model {path}: is a LoRA adapter; merge it into its base model (peft's merge_and_unload), "
            "save that beside the tokenizer, and name that folder"
        )
    odd = [file.name for file in sorted(path.iterdir()) if not (file.is_file() or file.is_dir())]
    if odd:
        named = ", ".join(odd[:5])
        raise ModelError(
            f"model {path}: is no regular file: {named}; allowed: files and folders alone, no pipes or dead links"
        )
    context, problems = _configuration(path)
    problems += [*_weight_problems(path), *_tokenizer_problems(path)]
    if problems:
        raise ModelError("\n".join(f"model {path}: {problem}" for problem in problems))
    return context


def _configuration(path: Path) -> tuple[int, list[str]]:
    """Context length, 0 where there is a problem with it."""
    if not (path / "config.json").is_file():
        return 0, ["has no config.json; save the model with save_pretrained"]
    try:
        config = _json(path / "config.json")
    except ValueError as error:
        return 0, [str(error)]
    inner = config.get("text_config")
    for holder in (config, inner if isinstance(inner, dict) else {}):
        for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
            if isinstance(holder.get(key), int):
                return int(holder[key]), []
    return 0, ["config.json names no context length; add max_position_embeddings"]


def _weight_problems(path: Path) -> Iterator[str]:
    shards = sorted(path.glob("*.safetensors"))
    if not shards:
        pickled = any(path.glob("*.bin")) or any(path.glob("*.pt"))
        got = "has pickled weights only, which can run code" if pickled else "has no weights"
        yield f"{got}; allowed: *.safetensors, as save_pretrained writes them"
    for shard in shards:
        try:
            with safe_open(shard, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            yield f"{shard.name} is damaged, cut short or a Git LFS pointer ({error}); fetch it again"
    try:
        listed = _json(path / "model.safetensors.index.json").get("weight_map")
    except ValueError as error:
        yield str(error)
        return
    names = set(map(str, listed.values())) if isinstance(listed, dict) else set()
    for name in sorted(names - {shard.name for shard in shards}):
        yield f"has no {name}, which model.safetensors.index.json lists; fetch it"


def _tokenizer_problems(path: Path) -> Iterator[str]:
    if not (path / "tokenizer.json").is_file():
        yield "has no tokenizer.json; save a fast tokenizer beside the weights"
        return
    try:
        settings = _json(path / "tokenizer_config.json")
    except ValueError as error:
        yield str(error)
        return
    if not (settings.get("chat_template") or (path / "chat_template.jinja").is_file()):
        yield "has no chat template; set tokenizer.chat_template and save the tokenizer"


def _json(path: Path) -> dict[str, Any]:
    """A file's JSON object, empty where there is no such file. Raises ValueError."""
    try:
        if path.stat().st_size > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON >> 20} MiB")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read as JSON ({error}); save the model again") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path.name} holds a {type(data).__name__}, not a JSON object; save the model again")
    return data


def _from_hub(spec: str) -> Path:
    quiet()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(spec, allow_patterns=list(_HUB_FILES), ignore_patterns=list(_HUB_IGNORED)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model {spec!r}: is no local folder and cannot be had from the hub ({reason}); "
            f"check the name and the network, or use `{EMBEDDED}`"
        ) from None


def _digest(path: Path) -> str:
    files = sorted({file for pattern in _NAMING for file in path.glob(pattern)})
    h = hasher()
    for file in files:
        h.update(f"{file.name}\0{remembered_digest(file)}\0".encode())
    return h.hexdigest()
