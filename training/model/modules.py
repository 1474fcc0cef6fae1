"""The models that are trained: transformers' own, inside modules whose forward gives what the losses need.

Log-probabilities and rewards are computed inside `forward`, so that wrappers which gather weights for a forward pass (FSDP) and
those which watch its outputs (DDP) see all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel

from constitution.errors import Problem
from generation.engines.base import ModelError
from generation.engines.checkpoint import trunk
from training.data.batches import Batch, Example, Layout, collate
from training.model import attention
from training.model.experts import Experts
from training.model.logprobs import token_scores
from training.model.rotary import Rotary
from training.model.rounding import HALVES

COVARIATE = "covariate"
"""In a batch: something else than quality that labels may go by, of each response, [R]; 0 on average over those of a prompt."""
COVARIATE_WEIGHT = "covariate_weight"
"""Parameter of a reward model: what its labels owe to it."""


_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""Names of the soft cap of a model's logits in its configuration."""


class TokenScores(NamedTuple):
    """Of each response token of a batch."""

    logprobs: Tensor
    """[N] float32, in nats, given all tokens before it."""
    entropy: Tensor
    """[N] float32, in nats, of the distribution it was drawn from; NaN where the policy is told to leave it out."""


class TrainableModel(nn.Module):  # type: ignore[misc]
    """A transformers model, or its PeftModel, as `model`."""

    accepts_loss_kwargs = False
    """Asked by transformers' Trainer; the losses are ours."""

    def __init__(self, model: PreTrainedModel | PeftModel, layout: Layout) -> None:
        super().__init__()
        self.model = model
        self.layout: Layout = layout
        self._rotary = Rotary(model)
        self.base_dtype: torch.dtype = torch.float32
        """Of the checkpoint it came from."""
        self.saved_dtype: torch.dtype = torch.float32
        """Of the checkpoint that is written."""
        self.base_name = ""
        """Of that checkpoint; its place on this machine is nobody's business."""
        self.base_folder: Path | None = None
        """Where its files are."""

        self.experts: Experts | None = None
        """What reads its routers, where their balance is trained."""
        self.told_of_training: Sequence[nn.Module] = ()
        """Parts of the model that know of training; all others stay in evaluation mode (see noise.py)."""

    def train(self, mode: bool = True) -> Self:
        """The weights of a model are trained with its noise off: training mode is for the recipe and for adapters."""
        self.training = mode
        for part in self.told_of_training:
            part.training = mode
        return self

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
        """Asked by accelerate."""
        return self.layers

    @property
    def layers(self) -> list[str]:
        """Classes of the layers that FSDP shards one by one, those that this model has."""
        present = {type(module).__name__ for module in self.modules()}
        return [name for name in self.inner._no_split_modules or () if name in present]

    def tie_weights(self) -> None:
        """Asked by accelerate, which takes weights apart that are one when it shards them."""
        self.inner.tie_weights()

    @property
    def rounds_at_random(self) -> bool:
        """True where weights are saved in the base's own half precision, in which small updates would vanish."""
        return self.saved_dtype in HALVES and self.saved_dtype == self.base_dtype and not self.adapted

    @property
    def adapted(self) -> bool:
        """True when low-rank updates are trained and not the weights."""
        return isinstance(self.model, PeftModel)

    def compile_layers(self) -> None:
        """Let torch.compile fuse what a decoder layer does; layers of one shape share what is compiled, as do batches of any size.

        What is fused is rounded where single operations would be, to stay close to the same training without it. Raises ModelError
        for a model that does not say which modules are its layers.
        """
        layers = self.layers
        if not layers:
            got = f"got true, and model {self.config.model_type} does not name its layers"
            raise ModelError(Problem("", "compile", got, fix="leave compile out"))
        for module in self.modules():
            if type(module).__name__ in layers:
                module.compile(dynamic=True, options={"emulate_precision_casts": True})

    def hidden(self, batch: Batch) -> Tensor:
        """Last hidden states of all tokens, flat: [tokens, width]."""
        return self._run(trunk(self.inner)[1], batch).last_hidden_state.flatten(0, 1)

    def _run(self, model: nn.Module, batch: Batch) -> Any:
        """Padding stands after what is real, so that no causal model sees it: a mask would cost a slower kernel, and a wait to see
        whether it hides anything."""
        more = {"segments": batch["segments"]} if "segments" in batch else {}
        with self._rotary.of(batch):
            return model(input_ids=batch["tokens"], position_ids=batch["positions"], use_cache=False, **more)


