"""A checkpoint -> a module to train. Weights are float32 while they are trained; what is saved has the checkpoint's own type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from peft import TaskType
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, check_weights, exact_attention, load_config
from training.config import Training
from training.data.batches import Layout
from training.model import attention, kernels, launch, noise
from training.model.adapters import adapted
from training.model.experts import Experts
from training.model.heads import draw_priors
from training.model.modules import Policy, RewardModel, TrainableModel
from training.model.quantized.layers import take_over
from training.model.quantized.reading import BITSANDBYTES, method_of, reading

T = TypeVar("T", bound=TrainableModel)
HEAD = "score"
"""Layer of scalar heads of a sequence classifier, which a reward model or a critic makes anew where there is none."""


class Loaded(NamedTuple):
    """A transformers model, and what was found in its files."""

    model: Any
    report: dict[str, Any]
    """What transformers says of the tensors."""
    left: list[str]
    """Tensors that are not used and that nobody misses."""

    @property
    def new_heads(self) -> bool:
        """True where the heads that are asked for are not the checkpoint's."""
        return bool(self.other_heads) or any(name.startswith(HEAD) for name in self.report["missing_keys"])

    @property
    def other_heads(self) -> int:
        """How many heads the checkpoint has, where that is not how many are asked for; else 0."""
        shapes = [shape for name, shape, _ in self.report["mismatched_keys"] if name.startswith(HEAD)]
        return int(shapes[0][0]) if shapes else 0


def load_policy(files: ModelFiles, settings: Training) -> Policy:
    """The checkpoint as a policy, with an adapter where the settings ask for one. Raises ModelError."""
    layout = choose_layout(files, settings)
    policy = Policy(load(AutoModelForCausalLM, files, settings, layout).model, layout)
    if launch.state().is_main_process:  # others may not have the weights yet
        noise.check(policy.hidden, layout, files.name)  # first: what draws noise passes no other check
        policy.check_head()
    policy.model = adapted(policy.model, settings.lora, TaskType.CAUSAL_LM)
    return _prepared(policy, files, settings)


def load_reward(files: ModelFiles, heads: int, settings: Training, prior: float = 0.0) -> RewardModel:
    """The checkpoint with scalar heads: its own where it has as many, otherwise new ones. Raises ModelError.

    prior: standard deviation of a new head's rewards, whose mean over the heads is 0; see heads.py.
    """
    layout = choose_layout(files, settings)
    loaded = classifier(files, settings, layout, num_labels=heads)
    loaded.model.config.reward_heads = heads
    reward = RewardModel(loaded.model, layout)
    if loaded.new_heads:
        draw_priors(reward, prior, settings.seed)
    reward.model = adapted(reward.model, settings.lora, TaskType.SEQ_CLS)
    return _prepared(reward, files, settings)


def load_critic(files: ModelFiles, settings: Training) -> RewardModel:
    """The checkpoint with one scalar head: the mean of those it has, otherwise zeros. Raises ModelError."""
    layout = choose_layout(files, settings)
    model = classifier(files, settings, layout).model
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
    reason = attention.packs(load_config(files).get_text_config(), settings.max_length)
    if reason and settings.layout == "packed":
        got = f"got packed, but model {files.name} cannot be packed: {reason}"
        raise ModelError(Problem("", "layout", got, fix="set layout: auto"))
    return "padded" if reason else "packed"


