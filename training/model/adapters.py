"""Low-rank updates (LoRA) of a model, in place of its weights."""

from __future__ import annotations

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from constitution.errors import Problem, suggest
from generation.engines.base import ModelError
from training.config import Lora


def adapted(model: PreTrainedModel, lora: Lora | None, task: TaskType) -> PreTrainedModel | PeftModel:
    """The model with low-rank updates. Raises ModelError for targets that it has not."""
    if lora is None:
        return model
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    if isinstance(targets, list) and (unmatched := _unmatched(model, targets)):
        layers = sorted(
            {name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, nn.Linear)}
        )
        hints = (suggest(target, layers) for target in unmatched)
        got = "no layer of the model is named " + ", ".join(f"{t}{h}" for t, h in zip(unmatched, hints, strict=True))
        raise ModelError(Problem("", "lora.targets", got, ", ".join(layers)))
    settings = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type=task
    )
    if task == TaskType.SEQ_CLS:
        settings.modules_to_save = ["score"]
    try:
        changed = get_peft_model(model, settings)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            Problem("", "lora.targets", f"got {lora.targets}; {reason}", fix="name layers of the model")
        ) from None
    ends = (model.get_input_embeddings(), model.get_output_embeddings(), getattr(model, "score", None))
    if any(isinstance(layer, BaseTunerLayer) for layer in ends):
        allowed = "layers between the embedding and the head, such as all-linear"
        raise ModelError(Problem("", "lora.targets", f"got {lora.targets}", allowed))
    return changed


def _unmatched(model: PreTrainedModel, targets: list[str]) -> list[str]:
    """Names that peft would leave out without a word."""
    names = [name for name, _ in model.named_modules()]
    return [target for target in targets if not any(f".{name}".endswith(f".{target}") for name in names)]
