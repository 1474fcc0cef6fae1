"""A checkpoint -> a module to train. Weights are float32 while they are trained; what is saved has the checkpoint's own type."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from accelerate import PartialState
from peft import TaskType
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedModel

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, check_weights
from training.config import Training
from training.data.batches import Layout
from training.model import attention, launch, noise
from training.model.adapters import adapted
from training.model.modules import Policy, RewardModel, TrainableModel

T = TypeVar("T", bound=TrainableModel)
HEAD = "score"
"""Layer of scalar heads of a sequence classifier, which a reward model or a critic makes anew where there is none."""


def load_policy(files: ModelFiles, settings: Training) -> Policy:
    """The checkpoint as a policy, with an adapter where the settings ask for one. Raises ModelError."""
    layout = choose_layout(files, settings)
    policy = Policy(_load(AutoModelForCausalLM, files, layout)[0], layout)
    if PartialState().is_main_process:  # others may not have the weights yet
        policy.check_head()
    policy.model = adapted(policy.model, settings.lora, TaskType.CAUSAL_LM)
    return _prepared(policy, files, settings)


def load_reward(files: ModelFiles, heads: int, settings: Training) -> RewardModel:
    """The checkpoint with scalar heads: its own where it has as many, otherwise new ones of zeros. Raises ModelError."""
    layout = choose_layout(files, settings)
    model = _classifier(files, layout, num_labels=heads)
    model.config.reward_heads = heads
    reward = RewardModel(adapted(model, settings.lora, TaskType.SEQ_CLS), layout)
    return _prepared(reward, files, settings)


def load_critic(files: ModelFiles, settings: Training) -> RewardModel:
    """The checkpoint with one scalar head: the mean of those it has, otherwise zeros. Raises ModelError."""
    layout = choose_layout(files, settings)
    model = _classifier(files, layout)
    mean = model.score.weight.detach().mean(0, keepdim=True)
    model.score = nn.Linear(mean.shape[1], 1, bias=False)
    model.score.weight = nn.Parameter(mean)
    model.num_labels = model.config.num_labels = model.config.reward_heads = 1
    critic = RewardModel(adapted(model, settings.lora, TaskType.SEQ_CLS), layout)
    return _prepared(critic, files, settings)


def choose_layout(files: ModelFiles, settings: Training) -> Layout:
    """How batches are laid out. Raises ModelError where `packed` was asked for and is impossible."""
    exact_on_gpu = settings.precision == "fp32" and not launch.on_cpu()  # whose kernel takes half precision alone
    if settings.layout == "padded" or (settings.layout == "auto" and exact_on_gpu):
        return "padded"
    reason = attention.packs(AutoConfig.from_pretrained(files.path).get_text_config(), settings.max_length)
    if reason and settings.layout == "packed":
        got = f"got packed, but model {files.name} cannot be packed: {reason}"
        raise ModelError(Problem("", "layout", got, fix="set layout: auto"))
    return "padded" if reason else "packed"


def _load(kind: Any, files: ModelFiles, layout: Layout, new: str = "", **more: Any) -> tuple[Any, dict[str, Any]]:
    """(the model in float32 and in evaluation mode, what transformers says of the weights it found).

    new: name of a layer that may be missing or of another size. Raises ModelError where another weight is.
    """
    attention.register()
    try:
        model, report = kind.from_pretrained(
            files.path,
            dtype=torch.float32,
            attn_implementation=attention.NAME if layout == "packed" else None,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **more,
        )
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:500]
        got = f"transformers cannot load it ({reason})"
        raise ModelError(Problem(f"model {files.path}", got=got, fix="check the folder")) from error
    if PartialState().is_main_process:  # others may not have the weights yet
        check_weights(model, report, files, new)
    return model, report


def _classifier(files: ModelFiles, layout: Layout, **more: Any) -> PreTrainedModel:
    """The checkpoint with a linear layer of scalar heads, of zeros where it has none of that size. Raises ModelError."""
    model, report = _load(AutoModelForSequenceClassification, files, layout, new=HEAD, **more)
    if not isinstance(getattr(model, HEAD, None), nn.Linear):
        got = f"{type(model).__name__} has no linear head named {HEAD}"
        raise ModelError(Problem(f"model {files.path}", got=got, fix="train another model"))
    missing = any(name.startswith(HEAD) for name in report["missing_keys"])
    kind = ", ".join(model.config.architectures or ())
    if missing and kind.endswith("ForSequenceClassification"):
        got = f"is a {kind} without its head (no tensor {HEAD}.weight)"
        fix = "fetch the checkpoint again, or name the model that it was trained from"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=fix))
    if missing or any(name.startswith(HEAD) for name, *_ in report["mismatched_keys"]):
        nn.init.zeros_(model.score.weight)
    return model


def _prepared(module: T, files: ModelFiles, settings: Training) -> T:
    saved = AutoConfig.from_pretrained(files.path).dtype
    module.base_dtype = saved if isinstance(saved, torch.dtype) else torch.float32
    named = settings.save_dtype
    module.saved_dtype = module.base_dtype if named == "auto" else getattr(torch, named)
    module.base_name = files.name
    if settings.gradient_checkpointing:
        noise.recompute(module.inner)
        if module.adapted:
            module.inner.enable_input_require_grads()
    if settings.compile:
        module.compile_layers()
    module.told_of_training = noise.in_training(module.model)
    if PartialState().is_main_process:  # others may not have the weights yet
        module.train()
        noise.check(module.hidden, module.layout, files.name)
    return module
