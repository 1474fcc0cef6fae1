"""A tokenizer that is read without transformers is the one that transformers would make."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers.models.auto import tokenization_auto

from benchmarks.styles import STYLES
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models import tokenizer as tokenizer_module
from generation.models.files import resolve
from generation.models.tokenizer import OWN_CLASS, chat_tokenizer

ROOT = Path(__file__).parents[3]
SMALL = [name for name in STYLES if name != "embedded"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from one test to another."""
    monkeypatch.setenv("SOLON_CACHE", str(tmp_path / "cache"))


def checkpoint(folder: Path, style: str = "chatml", model_type: str = "llama") -> ModelFiles:
    """A folder with a style's tokenizer."""
    STYLES[style]().save_pretrained(folder)
    save_file({"w": np.zeros(4, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "max_position_embeddings": 64}))
    return resolve(str(folder))


def edit(name: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """Changes a JSON file of the folder."""

    def edited(folder: Path) -> None:
        held = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
        change(held)
        (folder / name).write_text(json.dumps(held))

    return edited


def settings(**values: Any) -> Callable[[Path], None]:
    """Sets them in tokenizer_config.json."""
    return edit("tokenizer_config.json", lambda held: held.update(values))


def old_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    settings(chat_template=[{"name": "default", "template": "{{ eos_token }}"}, {"name": "rag", "template": "x"}])(
        folder
    )


def more_templates(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("x")


CASES = [
    pytest.param("chatml", "llama", lambda _: None, True, id="chatml"),
    pytest.param("llama3", "llama", lambda _: None, True, id="llama3"),
    pytest.param("inst", "llama", lambda _: None, True, id="inst"),
    pytest.param("gemma", "gemma", lambda _: None, True, id="gemma"),
    pytest.param("zephyr", "llama", lambda _: None, True, id="zephyr"),
    pytest.param("unigram", "llama", lambda _: None, True, id="unigram"),
    pytest.param("chatml", "llama", old_template, True, id="templates-in-the-settings"),
    pytest.param("chatml", "llama", settings(eos_token={"__type": "AddedToken", "content": "<|im_end|>"}), True, id="token-as-object"),
    pytest.param("chatml", "llama", settings(tokenizer_class="PreTrainedTokenizerFast"), True, id="older-name-of-the-class"),
    pytest.param("chatml", "llama", settings(extra_special_tokens=["<|im_end|>"]), True, id="more-that-are-known"),
    pytest.param("chatml", "llama", settings(extra_special_tokens=["<new>"]), False, id="more-that-are-new"),
    pytest.param("chatml", "llama", settings(pad_token="<pad>"), False, id="named-one-that-is-new"),
    pytest.param("chatml", "llama", settings(image_token="<|im_end|>"), False, id="a-name-of-its-own"),
    pytest.param("chatml", "llama", settings(added_tokens_decoder={"700": {"content": "<n>"}}), False, id="added-one-that-is-new"),
    pytest.param("chatml", "llama", edit("added_tokens.json", lambda held: held.update({"<a>": 900})), False, id="added-in-a-file"),
    pytest.param("chatml", "llama", edit("special_tokens_map.json", lambda held: held.update(eos_token="<|im_start|>")), False, id="named-in-a-file"),
    pytest.param("chatml", "llama", edit("tokenizer.json", lambda held: held.update(padding={"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0, "pad_token": "<|im_end|>"})), False, id="padding"),
    pytest.param("chatml", "llama", more_templates, False, id="templates-in-a-folder"),
    pytest.param("chatml", "qwen2", lambda _: None, False, id="a-class-of-its-own"),
    pytest.param("llama3", "llama", settings(tokenizer_class="LlamaTokenizer"), False, id="a-class-that-is-named"),
]  # fmt: skip


@pytest.mark.parametrize(("style", "model_type", "change", "plain"), CASES)
def test_it_is_what_transformers_makes_of_the_folder(
    style: str,
    model_type: str,
    change: Callable[[Path], None],
    plain: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = checkpoint(tmp_path / "model", style, model_type)
    change(files.path)
    asked: list[ModelFiles] = []

    def counted(files: ModelFiles) -> Any:
        asked.append(files)
        return load_tokenizer(files)

    monkeypatch.setattr(tokenizer_module, "load_tokenizer", counted)
    expected = load_tokenizer(files)
    for _ in range(2):  # the second time from what was kept
        found = chat_tokenizer(files)
        assert found.backend_tokenizer.to_str() == expected.backend_tokenizer.to_str()
        assert found.chat_template == expected.chat_template
        assert found.special_tokens_map == expected.special_tokens_map
    assert len(asked) == (0 if plain else 1)


def test_what_was_kept_is_another_folders_after_a_change(tmp_path: Path) -> None:
    files = checkpoint(tmp_path / "model", "chatml", "qwen2")
    assert chat_tokenizer(files).special_tokens_map["eos_token"] == "<|im_end|>"
    settings(eos_token="<|endoftext|>")(files.path)
    assert chat_tokenizer(files).special_tokens_map["eos_token"] == "<|endoftext|>"


def test_a_kept_file_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    files = checkpoint(tmp_path / "model", "chatml", "qwen2")
    before = chat_tokenizer(files).backend_tokenizer.to_str()
    (kept,) = (tmp_path / "cache" / "tokenizers").iterdir()
    kept.write_text(kept.read_text()[:1000])
    assert chat_tokenizer(files).backend_tokenizer.to_str() == before


def test_a_damaged_tokenizer_is_told_in_words(tmp_path: Path) -> None:
    files = checkpoint(tmp_path / "model")
    (files.path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="its tokenizer cannot be loaded"):
        chat_tokenizer(files)


def test_every_type_that_has_a_class_of_its_own_is_known() -> None:
    registered = tokenization_auto.TOKENIZER_MAPPING_NAMES
    generic = {"TokenizersBackend", "PythonBackend", "PreTrainedTokenizerFast", None}
    own = {name for name, kind in registered.items() if kind == "MistralCommonBackend"}
    own |= {n for n in tokenization_auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS if registered[n] not in generic}
    assert own
    assert [name for name in sorted(own) if not name.startswith(OWN_CLASS)] == []


@pytest.mark.model
def test_neither_torch_nor_transformers_is_imported(tmp_path: Path) -> None:
    files = checkpoint(tmp_path / "model")
    code = (
        "import sys\n"
        "from generation.config import RunConfig\n"
        "from generation.engines.replay import Replay\n"
        "from generation.models.factory import chat_models, model_registry\n"
        f"server = {{'url': 'http://127.0.0.1:9', 'token_ids': True}}\n"
        f"config = RunConfig.model_validate({{'engine': 'endpoint', 'policy': {str(files.path)!r}, 'endpoints': [server]}})\n"
        "((policy, *_),), _ = chat_models(config, model_registry(config), lambda _: Replay.pseudo())\n"
        "assert policy.encoder.encode([{'role': 'user', 'content': 'hi'}])\n"
        "print([name for name in ('torch', 'transformers', 'vllm') if name in sys.modules])\n"
    )
    made = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert made.stdout == "[]\n", made.stderr
