"""The settings of a recipe: `--config FILE` and `--set key=value`, checked before any model loads."""

from __future__ import annotations

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from constitution.errors import invalid
from constitution.records import Strict
from generation.reads import ReadIf, check_read

Schedule = Literal["linear", "cosine", "constant"]
RecipeName = Literal["sft", "best_of", "reward", "dpo", "simpo", "orpo", "kto", "process", "ppo"]
Bits = Literal["4bit", "8bit"]
RECENT = 10
"""Values of a metric that are kept; the mean of so many is what `min_accuracy` judges."""


class Lora(Strict):
    """Train low-rank updates instead of all weights (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(default=16, ge=1)
    """Rank of the updates."""
    alpha: float = Field(default=32, gt=0)
    """The updates are scaled by alpha / r."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout probability of the adapter's inputs."""
    targets: str | tuple[str, ...] = "all-linear"
    """Names of the layers that are updated; `all-linear` takes every linear layer but the head."""
    merge: bool = True
    """Save the base with the updates merged into it: an ordinary checkpoint. False saves the adapter alone."""


def _reporters(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise invalid(f"got {', '.join(names)}", "each once")
    for name in names:
        package = find_spec(name)
        if package is None or package.origin is None:  # a folder of that name is no package
            raise invalid(f"got {name}, which is not installed", fix=f"pip install {name}, or leave it out")
    return names


def _compiler(wanted: bool) -> bool:
    name = os.environ.get("CXX", "g++")
    if wanted and shutil.which(name) is None:
        got = f"got true, which needs a C++ compiler, and there is no {name}"
        raise invalid(got, fix="install it, name another in CXX, or leave compile out")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if wanted and not header.is_file():
        fix = "install Python's headers (python3-dev), or leave compile out"
        raise invalid(f"got true, which needs {header}", fix=fix)
    return wanted


_LEAKS = ReadIf("leak_rows is set", lambda watch, _: watch.leak_rows is not None)
BY_EPOCHS = ReadIf("steps is not set", lambda training, _: training.steps is None)


class WatchSettings(Strict):
    """Limits. None switches one off. A row is one logged step of training."""

    patience: int = Field(default=3, ge=1, le=RECENT)
    """Consecutive rows that must exceed `logp_drop` or a limit of collapse."""
    leak_rows: int | None = Field(default=5, ge=2)
    """Stop if the accuracy is 1 from the second row on, for at least this many rows, and the margin grows: the label leaks. The
    first row is ignored, since DPO starts with a margin of 0."""
    leak_pairs: Annotated[int, _LEAKS] = Field(default=32, ge=1)
    """Minimum number of pairs in these rows."""
    max_kl: float | None = Field(default=100.0, gt=0)
    """Stop above this KL from the reference, in nats per response."""
    min_kl: float | None = Field(default=-1.0, le=0)
    """Stop when the KL from the reference stays below this, in nats per response. It is the mean of log π/π_ref over responses,
    which only chance takes below 0 where they were sampled by π: further below they were sampled by something else, and the KL
    penalty rewards what it should punish."""
    min_score_std: float | None = Field(default=1e-3, ge=0)
    """Warn when the standard deviation of an iteration's scores stays below this: all responses are rewarded alike."""
    max_hidden: float | None = Field(default=0.2, ge=0, le=1)
    """Warn above this share of responses that hide special tokens or white space."""
    min_entropy: float | None = Field(default=0.05, ge=0)
    """Stop PPO below this entropy, in nats per token; other recipes only warn, since confident rows also lower it."""
    min_distinct: float | None = Field(default=0.1, ge=0, le=1)
    """Stop under this share of different responses."""
    min_length: float | None = Field(default=2.0, ge=0)
    """Stop under this mean length of responses, in tokens."""
    endless: bool = True
    """Stop if no response ends any more, although some did at first."""
    logp_drop: float | None = Field(default=0.2, gt=0)
    """Warn when chosen responses have lost more than this share of the log-probability that they have under the reference."""
    max_clip_fraction: float | None = Field(default=0.4, ge=0, le=1)
    """Warn above this share of clipped tokens."""
    min_explained_variance: float | None = Field(default=-0.5, lt=1)
    """Warn under this, after ten rows."""
    min_accuracy: float | None = Field(default=0.45, ge=0, le=1)
    """Warn when the mean accuracy of the last ten rows is under this, after twenty rows."""
    max_mismatch_kl: float | None = Field(default=0.1, ge=0)
    """Warn above this KL of the sampler from the trainer, in nats per token."""
    max_truncated: float | None = Field(default=0.5, ge=0, le=1)
    """Warn above this share of cut responses."""


class Training(Strict):
    """What all recipes share."""

    model: str = "embedded"
    """The model that is trained: `embedded`, a local folder, or a hub id."""
    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """What the model's chat template is told, as in `{enable_thinking: false}`; a row's own column of that name comes before it."""
    data: dict[str, float] = Field(default_factory=dict)
    """Run folder, or whatever `solon feedback --prompts` takes -> weight of its rows in the loss."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Field -> the column of `data` that holds it, where that has another name, as in `prompt: question`."""
    test_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of prompts held out of data that has no test split, by a hash of the prompt."""
    eval_sources: tuple[str, ...] = ()
    """Sources among `data` whose held-out rows are evaluated; those of the others are left out and counted. All where empty."""
    limit: int | None = Field(default=None, ge=1)
    """Read at most so many rows of each split of each source."""
    max_failed: float = Field(default=0.2, ge=0, le=1)
    """Share of a source's rows that may be unusable: they are left out and counted. With more of them nothing is trained. One row
    may be in any case, unless this is 0."""
    seed: int = Field(default=0, ge=0)
    """Seeds the order of the rows, dropout and fresh weights."""
    epochs: Annotated[float, BY_EPOCHS] = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Passes over the rows."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps in place of `epochs`."""
    batch_size: int = Field(default=32, ge=1)
    """Rows of one optimizer step, over all processes."""
    micro_batch_size: int = Field(default=4, ge=1)
    """Rows of one forward pass, per process. It changes memory and speed, not the result."""
    learning_rate: float = Field(default=1e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times the recipe's: low-rank updates start at zero and need it."""
    schedule: Schedule = "linear"
    """How the learning rate decays after its warm-up."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are scaled down to this norm."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of activations; weights and optimizer are float32 in either case."""
    max_length: int = Field(default=1024, ge=8)
    """Maximum tokens of prompt and response. A prompt that leaves no room is dropped, a longer response is cut; both are
    counted."""
    truncated: Literal["keep", "drop"] = "keep"
    """What happens to a row whose response is cut, here or when it was sampled."""
    bucket: bool = True
    """Rows of similar length share a micro-batch."""
    layout: Literal["auto", "packed", "padded"] = "auto"
    """packed: no padding, and the responses of a pair share their prompt. padded: for models whose attention cannot be replaced.
    auto: packed if possible, but padded in float32 on a GPU, whose kernel supports half precision only."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass to save memory."""
    compile: Annotated[bool, AfterValidator(_compiler)] = False
    """Fuse the operations of each decoder layer with torch.compile: faster and smaller steps for half a minute at the start."""
    kernels: Literal["plain", "liger"] = "plain"
    """liger: Liger's fused kernels in place of a model's norms, rotary positions and gated layers; on a GPU, with liger-kernel
    installed."""
    router_aux_loss: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Weight of the loss that spreads a step's tokens evenly over the experts of a mixture (arXiv:2101.03961), like a model's
    own `router_aux_loss_coef`; usually 0.001 to 0.02. Costs one more forward pass a step, which counts them."""
    lora: Lora | None = None
    """Train a low-rank adapter; null trains all weights."""
    quantize: Bits | None = None
    """Keep the base's linear layers in few bits while an adapter is trained on them (QLoRA, arXiv:2305.14314), by bitsandbytes.
    4bit: NF4 with double quantization. 8bit: a scale for each row. They are computed with in `precision`. Needs lora, whose
    updates are merged into the weights that the quantized ones stand for."""
    log_every: int = Field(default=1, ge=1)
    """Steps between two rows of metrics."""
    eval_every: int | None = Field(default=None, ge=1)
    """Steps between two evaluations on held-out rows; only at the end where None."""
    save_every: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints for resuming; about a tenth of all steps where None."""
    keep_checkpoints: int = Field(default=1, ge=1)
    """How many checkpoints are kept."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations without a better loss. Needs eval_every."""
    load_best: bool = False
    """Save the model of the best evaluation, not the last one. Needs eval_every; save_every, where set, is a multiple of it."""
    report_to: Annotated[tuple[Literal["tensorboard", "wandb"], ...], AfterValidator(_reporters)] = ("tensorboard",)
    """Where live metrics are sent, besides metrics.jsonl."""
    save_dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the saved weights; auto: that of `model`. What is reported is measured on the weights as saved. Small updates need
    float32 to be kept whole."""
    license: str = "unknown"
    """License field of the model card. Fill it in yourself: it depends on model and data."""
    watch: WatchSettings = WatchSettings()
    """When training is stopped because its figures look wrong."""

    @model_validator(mode="before")
    @classmethod
    def _faster(cls, given: Any) -> Any:
        """The learning rate that low-rank updates take where none is given."""
        if not isinstance(given, dict) or given.get("lora") is None or "learning_rate" in given:
            return given
        return {**given, "learning_rate": 10 * cls.model_fields["learning_rate"].default}

    @model_validator(mode="after")
    def _possible(self) -> Training:
        for name, weight in self.data.items():
            if not 0 < weight < float("inf"):
                raise invalid(f"got weight {weight}", "a positive number", key=f"data.{name}")
        if unknown := [name for name in self.eval_sources if name not in self.data]:
            allowed = ", ".join(self.data) or "none, as data names none"
            raise invalid(f"got {', '.join(unknown)}", f"sources of data: {allowed}", key="eval_sources")
        if (self.patience or self.load_best) and not self.eval_every:
            key = "load_best" if self.load_best else "patience"
            fix = "set it to the number of steps between two evaluations"
            raise invalid("needs eval_every", fix=fix, key=key)
        if self.quantize and self.lora is None:
            got = f"got {self.quantize}, and quantized weights can only be trained through an adapter"
            raise invalid(got, fix="set lora: {r: 16}, or leave quantize out", key="quantize")
        if self.quantize and self.compile:
            got = "got true with quantize, whose layers are made of operations that are not compiled"
            raise invalid(got, fix="leave one of them out", key="compile")
        if self.router_aux_loss and self.compile:
            got = "got true with router_aux_loss, which reads routers inside the layers that are fused"
            raise invalid(got, fix="leave one of them out", key="compile")
        if self.load_best and self.save_every and self.eval_every and self.save_every % self.eval_every:
            got = f"got {self.save_every}, and load_best saves where an evaluation is"
            raise invalid(got, f"multiples of eval_every ({self.eval_every})", key="save_every")
        check_read(self)
        return self

    @property
    def merges(self) -> bool:
        """True where an adapter is trained and not what is saved."""
        return self.lora is not None and self.lora.merge
