"""What is wrong with a checkpoint that is to be trained, or worth knowing of it, before its weights load."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from peft import TaskType
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, load_config
from training.config import Training
from training.model.adapters import adapted
from training.model.checkpoint.configs import check_savable
from training.model.experts import Experts
from training.model.loading import Loaded, choose_layout, classifier, load
from training.model.quantized.reading import method_of, reading

Kind = Literal["policy", "reward", "critic"]


class Examined(NamedTuple):
    """What is known of a checkpoint without its weights."""

    vocabulary: int
    """Rows of its embedding."""
    notes: tuple[str, ...]
    """Sentences for the user."""


def examine(
    files: ModelFiles, tokenizer: PreTrainedTokenizerBase, settings: Training, kind: Kind, heads: int = 1
) -> Examined:
    """Hold names and shapes of its tensors against the model that is to be trained, and adapters against its layers.

    heads: of a reward model. Raises ModelError for a checkpoint that cannot be trained, or not be saved afterwards.
    """
    config = load_config(files)
    check_savable(config, tokenizer, files)
    reading(config, files, settings)
    if method_of(config):  # its tensors become those of the model as they are read
        return Examined(config.get_text_config().vocab_size, ())
    layout = choose_layout(files, settings)
    if kind == "policy":
        loaded = load(AutoModelForCausalLM, files, settings, layout, empty=True)
    else:
        loaded = classifier(files, settings, layout, empty=True, **({"num_labels": heads} if kind == "reward" else {}))
    if settings.router_aux_loss:
        Experts(loaded.model, settings.router_aux_loss)  # refuses other models
    adapted(loaded.model, settings.lora, TaskType.CAUSAL_LM if kind == "policy" else TaskType.SEQ_CLS)
    return Examined(loaded.model.get_input_embeddings().weight.shape[0], tuple(_notes(loaded, files, heads)))


def check_tokens(
    rows: Iterable[Sequence[int]], vocabulary: int, tokenizer: PreTrainedTokenizerBase, files: ModelFiles
) -> None:
    """Raises ModelError for tokens that the model's embedding has no row for."""
    highest = max((max(row, default=0) for row in rows), default=0)
    if highest >= vocabulary:
        token = tokenizer.convert_ids_to_tokens(highest)
        got = f"its tokenizer writes {token!r} as {highest}, and its embedding has {vocabulary} rows"
        fix = "make room with transformers' resize_token_embeddings and save it beside the tokenizer"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=fix))


def _notes(loaded: Loaded, files: ModelFiles, heads: int) -> Iterable[str]:
    if loaded.left:
        named = ", ".join(loaded.left[:3]) + (f" and {len(loaded.left) - 3} more" if len(loaded.left) > 3 else "")
        yield f"model {files.name}: tensors that are not used, such as heads of another kind of model: {named}"
    if loaded.other_heads:
        yield (
            f"model {files.name}: has {loaded.other_heads} heads and {heads} are asked for, so its own are left; "
            f"to go on from its own set heads: {loaded.other_heads}"
        )
