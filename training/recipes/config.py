"""The settings of each recipe on rows: what all share is in `training/config.py`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from constitution.errors import invalid
from generation.reads import ReadIf
from training.config import Training
from training.data.columns import TrainOn
from training.data.labels import Labels

Aggregate = Literal["min", "product", "last"]
"""How the probabilities of steps become one of the whole response."""
_OFFSET = ("soft", "sigmoid", "cdpo", "robust", "dpop")
_TAKES_MARGINS = ReadIf(f"loss is {', '.join(_OFFSET)}", lambda dpo, _: dpo.loss in _OFFSET)
_PAIRS = ReadIf("loss is not plackett_luce", lambda settings, _: settings.loss != "plackett_luce")
_POSITIVE = ReadIf("loss is dpop", lambda dpo, _: dpo.loss == "dpop")


class SFT(Training):
    """Supervised fine-tuning on the accepted revisions: the first phase of Constitutional AI (arXiv:2212.08073)."""

    learning_rate: float = Field(default=2e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times higher."""
    train_on: TrainOn = "last"
    """Which of the assistant's messages in a conversation (`messages`) are learnt: the `last`, or `all`. What users and tools say
    is never learnt; of a `completion` every message of the assistant's is."""


class Reward(Training):
    """A reward model: a scalar head on the last token of a response, trained on pairs."""

    labels: Labels = Labels()
    """How a pair's probability becomes the loss's label."""
    loss: Literal["bradley_terry", "plackett_luce"] = "bradley_terry"
    """bradley_terry: on pairs. plackett_luce: on rankings, rows with several responses; of a run, all responses to a prompt."""
    heads: int = Field(default=1, ge=1, le=64)
    """Heads of an ensemble, each trained on its own bootstrap sample of the pairs; their standard deviation is the uncertainty."""
    prior: Annotated[float, ReadIf("heads is above 1", lambda reward, _: reward.heads > 1)] = Field(default=1.0, ge=0)
    """Standard deviation of a new head's rewards before training. Heads differ by random priors, whose mean is 0 everywhere, and
    keep them where the pairs say nothing (arXiv:1806.03335); 0 starts all alike."""
    center: Annotated[float, _PAIRS] = Field(default=0.0, ge=0)
    """Weight of the squared sum of both rewards, which keeps rewards around 0 (arXiv:2312.09244)."""
    margins: Annotated[bool, _PAIRS] = False
    """Subtract the column `margin`, which each row must have, from the difference of rewards. For data whose margin is not
    derived from the label."""
    debias_length: bool = False
    """Learn beside the reward what labels owe to the length of a response, and leave that out of the reward."""


class DPO(Training):
    """Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290) on soft labels."""

    labels: Labels = Labels()
    """How a pair's probability becomes the loss's label."""
    learning_rate: float = Field(default=5e-6, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times higher."""
    beta: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Strength of the pull towards the reference."""
    loss: Literal[
        "soft",
        "sigmoid",
        "ipo",
        "cdpo",
        "robust",
        "gdpo",
        "apo_zero",
        "apo_down",
        "dpop",
        "plackett_luce",
        "reference_free",
    ] = "soft"
    """soft: cross-entropy with p_chosen. sigmoid: the paper's loss, which counts every label as 1. cdpo, robust: with
    label_smoothing. apo_zero: for responses better than the model's own; apo_down: for worse ones. dpop: with a penalty where the
    chosen response becomes less likely. plackett_luce: on rankings, rows with several responses; of a run, all responses to a
    prompt. reference_free: without a reference."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Assumed share of wrong labels, above 0; only for cdpo and robust."""
    penalty: Annotated[float, _POSITIVE] = Field(default=50.0, gt=0, allow_inf_nan=False)
    """Weight of the log-probability that a chosen response has lost against the reference; the paper's lambda."""
    margins: Annotated[bool, _TAKES_MARGINS] = False
    """Subtract the column `margin`, which each row must have, from beta times the difference of log-ratios: the offset of ODPO
    (arXiv:2402.10571). For data whose margin is not derived from the label: a soft label is an offset already."""
    normalize: bool = False
    """Divide log-probabilities by the length of the response."""
    sft_weight: Annotated[float, _PAIRS] = Field(default=0.0, ge=0)
    """Weight of an additional SFT loss: the mean negative log-likelihood of the chosen response."""

    @model_validator(mode="after")
    def _smoothed(self) -> DPO:
        reads = self.loss in ("cdpo", "robust")
        if self.label_smoothing and not reads:
            got = f"got {self.label_smoothing}, which loss: {self.loss} does not read"
            raise invalid(got, fix="set loss: cdpo or robust, or leave label_smoothing out", key="label_smoothing")
        if reads and not self.label_smoothing:
            got = f"got 0, with which loss: {self.loss} is soft"
            raise invalid(got, fix="set label_smoothing above 0, as in 0.1", key="label_smoothing")
        return self


class SimPO(Training):
    """Simple preference optimization (Meng et al. 2024, arXiv:2405.14734): no reference, log-probabilities per token, a margin."""

    labels: Labels = Labels()
    """How a pair's probability becomes the loss's label."""
    learning_rate: float = Field(default=1e-6, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times higher."""
    beta: float = Field(default=2.0, gt=0, allow_inf_nan=False)
    """Scale of the reward, which is the log-probability per token."""
    gamma: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Margin by which the better response's reward should be ahead."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of an additional SFT loss: the mean negative log-likelihood of the chosen response."""


class ORPO(Training):
    """Odds-ratio preference optimization (Hong et al. 2024, arXiv:2403.07691): fine-tuning and preference in one, no reference."""

    labels: Labels = Labels()
    """How a pair's probability becomes the loss's label, of the fine-tuning too."""
    learning_rate: float = Field(default=8e-6, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times higher."""
    odds_weight: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Weight of the odds ratio beside the fine-tuning: the paper's lambda."""


class KTO(Training):
    """Kahneman-Tversky optimization (Ethayarajh et al. 2024, arXiv:2402.01306) on single responses that are good or bad."""

    labels: Labels = Labels()
    """How the probability that a response is a good one becomes the loss's label."""
    learning_rate: float = Field(default=1e-6, gt=0, allow_inf_nan=False)
    """Peak learning rate. With `lora` the default is 10 times higher."""
    beta: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """Strength of the pull towards the reference."""
    loss: Literal["kto", "apo_zero"] = "kto"
    """kto: against the KL of the policy from its reference, which responses to other prompts measure before each step. apo_zero:
    against 0, which saves that pass."""
    desirable_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Weight of good responses. With n of them and m bad ones, n and m times their weights should be as 1 to 1, up to 4 to 3."""
    undesirable_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Weight of bad responses."""


class Process(Training):
    """A process reward model: a scalar head on the last token of each step of a response, trained on steps that are labelled."""

    separator: str = Field(default="\n", min_length=1)
    """Text between two steps."""
    aggregate: Aggregate = "min"
    """The whole response's probability of being right: the least of its steps', their product, or the last one's."""
