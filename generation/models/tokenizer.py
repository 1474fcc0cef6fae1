"""What chats are encoded with, read without the libraries that load weights.

A tokenizer.json is all there is to most fast tokenizers, and the `tokenizers` library reads it. Where transformers would make
something else of it, transformers is asked once, and what it made is kept in the user's cache folder: it imports torch, which takes
seconds and 300 MB, whatever it is imported for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer

from constitution.digest import digest
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_tokenizer
from generation.models.digests import cache_folder, remember, remembered_digest
from generation.models.heads import spans_lines

NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Control tokens that templates know by these names."""
_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Classes that add nothing to what tokenizer.json says."""
OWN_CLASS = ("qwen", "hyperclovax", "mistral", "ministral", "mixtral", "pixtral", "voxtral")
"""Types of models, by how they begin, for which transformers takes a class of its own whatever class the settings name."""
_EVER_OTHER = ("auto_map", "fast_tokenizer_files", "fix_mistral_regex")
"""Settings with which transformers may make something else."""


class ChatTokenizer(NamedTuple):
    """What an encoder needs of a tokenizer, under transformers' names."""

    backend_tokenizer: Tokenizer
    chat_template: str | dict[str, str]
    special_tokens_map: dict[str, str]
    """Name, as `eos_token` -> text of the token."""


def chat_tokenizer(files: ModelFiles) -> ChatTokenizer:
    """The model's tokenizer, with what transformers makes of it. Raises ModelError."""
    # where files are odd, transformers may take them, or says what is wrong with them
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        if found := _plain(files.path):
            return found
    kept = cache_folder() / "tokenizers" / _name(files.path)
    with contextlib.suppress(Exception):  # the tokenizers library raises Exception itself
        held = json.loads(kept.read_text(encoding="utf-8"))
        return ChatTokenizer(Tokenizer.from_str(held[0]), held[1], held[2])
    made = load_tokenizer(files)
    backend = getattr(made, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            f"tokenizer {type(made).__name__}: is not a fast tokenizer; save the model with a tokenizer.json"
        )
    found = ChatTokenizer(backend, made.chat_template, dict(made.special_tokens_map))
    remember(kept, json.dumps([backend.to_str(), found.chat_template, found.special_tokens_map]))
    return found


def _plain(path: Path) -> ChatTokenizer | None:
    """The tokenizer as tokenizer.json has it, None where transformers may make something else. Raises whatever odd files raise."""
    settings = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    model_type = json.loads((path / "config.json").read_text(encoding="utf-8")).get("model_type") or ""
    if settings.get("tokenizer_class") not in _GENERIC or model_type.startswith(OWN_CLASS):
        return None
    if any(key in settings for key in _EVER_OTHER) or _other_files(path, settings):
        return None
    try:
        backend = Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception as error:  # the tokenizers library raises Exception itself
        raise ValueError from error
    special = {name: _text(settings[name]) for name in NAMED if settings.get(name) is not None}
    known = {str(token.content): repr(token) for token in backend.get_added_tokens_decoder().values()}
    if backend.padding or not all(text in known for text in [*special.values(), *_more(settings)]):
        return None
    listed = [AddedToken(**token) for token in settings.get("added_tokens_decoder", {}).values()]
    if any(known.get(token.content) != repr(token) for token in listed):
        return None
    return ChatTokenizer(backend, _template(path, settings), special)


def _other_files(path: Path, settings: Mapping[str, Any]) -> bool:
    """True where more than tokenizer.json and its settings say what the tokenizer is."""
    if (path / "additional_chat_templates").exists() or any(path.glob("tokenizer.*.json")):
        return True
    old = ("special_tokens_map.json", "added_tokens.json")
    return "added_tokens_decoder" not in settings and any((path / name).exists() for name in old)


def _more(settings: Mapping[str, Any]) -> Iterator[str]:
    """Control tokens beside the named ones. Raises ValueError for those that have names of their own."""
    for key in ("extra_special_tokens", "additional_special_tokens"):
        if not isinstance(settings.get(key) or [], list):
            raise ValueError(key)
        yield from map(_text, settings.get(key) or [])
    for key, value in settings.items():
        if key.endswith("_token") and key not in NAMED and not isinstance(value, bool | None):
            raise ValueError(key)


def _text(token: Any) -> str:
    if isinstance(token, str):
        return token
    if token["__type"] != "AddedToken":
        raise ValueError(token)
    return str(token["content"])


def _template(path: Path, settings: Mapping[str, Any]) -> str | dict[str, str]:
    own = path / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    given = settings["chat_template"]
    return {one["name"]: one["template"] for one in given} if isinstance(given, list) else given


def _name(path: Path) -> str:
    """Names what transformers makes of a folder: its version, and all files but weights."""
    files = sorted(
        file for file in (*path.glob("*"), *path.glob("additional_chat_templates/*")) if file.suffix != ".safetensors"
    )
    parts = [[file.name, remembered_digest(file)] for file in files if file.is_file()]
    return digest(json.dumps([version("transformers"), version("tokenizers"), parts]))


def renamed(tokenizer: Any, names: Mapping[str, str]) -> tuple[Tokenizer, bool]:
    """The tokenizer with each control token renamed, in the added tokens and in the vocabulary, at the same id.

    And whether its tokens may reach over a line break.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = state["model"]
    for token in state["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        model["vocab"] = {names.get(text, text): index for text, index in vocabulary.items()}
    else:
        model["vocab"] = [[names.get(text, text), score] for text, score in vocabulary]
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if not _touches(merge, names)]
    state.update(post_processor=None, truncation=None, padding=None)
    clone = Tokenizer.from_str(json.dumps(state))
    for text, name in names.items():
        if clone.token_to_id(name) != tokenizer.backend_tokenizer.token_to_id(text):
            raise ModelError(
                f"tokenizer: control token {text!r} changes its id when renamed; its tokenizer.json is inconsistent, save it again"
            )
    texts = model["vocab"] if isinstance(model["vocab"], dict) else (text for text, _ in model["vocab"])
    return clone, spans_lines(texts)


def _touches(merge: Any, names: Mapping[str, str]) -> bool:
    """True for a merge that makes, or is made of, a control token's text."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left in names or right in names or left + right in names
