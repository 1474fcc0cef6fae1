"""Logits in float32, whatever a model's own type.

In bfloat16 logits are rounded to steps of 1/8 near 16, which is as wide as most differences between two labels. Hidden states stay
in the model's type; only their product with the head's weights is not rounded. A GPU adds such products up in float32 anyway;
elsewhere the head's weights are kept in float32 once more.
"""

from __future__ import annotations

import copy
from typing import Any

from safetensors import safe_open

from generation.engines.checkpoint import ModelFiles

_FLOATS = frozenset({"BF16", "F16", "F32", "F64"})


def has_plain_head(files: ModelFiles) -> bool:
    """True where the head's weights are ordinary numbers and not quantised, so that it can be computed in float32.

    A checkpoint without tensors of a head uses those of its embedding, which nobody quantises.
    """
    for shard in sorted(files.path.glob("*.safetensors")):
        with safe_open(shard, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - it is no mapping
                owner, _, kind = name.rpartition(".")
                if owner.rpartition(".")[2] == "lm_head":
                    plain = kind in ("weight", "bias") and tensors.get_slice(name).get_dtype() in _FLOATS
                    if not plain:
                        return False
    return True


def compute_head_in_float32(model: Any) -> None:
    """Have a transformers model's last layer make logits in float32. Does nothing for a head that is no plain linear layer."""
    import torch

    head = model.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear) or head.weight.dtype not in (torch.bfloat16, torch.float16):
        return
    weight, bias = head.weight.detach(), None if head.bias is None else head.bias.detach().float()
    if weight.is_cuda:
        transposed = weight.t()

        def project(hidden: Any) -> Any:
            logits = torch.mm(hidden.reshape(-1, hidden.shape[-1]), transposed, out_dtype=torch.float32)
            logits = logits if bias is None else logits + bias
            return logits.reshape(*hidden.shape[:-1], -1)
    else:
        exact = weight.float()

        def project(hidden: Any) -> Any:
            return torch.nn.functional.linear(hidden.float(), exact, bias)

    head.forward = project


class Float32HeadWorker:
    """What vLLM's worker on a CPU is given beside its own methods, since there vLLM casts the head's weights at each step.

    That takes longer than all else that the head does.
    """

    get_model: Any

    def keep_float32_head(self) -> None:
        """Give each model its head's weights in float32, beside the embedding's where they are one."""
        import torch

        for owner in self.get_model().modules():
            head: Any = getattr(owner, "lm_head", None)
            if isinstance(getattr(head, "weight", None), torch.nn.Parameter) and hasattr(owner, "logits_processor"):
                own: Any = copy.copy(head)
                own._parameters = dict(head._parameters)
                own.weight = torch.nn.Parameter(head.weight.detach().float(), requires_grad=False)
                owner.lm_head, owner.plain_head = own, [head]

    def give_plain_head_back(self) -> None:
        """Undo it, so that other weights can be loaded."""
        for owner in self.get_model().modules():
            if hasattr(owner, "plain_head"):
                (owner.lm_head,) = owner.plain_head
                del owner.plain_head