class Policy(TrainableModel):
    """A causal language model that says how likely given responses are."""

    def __init__(self, model: PreTrainedModel | PeftModel, layout: Layout) -> None:
        super().__init__(model, layout)
        config = self.inner.config.get_text_config()
        caps = (getattr(config, name, None) for name in _CAPS)
        cap = next(filter(None, caps), None)
        self._cap = float(cap) if cap else None
        self.entropies = True
        """Whether entropies are computed: two more passes over all logits."""
        self._scale = float(getattr(config, "logits_scaling", 1.0) or 1.0) / float(
            getattr(config, "logit_scale", 1.0) or 1.0
        )

    def forward(self, batch: Batch, temperature: float = 1.0, reference: bool = False) -> TokenScores:
        """Scores of each response token. reference: with the adapter off; raises ValueError where there is none."""
        if reference and not self.adapted:
            raise ValueError("only a model with an adapter is its own reference")
        batch = self._rotary.apart(batch)
        with self.model.disable_adapter() if reference else nullcontext():
            hidden = self.hidden(batch).index_select(0, batch["where"])
        head = self.inner.get_output_embeddings()
        bias, heat = getattr(head, "bias", None), temperature * self._scale
        return TokenScores(*token_scores(hidden, head.weight, batch["targets"], heat, bias, self._cap, self.entropies))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def check_head(self) -> None:
        """Raises ModelError where the model's own logits are not what one linear layer makes of its hidden states, and for a model
        whose logits depend on tokens that come later.
        """
        batch = collate([Example([0, 1], [[2, 1]])], self.layout)
        logits = self._run(self.inner, batch).logits.flatten(0, 1)[batch["where"]].float()
        own = logits.log_softmax(-1).gather(-1, batch["targets"][:, None]).squeeze(-1)
        try:
            linear = torch.allclose(self(batch).logprobs, own, rtol=1e-3, atol=1e-3, equal_nan=True)
        except RuntimeError:  # the layer is of another width than the states
            linear = False
        if not linear:
            got = "its head is more than one linear layer, which training does not compute"
            raise ModelError(Problem(f"model {self.config.model_type}", got=got, fix="train another model"))
        ahead = torch.tensor([[0, 1, 2, 1], [0, 1, 2, 0]])
        with self.generating() as model:
            first, second = model(input_ids=ahead, use_cache=False).logits[:, :3].float()
        if float((first - second).abs().max()) > 1e-4 * float(first.abs().max()):
            got = "what it says of a token depends on tokens that come later, so it does not write"
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

    def __init__(self, model: PreTrainedModel | PeftModel, layout: Layout) -> None:
        super().__init__(model, layout)
        self.register_parameter(COVARIATE_WEIGHT, None)

    def weigh_covariate(self, start: float) -> None:
        """Learn, beside the heads, what each of them would owe to the batch's covariate; it is no part of what is saved."""
        heads = self.inner.score.weight
        self.register_parameter(COVARIATE_WEIGHT, nn.Parameter(torch.full((len(heads),), start, device=heads.device)))

    def forward(self, batch: Batch, tokens: bool = False) -> Tensor:
        """Rewards [R, heads] at each response's last token, float32; with `tokens` values [N, heads] before each response token.

        In training, with the weighed covariate on top, where there is one.
        """
        batch = self._rotary.apart(batch)
        places = batch["where"] if tokens else batch["last"]
        hidden = self.hidden(batch).index_select(0, places)
        with torch.autocast(hidden.device.type, enabled=False):
            rewards = functional.linear(hidden.float(), self.inner.score.weight.float())
        if self.covariate_weight is not None and self.training:
            rewards = rewards + batch[COVARIATE][:, None] * self.covariate_weight
        return rewards