def load(
    kind: Any, files: ModelFiles, settings: Training, layout: Layout, new: str = "", empty: bool = False, **more: Any
) -> Loaded:
    """The model in float32 and in evaluation mode.

    kind: one of transformers' AutoModel classes. new: name of a layer that may be missing or of another size. empty: names and
    shapes alone, without weights. Raises ModelError where another weight is missing, and for a checkpoint that cannot be trained.
    """
    attention.register()
    logging.disable_progress_bar()  # where tqdm was imported before its settings were made
    config = load_config(files)
    how = reading(config, files, settings)
    quantized = not empty and (settings.quantize is not None or method_of(config) == BITSANDBYTES)
    more |= {} if empty and settings.quantize else how
    try:
        model, report = kind.from_pretrained(
            files.path,
            dtype=torch.float32,
            attn_implementation=attention.NAME if layout == "packed" else exact_attention(config),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            device_map="meta" if empty else None,
            **more,
        )
    except Exception as error:  # a wrong value in config.json may raise anything
        raise ModelError(Problem(f"model {files.path}", **_refused(error, config))) from error
    if quantized:
        take_over(model)
    left: list[str] = []
    if launch.state().is_main_process or empty:  # others may not have the weights yet
        left = check_weights(model, report, files, new)
        _check_parts(model, left, config, files)
    return Loaded(model, report, left)


def _refused(error: Exception, config: PretrainedConfig) -> dict[str, str]:
    """Why transformers does not load a checkpoint, and what to do."""
    reason = " ".join(str(error).split())[:300]
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        got = f"is a {config.model_type} model, which transformers cannot load as a language model of text alone"
        return {"got": got, "fix": "name a model of text, such as the language model inside it saved on its own"}
    return {"got": f"transformers cannot load it ({reason})", "fix": "fetch config.json and the weights again"}


def _check_parts(model: PreTrainedModel, left: Sequence[str], config: PretrainedConfig, files: ModelFiles) -> None:
    """Raises ModelError for a model of several parts that would be saved without one of them."""
    if left and config.get_text_config() is not config:
        got = f"as a {type(model).__name__} it would lose what it has beside the language model ({', '.join(left[:3])}, ...)"
        fix = "name a model of text, such as the language model inside it saved on its own"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=fix))


def classifier(files: ModelFiles, settings: Training, layout: Layout, empty: bool = False, **more: Any) -> Loaded:
    """The checkpoint with a linear layer of scalar heads, of zeros where it has none of that size. Raises ModelError."""
    config = load_config(files)
    if config.get_text_config() is not config:
        got = "has parts beside its language model, of which no reward model is made"
        raise ModelError(Problem(f"model {files.path}", got=got, fix="name a model of text"))
    loaded = load(AutoModelForSequenceClassification, files, settings, layout, HEAD, empty, **more)
    model = loaded.model
    if not isinstance(getattr(model, HEAD, None), nn.Linear):
        got = f"{type(model).__name__} has no linear head named {HEAD}"
        raise ModelError(Problem(f"model {files.path}", got=got, fix="train another model"))
    missing = any(name.startswith(HEAD) for name in loaded.report["missing_keys"])
    kind = ", ".join(model.config.architectures or ())
    if missing and kind.endswith("ForSequenceClassification"):
        got = f"is a {kind} without its head (no tensor {HEAD}.weight)"
        fix = "fetch the checkpoint again, or name the model that it was trained from"
        raise ModelError(Problem(f"model {files.path}", got=got, fix=fix))
    if (missing or loaded.other_heads) and not empty:
        nn.init.zeros_(model.score.weight)
    return loaded


def _prepared(module: T, files: ModelFiles, settings: Training) -> T:
    saved = load_config(files).dtype
    module.base_dtype = saved if isinstance(saved, torch.dtype) else torch.float32
    named = settings.save_dtype
    module.saved_dtype = module.base_dtype if named == "auto" else getattr(torch, named)
    module.base_name = files.name
    module.base_folder = files.path
    if settings.gradient_checkpointing:
        noise.recompute(module.inner)
        if module.adapted:
            module.inner.enable_input_require_grads()
    if settings.kernels == "liger":
        kernels.check(settings)
        kernels.fuse(module.inner)
    if settings.compile:
        module.compile_layers()
    if settings.router_aux_loss:
        module.experts = Experts(module.inner, settings.router_aux_loss)
    module.told_of_training = noise.in_training(module.model)
    if launch.state().is_main_process:  # others may not have the weights yet
        module.train()
        noise.check(module.hidden, module.layout, files.name)
    return module
