"""Liger's fused kernels (Hsu et al. 2024, arXiv:2410.10989) in place of a model's own norms, rotary positions and gated layers.

Its fused losses are not needed: `logprobs` makes none of the tables that they save.
"""

from __future__ import annotations

from importlib.util import find_spec

from transformers import PreTrainedModel

from constitution.errors import Problem, UserError
from generation.engines.base import ModelError
from training.config import Training
from training.model import launch

_PARTS = {"rope": True, "rms_norm": True, "layer_norm": True, "swiglu": True, "geglu": True}
_LOSSES = {"cross_entropy": False, "fused_linear_cross_entropy": False}


def check(settings: Training) -> None:
    """Raises UserError for kernels that this machine cannot run."""
    if settings.kernels != "liger":
        return
    if launch.on_cpu():
        raise UserError(Problem("", "kernels", "got liger, whose kernels run on GPUs alone", "plain", "leave it out"))
    if find_spec("liger_kernel") is None:
        fix = "pip install 'solon-cai[liger]', or leave it out"
        raise UserError(Problem("", "kernels", "got liger, and liger-kernel is not installed", "plain", fix))


def fuse(model: PreTrainedModel) -> None:
    """Exchange the parts that Liger has kernels for. Raises ModelError for a kind of model that it does not know."""
    from liger_kernel.transformers import monkey_patch as liger

    kind = model.config.model_type
    if kind not in liger.MODEL_TYPE_TO_APPLY_LIGER_FN:
        got = f"got liger, which has no kernels for models of the kind {kind}"
        raise ModelError(Problem("", "kernels", got, "plain", "leave it out"))
    liger._apply_liger_kernel_to_instance(model, **_PARTS, **_LOSSES)
