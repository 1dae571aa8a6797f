"""Weights of the zoo's PyTorch models: seeded, with statistics of normalisation that are those of a real pass."""

from __future__ import annotations

import torch
from torch import nn

#: Samples that batch normalisation takes its statistics from.
SAMPLES = 16


def seeded(module: nn.Module, example: torch.Tensor | None = None) -> nn.Module:
    """Give a module its weights, and put it into evaluation mode.

    Args:
        module: freshly built.
        example: one sample; batch normalisation is calibrated on normal numbers of its shape.
    """
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.dim() < 2:
                centre = 1.0 if name.endswith("weight") else 0.0
                weight.copy_(centre + 0.1 * torch.randn(weight.shape, generator=draw))
            else:
                fan_in = 1 if "embedding" in name else weight[0].numel()
                weight.copy_(torch.randn(weight.shape, generator=draw) * fan_in**-0.5)
        norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
        if norms and example is not None:
            for norm in norms:
                norm.momentum = 1.0
            module.train()(torch.randn(SAMPLES, *example.shape[1:], generator=draw))
            for norm in norms:
                norm.momentum = 0.1
    return module.eval()
