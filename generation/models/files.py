"""Where a model's files are, whether they can be used, and what names them. No weights are loaded to answer that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from constitution.digest import hasher
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles
from generation.engines.quiet import quiet
from generation.models import embedded
from generation.models.checks.configuration import read_config, read_json
from generation.models.checks.tensors import weight_problems
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
    try:
        odd = [file.name for file in sorted(path.iterdir()) if not (file.is_file() or file.is_dir())]
    except OSError as error:
        raise ModelError(f"model {path}: cannot be read ({error.strerror}); check its permissions") from None
    if odd:
        named = ", ".join(odd[:5])
        raise ModelError(
            f"model {path}: is no regular file: {named}; allowed: files and folders alone, no pipes or dead links"
        )
    config, context, problems = read_config(path)
    problems += [*weight_problems(path, config), *_other_problems(path)]
    if problems:
        raise ModelError("\n".join(f"model {path}: {problem}" for problem in problems))
    return context


def _other_problems(path: Path) -> Iterator[str]:
    if not (path / "tokenizer.json").is_file():
        yield "has no tokenizer.json; save a fast tokenizer beside the weights"
        return
    try:
        read_json(path / "generation_config.json")
        settings = read_json(path / "tokenizer_config.json")
    except ValueError as error:
        yield str(error)
        return
    if not (settings.get("chat_template") or (path / "chat_template.jinja").is_file()):
        yield "has no chat template; set tokenizer.chat_template and save the tokenizer"


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
