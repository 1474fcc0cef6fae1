"""The models that are trained: transformers' own, inside modules whose forward gives what the losses need.

Log-probabilities and rewards are computed inside `forward`, so that wrappers which gather weights for a forward pass (FSDP) and
those which watch its outputs (DDP) see all there is. Weights are float32 while they are trained; what is saved has the type of
the checkpoint they came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import ModelFiles, check_weights
from generation.output.files import write_atomically
from training.config import Lora, Training
from training.data.batches import Batch, Example, Layout, collate
from training.model import attention, launch
from training.model.logprobs import token_scores

T = TypeVar("T", bound="TrainableModel")
HEAD = "score"
"""Layer of scalar heads of a sequence classifier, which a reward model or a critic makes anew where there is none."""
ADAPTER = "adapter_config.json"
"""File that tells a LoRA adapter from a whole checkpoint."""


class TokenScores(NamedTuple):
    """Of each response token of a batch."""

    logprobs: Tensor
    """[N] float32, in nats, given all tokens before it."""
    entropy: Tensor
    """[N] float32, in nats, of the distribution it was drawn from."""


class TrainableModel(nn.Module):  # type: ignore[misc]
    """A transformers model, or its PeftModel, as `model`."""

    accepts_loss_kwargs = False
    """Asked by transformers' Trainer; the losses are ours."""

    def __init__(self, model: PreTrainedModel | PeftModel, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self.layout: Layout = layout
        self.saved_dtype: torch.dtype = torch.float32
        """Of the checkpoint it came from."""
        self.base_name = ""
        """Of that checkpoint; its place on this machine is nobody's business."""

    @property
    def inner(self) -> PreTrainedModel:
        """The transformers model, adapters included."""
        return self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model

    @property
    def config(self) -> PretrainedConfig:
        """The transformers configuration."""
        return self.inner.config

    @property
    def _no_split_modules(self) -> list[str]:
        """Asked by accelerate: the layers that FSDP shards one by one, those that this model has."""
        present = {type(module).__name__ for module in self.modules()}
        return [name for name in self.inner._no_split_modules or () if name in present]

    def tie_weights(self) -> None:
        """Asked by accelerate, which takes weights apart that are one when it shards them."""
        self.inner.tie_weights()

    @property
    def adapted(self) -> bool:
        """True when low-rank updates are trained and not the weights."""
        return isinstance(self.model, PeftModel)

    def compile_layers(self) -> None:
        """Let torch.compile fuse what a decoder layer does; layers of one shape share what is compiled, as do batches of any size.

        What is fused is rounded where single operations would be, to stay close to the same training without it. Raises ModelError
        for a model that does not say which modules are its layers.
        """
        layers = self._no_split_modules
        if not layers:
            got = f"got true, and model {self.config.model_type} does not name its layers"
            raise ModelError(Problem("", "compile", got, fix="leave compile out"))
        for module in self.modules():
            if type(module).__name__ in layers:
                module.compile(dynamic=True, options={"emulate_precision_casts": True})

    def _hidden(self, batch: Batch) -> Tensor:
        """Last hidden states of all tokens, flat: [tokens, width]."""
        return self._run(self.inner.base_model, batch).last_hidden_state.flatten(0, 1)

    @staticmethod
    def _run(model: nn.Module, batch: Batch) -> Any:
        packed = "prompts" in batch
        more = {"segments": attention.segments(batch)} if packed else {"attention_mask": batch["mask"]}
        return model(input_ids=batch["tokens"], position_ids=batch["positions"], use_cache=False, **more)


class Policy(TrainableModel):
    """A causal language model that says how likely given responses are."""

    def __init__(self, model: PreTrainedModel | PeftModel, layout: Layout) -> None:
        """Raises ModelError for a model whose logits are squashed after the head."""
        super().__init__(model, layout)
        config = self.inner.config.get_text_config()
        if getattr(config, "final_logit_softcapping", None):
            got = "its logits have a soft cap, which training does not apply"
            raise ModelError(Problem(f"model {config.model_type}", got=got, fix="train another model"))
        self._scale = float(getattr(config, "logits_scaling", 1.0) or 1.0) / float(
            getattr(config, "logit_scale", 1.0) or 1.0
        )

    def forward(self, batch: Batch, temperature: float = 1.0, reference: bool = False) -> TokenScores:
        """Scores of each response token. reference: with the adapter off; raises ValueError where there is none."""
        if reference and not self.adapted:
            raise ValueError("only a model with an adapter is its own reference")
        with self.model.disable_adapter() if reference else nullcontext():
            hidden = self._hidden(batch).index_select(0, batch["where"])
        head = self.inner.get_output_embeddings()
        bias = getattr(head, "bias", None)
        return TokenScores(*token_scores(hidden, head.weight, batch["targets"], temperature * self._scale, bias))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def check_head(self) -> None:
        """Raises ModelError where the model's own logits are not what one linear layer makes of its hidden states."""
        batch = collate([Example([0, 1], [[2, 1]])], self.layout)
        logits = self._run(self.inner, batch).logits.flatten(0, 1)[batch["where"]].float()
        own = logits.log_softmax(-1).gather(-1, batch["targets"][:, None]).squeeze(-1)
        if not torch.allclose(self(batch).logprobs, own, rtol=1e-3, atol=1e-3, equal_nan=True):
            got = "its head is more than one linear layer, which training does not compute"
            raise ModelError(Problem(f"model {self.config.model_type}", got=got, fix="train another model"))

    @contextmanager
    def generating(self) -> Iterator[PreTrainedModel]:
        """The transformers model in a state to `generate`: evaluation mode, ordinary attention."""
        model, training = self.inner, self.training
        before = model.config._attn_implementation
        if before == attention.NAME:
            model.set_attn_implementation("sdpa")
        self.eval()
        try:
            with torch.compiler.set_stance("force_eager"):
                yield model
        finally:
            self.train(training)
            model.set_attn_implementation(before)


class RewardModel(TrainableModel):
    """A decoder with one or more scalar heads."""

    def forward(self, batch: Batch, tokens: bool = False) -> Tensor:
        """Rewards [R, heads] at each response's last token, float32; with `tokens` values [N, heads] before each response token."""
        places = batch["where"] if tokens else batch["last"]
        hidden = self._hidden(batch).index_select(0, places)
        with torch.autocast(hidden.device.type, enabled=False):
            return functional.linear(hidden.float(), self.inner.score.weight.float())


def load_policy(files: ModelFiles, settings: Training) -> Policy:
    """The checkpoint as a policy, with an adapter where the settings ask for one. Raises ModelError."""
    layout = choose_layout(files, settings)
    policy = Policy(_load(AutoModelForCausalLM, files, layout)[0], layout)
    if PartialState().is_main_process:  # others may not have the weights yet
        policy.check_head()
    policy.model = _adapted(policy.model, settings.lora, TaskType.CAUSAL_LM)
    return _prepared(policy, files, settings)


def load_reward(files: ModelFiles, heads: int, settings: Training) -> RewardModel:
    """The checkpoint with scalar heads: its own where it has as many, otherwise new ones of zeros. Raises ModelError."""
    layout = choose_layout(files, settings)
    model = _classifier(files, layout, num_labels=heads)
    model.config.reward_heads = heads
    reward = RewardModel(_adapted(model, settings.lora, TaskType.SEQ_CLS), layout)
    return _prepared(reward, files, settings)


def load_critic(files: ModelFiles, settings: Training) -> RewardModel:
    """The checkpoint with one scalar head: the mean of those it has, otherwise zeros. Raises ModelError."""
    layout = choose_layout(files, settings)
    model = _classifier(files, layout)
    mean = model.score.weight.detach().mean(0, keepdim=True)
    model.score = nn.Linear(mean.shape[1], 1, bias=False)
    model.score.weight = nn.Parameter(mean)
    model.num_labels = model.config.num_labels = model.config.reward_heads = 1
    critic = RewardModel(_adapted(model, settings.lora, TaskType.SEQ_CLS), layout)
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


def save(module: TrainableModel, tokenizer: PreTrainedTokenizerBase, folder: Path, merge: bool) -> None:
    """Write an ordinary checkpoint: weights, configuration and tokenizer; or the adapter alone, where it is not merged.

    The module is done with afterwards: its weights have the checkpoint's type, and a merged one has no adapter any more.
    """
    if module.adapted and merge:
        module.model = module.model.merge_and_unload()
    module.model.to(module.saved_dtype)
    module.inner.config.dtype = module.saved_dtype
    module.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if module.adapted:
        path = folder / ADAPTER
        adapter_config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": module.base_name}
        write_atomically(path, json.dumps(adapter_config, indent=2, sort_keys=True) + "\n")


def choose_padding(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig, end_of_turn: int) -> None:
    """Name a padding token that no conversation holds, for classifiers that find a row's end by it.

    transformers' sequence classifiers read the last token that is not padding. Where padding equals the token that ends a
    turn they would read the one before it.
    """
    kept = config.pad_token_id
    if kept is None or kept == end_of_turn:
        added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
        template = str(tokenizer.chat_template)
        free = [i for i, token in sorted(added.items()) if token.special and token.content not in template]
        free = [i for i in free if i not in (end_of_turn, tokenizer.bos_token_id)] or [
            i for i in sorted(added) if i != end_of_turn
        ]
        if free:
            kept = free[0]
    config.pad_token_id = kept
    if kept is not None:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(kept)


def _load(kind: Any, files: ModelFiles, layout: Layout, new: str = "", **more: Any) -> tuple[Any, dict[str, Any]]:
    """(the model in float32 and without dropout, what transformers says of the weights it found).

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
    _still(model)
    return model, report


def _still(model: nn.Module) -> None:
    """Turn dropout off: with it a model is not its own reference, and DPO would not start at ln 2, nor PPO's ratio at 1.

    Its configuration stays as it is, and so does the dropout of adapters, which come later.
    """
    for part in model.modules():
        for name, value in vars(part).items():
            if isinstance(value, float) and ("drop" in name or (name == "p" and isinstance(part, _DropoutNd))):
                setattr(part, name, 0.0)


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


def _adapted(model: PreTrainedModel, lora: Lora | None, task: TaskType) -> PreTrainedModel | PeftModel:
    """The model with low-rank updates. Raises ModelError for targets that it has not."""
    if lora is None:
        return model
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    settings = LoraConfig(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=targets, task_type=task
    )
    if task == TaskType.SEQ_CLS:
        settings.modules_to_save = ["score"]
    try:
        adapted = get_peft_model(model, settings)
    except ValueError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            Problem("", "lora.targets", f"got {lora.targets}; {reason}", fix="name layers of the model")
        ) from None
    ends = (model.get_input_embeddings(), model.get_output_embeddings(), getattr(model, "score", None))
    if any(isinstance(layer, BaseTunerLayer) for layer in ends):
        allowed = "layers between the embedding and the head, such as all-linear"
        raise ModelError(Problem("", "lora.targets", f"got {lora.targets}", allowed))
    return adapted


def _prepared(module: T, files: ModelFiles, settings: Training) -> T:
    saved = AutoConfig.from_pretrained(files.path).dtype
    module.saved_dtype = saved if isinstance(saved, torch.dtype) else torch.float32
    module.base_name = files.name
    if settings.gradient_checkpointing:
        module.inner.gradient_checkpointing_enable({"use_reentrant": False})
        if module.adapted:
            module.inner.enable_input_require_grads()
    if settings.compile:
        module.compile_layers()
    return module
