"""What is random in a model's forward pass, turned off."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.dropout import _DropoutNd


def still(model: nn.Module) -> None:
    """Turn dropout off: with it a model is not its own reference, and DPO would not start at ln 2, nor PPO's ratio at 1.

    Its configuration stays as it is, and so does the dropout of adapters, which come later.
    """
    for part in model.modules():
        for name, value in vars(part).items():
            if isinstance(value, float) and ("drop" in name or (name == "p" and isinstance(part, _DropoutNd))):
                setattr(part, name, 0.0)
